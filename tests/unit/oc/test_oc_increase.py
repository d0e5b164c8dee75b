"""The emulation of `increase()` against Prometheus' own engine (promtool), and by hand."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from harness.oc.increase import counted, increase, latest, total
from harness.oc.query import Value
from harness.platforms.local import binaries

STEP = 7
"""Seconds between samples in promtool's series, which has no finer irregularity than a missing sample."""
SERIES, SAMPLES, SEED = 60, 20, 20_261_124


def at(times: list[float], values: list[float], start: float, end: float) -> float | None:
    found = increase(
        np.array(times), np.array(values), np.ones(len(times), dtype=bool), start=np.array(start), end=np.array(end)
    )
    return float(found.values) if found.present else None


def test_by_hand() -> None:
    assert at([10, 20, 30], [5, 10, 15], 0, 30) == pytest.approx(15)  # to the start, where it would be 0
    assert at([10, 20, 30], [500, 510, 520], 0, 38) == pytest.approx(20 * 38 / 20)  # to both ends
    assert at([10, 20, 30], [500, 510, 520], -5, 45) == pytest.approx(20 * 30 / 20)  # too far: half a spacing each
    assert at([10, 20, 30], [0, 10, 20], 2, 30) == pytest.approx(20)  # it began at 0: nothing to the left
    assert at([10, 20, 30], [8, 10, 3], 2, 30) == pytest.approx(5 * 28 / 20)  # a drop: what stood there counts
    assert at([10], [5], 0, 20) is None
    assert at([0, 10], [5, 7], 0, 20) is None  # the range is open at its start


def test_the_difference_of_two_samples() -> None:
    times, there = np.array([10.0, 20, 30]), np.ones(3, dtype=bool)
    for values, start, wanted in (([5, 8, 12], 10, 7), ([5, 8, 12], 5, 12), ([9, 2, 3], 10, 3), ([5, 8, 12], 40, None)):
        found = counted(times, np.array(values, dtype=float), there, start=np.array(float(start)), end=np.array(60.0))
        assert (float(found.values) if found.present else None) == wanted


def test_the_last_two_samples_by_hand() -> None:
    times, there = np.array([10.0, 20, 35]), np.ones(3, dtype=bool)
    for values, start, end, wanted in (
        ([5, 8, 12], 0, 40, 4 / 15), ([5, 8, 12], 0, 30, 0.3), ([5, 8, 3], 0, 40, 0.2), ([5, 8, 12], 20, 40, None),
    ):  # fmt: skip
        found = latest(times, np.array(values, dtype=float), there, start=np.array(float(start)), end=np.array(float(end)))
        assert (float(found.values) if found.present else None) == (None if wanted is None else pytest.approx(wanted))


def test_a_sum_takes_the_series_that_are_there() -> None:
    found = total(Value(np.array([[1.0, 7.0], [2.0, 9.0]]), np.array([[True, False], [False, False]])))
    assert found.values.tolist() == [1, 0]
    assert found.present.tolist() == [True, False]


def series() -> list[list[float | None]]:
    chance = random.Random(SEED)
    made: list[list[float | None]] = []
    for _ in range(SERIES):
        value, samples = float(chance.choice([0, 0, 3, 1000])), []
        missing, grows = chance.choice([0, 0.2, 0.6]), chance.choice([0.0, 0.1, 3.0, 50.0])
        for _ in range(SAMPLES):
            value = 0.0 if chance.random() < 0.05 else value + chance.randint(0, 3) * grows
            samples.append(None if chance.random() < missing else value)
        made.append(samples)
    return made


@pytest.fixture(scope="module")
def promtool() -> Path:
    found = binaries.find()
    if found is None:
        pytest.skip("promtool is not built: run ./run.sh setup")
    return found["promtool"]


def test_prometheus_computes_the_same(promtool: Path, tmp_path: Path) -> None:
    chance = random.Random(SEED + 1)
    tests, inputs, present = [], [], 0
    times = np.arange(SAMPLES) * float(STEP)
    for number, samples in enumerate(series()):
        told = " ".join("_" if each is None else f"{each:.17g}" for each in samples)
        inputs.append({"series": f'c{{n="{number}"}}', "values": told})
        values, there = np.array([each or 0.0 for each in samples]), np.array([each is not None for each in samples])
        for _ in range(4):
            end, window = chance.randint(0, STEP * SAMPLES + 40), chance.randint(5, 120)
            for name, function in (("increase", increase), ("irate", latest)):
                found = function(times, values, there, start=np.array(float(end - window)), end=np.array(float(end)))
                query = f'{name}(c{{n="{number}"}}[{window}s])'
                if found.present:
                    present += 1
                    value = float(found.values)
                    query = f"count(abs({query} - {value!r}) <= {1e-9 * max(1.0, abs(value))!r})"
                samples_wanted = [{"labels": "{}", "value": 1}] if found.present else []
                tests.append({"expr": query, "eval_time": f"{end}s", "exp_samples": samples_wanted})
    assert 200 < present < len(tests)
    group = {"interval": f"{STEP}s", "input_series": inputs, "promql_expr_test": tests}
    file = tmp_path / "increase.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "1s", "tests": [group]}))
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
