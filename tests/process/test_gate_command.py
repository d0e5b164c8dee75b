"""`harness gate` with the real Prometheus."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from junitparser import JUnitXml

from harness.replay import agreement, record
from harness.replay.notation import STALE, labels, values
from harness.replay.prometheus import Answer, holding
from harness.replay.samples import Series, dump, series

ROOT = Path(__file__).parents[2]
QUERY = 'sum(increase(x_total{hash="{{args.hash}}",code="500"}[60s])) / sum(increase(x_total{hash="{{args.hash}}"}[60s]))'
GATE = {
    "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "slo"},
    "spec": {
        "args": [{"name": "hash"}],
        "metrics": [{
            "name": "errors", "initialDelay": "60s", "successCondition": "len(result) > 0 && result[0] < 0.01",
            "provider": {"prometheus": {"address": "http://prometheus:9090", "query": QUERY}},
        }],
    },
}
CASES: dict[str, Any] = {
    "interval": "1s", "args": {"hash": "abc"},
    "series": [{"series": 'x_total{hash="abc",code="200"}', "values": "0+99x60"}],
    "cases": [
        {"name": "one percent", "series": [{"series": 'x_total{hash="abc",code="500"}', "values": "0+1x60"}],
         "expect": {"phase": "Failed", "metrics": {"errors": {"phase": "Failed", "value": 0.01}}}},
        {"name": "none", "series": [{"series": 'x_total{hash="abc",code="500"}', "values": "0x60"}],
         "expect": {"phase": "Successful"}},
        {"name": "another version's", "args": {"hash": "other"}, "expect": {"phase": "Failed"}},
    ],
}


def write(path: Path, given: Any) -> str:
    path.write_text(given if isinstance(given, str) else yaml.safe_dump(given))
    return str(path)


def gate(*arguments: str, given: str | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "harness", "gate", *arguments], cwd=ROOT, input=given or "", capture_output=True, text=True,
        check=False, timeout=100, env=os.environ | (env or {}),
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def files(bin_dir: Path, tmp_path: Path) -> tuple[str, str]:
    return write(tmp_path / "gate.yaml", GATE), write(tmp_path / "cases.yaml", CASES)


def test_cases_that_come_out_as_expected(files: tuple[str, str], tmp_path: Path) -> None:
    junit = tmp_path / "out" / "junit.xml"
    done = gate(files[0], "--series", files[1], "--junit", str(junit))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if "slo" in line] == ["ok", "ok", "ok"]
    assert "all as expected" in done.stderr
    suite = next(iter(JUnitXml.fromfile(str(junit))))
    assert [case.name for case in suite] == ["one percent", "none", "another version's"]
    assert all(case.is_passed for case in suite)


def test_a_case_that_comes_out_otherwise(files: tuple[str, str], tmp_path: Path) -> None:
    wrong = CASES | {"cases": [{**CASES["cases"][1], "expect": {"phase": "Failed"}}]}
    junit = tmp_path / "junit.xml"
    done = gate(files[0], "--series", write(tmp_path / "wrong.yaml", wrong), "--junit", str(junit))
    assert done.returncode == 1
    assert "expected Failed, got Successful" in done.stdout
    assert [case.is_passed for case in next(iter(JUnitXml.fromfile(str(junit))))] == [False]


def test_json_has_every_measurement_with_its_query(files: tuple[str, str]) -> None:
    done = gate(files[0], "--series", files[1], "--output", "json")
    (metric,) = json.loads(done.stdout)["runs"][0]["metrics"]
    assert metric["query"] == QUERY.replace("{{args.hash}}", "abc")
    assert metric["measurements"] == [{"at": 60.0, "phase": "Failed", "value": "[0.01]", "message": ""}]


OPEN_METRICS = "# TYPE x counter\n" + "".join(
    f'x_total{{hash="abc",code="{code}"}} {second * rate} {1_700_000_000 + second}\n'
    for code, rate in (("200", 99), ("500", 2)) for second in range(61)
) + "# EOF\n"


def test_recorded_samples_are_measured_at_their_end_or_when_one_says(files: tuple[str, str], tmp_path: Path) -> None:
    recorded = write(tmp_path / "recorded.om", OPEN_METRICS)
    done = gate(files[0], "--series", recorded, "--arg", "hash=abc", "--output", "json")
    assert done.returncode == 1
    (run,) = json.loads(done.stdout)["runs"]
    assert (run["phase"], run["metrics"][0]["measurements"][0]["at"]) == ("Failed", 1_700_000_060.0)
    early = gate(files[0], "--series", recorded, "--arg", "hash=abc", "--at", "2023-11-14T22:13:00Z", "--output", "json")
    assert json.loads(early.stdout)["runs"][0]["metrics"][0]["measurements"][0]["value"] == "[]"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "--series"), (["GATE"], "--series"), (["--series", "CASES"], "no gate"),
        (["GATE", "--series", "absent.yaml"], "absent.yaml"),
        (["GATE", "--series", "GATE"], "apiVersion"), (["CASES", "--series", "CASES"], "no AnalysisTemplate"),
        (["GATE", "--series", "RECORDED"], "--arg hash="), (["GATE", "--series", "CASES", "--arg", "hsah=1"], "hsah"),
        (["GATE", "--series", "CASES", "--arg", "hash"], "NAME=VALUE"), (["GATE", "--series", "CASES", "--at", "5"], "--at"),
        (["GATE", "--series", "RECORDED", "--at", "noon"], "--at noon"),
        (["GATE", "--series", "CASES", "--template", "no"], "no template no"),
        (["--replay", "absent"], "absent"), (["GATE", "--replay", "absent"], "--replay"),
        (["GATE", "--series", "CASES", "--junit", "CASES/x"], "--junit"),
    ],
)
def test_wrong_usage_is_one_line(files: tuple[str, str], tmp_path: Path, arguments: list[str], part: str) -> None:
    names = {"GATE": files[0], "CASES": files[1], "RECORDED": write(tmp_path / "r.om", OPEN_METRICS), "CASES/x": files[1] + "/x"}
    done = gate(*(names.get(each, each) for each in arguments))
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("error:")]
    assert part in line


def test_a_condition_that_is_not_modelled_points_to_the_controller(files: tuple[str, str], tmp_path: Path) -> None:
    unknown = json.loads(json.dumps(GATE).replace("result[0] < 0.01", "median(result) < 1"))
    done = gate(write(tmp_path / "unknown.yaml", unknown), "--series", files[1])
    assert done.returncode == 2
    assert "--controller" in done.stderr


def test_a_prometheus_that_does_not_start_is_the_platforms_failure(files: tuple[str, str], bin_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "bin"
    broken.mkdir()
    for each in bin_dir.iterdir():
        (broken / each.name).symlink_to(each)
    (broken / "prometheus").unlink()
    (broken / "prometheus").write_text("#!/bin/sh\necho no space left >&2\nexit 3\n")
    (broken / "prometheus").chmod(0o755)
    done = gate(files[0], "--series", files[1], env={"GATEPROOF_BIN_DIR": str(broken)})
    assert done.returncode == 4
    assert "no space left" in done.stderr


def test_ctrl_c_leaves_nothing_behind(files: tuple[str, str], tmp_path: Path) -> None:
    endless = json.loads(json.dumps(GATE))
    endless["spec"]["metrics"][0] |= {"interval": "1s", "failureLimit": 10_000}
    given = CASES | {"series": [{"series": 'x_total{hash="abc"}', "values": "0+1x9000"}], "cases": [{"name": "long"}]}
    gates, series_file = write(tmp_path / "g.yaml", endless), write(tmp_path / "c.yaml", given)
    argv = [sys.executable, "-m", "harness", "gate", gates, "--series", series_file]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    running = subprocess.Popen(
        argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(temporary)}
    )
    children = wait_for(lambda: [each for each in psutil.Process(running.pid).children() if "prometheus" in each.name()])
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "Traceback" not in told
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in children)
    assert list(temporary.iterdir()) == []


def wait_for(look: Any) -> Any:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)  # between two looks; the condition is the answer, not the time
    pytest.fail("not within 30 s")


def synthetic(*given: tuple[str, str]) -> list[Series]:
    return [series(labels(name), ((at * 1000, value) for at, value in values(text))) for name, text in given]


def test_staleness_markers_and_nan_survive_both_ways(bin_dir: Path) -> None:
    found = synthetic(("x", "1x20 stale _x5 NaN 2"), ("y", "Inf -Inf 1e300"))
    with holding(found) as prometheus:
        assert prometheus.query("x", 20_500).values == (1.0,)
        assert prometheus.query("x", 21_000).values == ()  # without the marker the 1 would stay for five minutes
        assert math.isnan(prometheus.query("x", 27_000).values[0])
        assert prometheus.query("scalar(x)", 28_000) == Answer(values=(2.0,), scalar=True)
        assert prometheus.query('"text"', 0).error
        again = record.read(prometheus.url, [(("__name__", "=~", "x|y"),)], 0, 100)
    assert repr(sorted(again, key=lambda each: each.labels)) == repr(found)
    assert again[0].samples[21][1] is STALE


def test_our_reading_of_the_notation_is_promtools(bin_dir: Path, tmp_path: Path) -> None:
    chosen, tests = random.Random(5), []
    items = ["0+10x5", "5-2x3", "_", "_x4", "stale", "1x3", "NaN", "0.1+0.1x9", "-3", "1e3x1"]
    given = [(f"s{index}", " ".join(chosen.choice(items) for _ in range(12))) for index in range(20)]
    with holding(synthetic(*given)) as prometheus:
        for name, _ in given:
            for second in range(0, 60, 3):
                expression = f"count_over_time({name}[7s]) * 1e6 + sum_over_time({name}[7s])"
                for query in (expression, name):
                    answer = prometheus.query(query, second * 1000).values
                    nan = bool(answer) and math.isnan(answer[0])
                    wanted = [{"labels": name if query == name else "{}", "value": answer[0]}] if answer and not nan else []
                    # promtool cannot expect NaN: nothing else differs from itself.
                    tests.append({"expr": f"{query} == {query}", "eval_time": f"{second}s", "exp_samples": wanted})
    groups = [{
        "interval": "1s", "input_series": [{"series": name, "values": text} for name, text in given], "promql_expr_test": tests,
    }]
    file = write(tmp_path / "test.yaml", {"rule_files": [], "evaluation_interval": "1s", "tests": groups})
    done = subprocess.run([bin_dir / "promtool", "test", "rules", file], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def kept(folder: Path, found: list[Series], moment_ms: int, **changes: Any) -> Path:
    """A run's folder, with one measurement taken at this moment of these series as real Prometheus answers."""
    query = QUERY.replace("{{args.hash}}", "abc")
    with holding(found) as prometheus:
        value = prometheus.query(query, moment_ms).values[0]
    taken = {
        "phase": "Failed" if value >= 0.01 else "Successful", "value": f"[{value!r}]",
        "startedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment_ms // 1000)),
    }
    taken["finishedAt"] = taken["startedAt"]
    taken |= changes
    status = {"phase": taken["phase"], "metricResults": [{"name": "errors", "count": 1, "measurements": [taken]}]}
    run = {"metadata": {"name": "r"}, "spec": {**GATE["spec"], "args": [{"name": "hash", "value": "abc"}]}, "status": status}  # type: ignore[dict-item]
    target = folder / record.FOLDER
    target.mkdir(parents=True)
    (target / record.RUNS).write_text(json.dumps({"items": [run]}))
    (target / record.SERIES).write_text("".join(dump(found)))
    return folder


# Scraped four times a second, never at a whole one, and growing unevenly: a window that ends elsewhere gives another share.
RECORDED = [
    series(labels(f'x_total{{hash="abc",code="{code}",instance="a"}}'), [
        (1_000_000 + 250 * index + 13, float(index * rate + (index % 7) ** 2)) for index in range(300)
    ])
    for code, rate in (("200", 50), ("500", 1))
]


def test_a_recorded_measurement_is_found_again(bin_dir: Path, tmp_path: Path) -> None:
    done = gate("--replay", str(kept(tmp_path / "report", RECORDED, 1_070_337)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "errors, measurement 1: Failed" in done.stdout


@pytest.mark.parametrize("changes", [{"value": "[0.0300001]"}, {"phase": "Successful"}], ids=["another value", "another phase"])
def test_a_measurement_that_was_not_taken_on_these_series_differs(bin_dir: Path, tmp_path: Path, changes: dict[str, str]) -> None:
    done = gate("--replay", str(kept(tmp_path / "report", RECORDED, 1_070_337, **changes)), "--output", "json")
    assert done.returncode == 1, done.stdout + done.stderr
    assert json.loads(done.stdout)["agrees"] is False


def test_a_measurement_before_the_newest_scrape_had_ended_is_found_again(bin_dir: Path, tmp_path: Path) -> None:
    """Taken between the beginning of a scrape, which becomes its samples' time, and its end, when they can be seen."""
    # One scrape a second, each exactly a window after another: the new sample enters as an old one leaves.
    whole = [Series(labels=each.labels, samples=each.samples[3::4]) for each in RECORDED]
    newest = next(at for at, _ in whole[0].samples if at >= 1_070_000)
    seen = [Series(labels=each.labels, samples=tuple(one for one in each.samples if one[0] < newest)) for each in whole]
    folder = kept(tmp_path / "report", seen, newest + 20)
    (folder / record.FOLDER / record.SERIES).write_text("".join(dump(whole)))
    runs, found = agreement.load(folder)
    checked = agreement.compare(runs, found)
    assert [each.word for each in checked] == ["agrees", "agrees"]
    assert "before the newest scrape" in checked[0].told
