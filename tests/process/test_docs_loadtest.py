"""Each command of docs/loadtest.md, run as it stands there against a small server of the test's own."""

from __future__ import annotations

import collections
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from docs_support import DOCS, shell_blocks
from load_support import Server, wait_until

from harness.load import LOCUSTFILE
from harness.supervisor.ports import free_port
from loadtest.traffic.plan import OPTIONS

BLOCKS = shell_blocks("loadtest.md")
HEADLESS = [block for block in BLOCKS if "--headless" in block]
WEB = [block for block in BLOCKS if "locust -f" in block and "--headless" not in block]
RECORD = [block for block in BLOCKS if block not in HEADLESS + WEB]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Like a checkout to whoever runs a block in it, but what the block writes is the test's."""
    (tmp_path / "loadtest").symlink_to(LOCUSTFILE.parent)
    return tmp_path


def environment(folder: Path, **more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "RUN_TIME": "5s", "SPIKE_AT": "1", **more}


def run(block: str, folder: Path, **more: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder, env=environment(folder, **more), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_block_is_run_by_one_of_these_tests() -> None:
    assert (len(HEADLESS), len(WEB), len(RECORD)) == (5, 1, 1)


@pytest.mark.parametrize(
    "block", HEADLESS, ids=lambda block: " ".join(re.findall(r"--(?:shape|routes) (\S+)", block)) or "steady"
)
def test_a_load(serve: Callable[..., Server], folder: Path, block: str) -> None:
    server = serve()
    run(block, folder, TARGET=server.url)
    assert server.count > 0
    if "--record" in block:
        (record,) = folder.glob("**/answers.jsonl")
        assert len(record.read_text().splitlines()) == server.count
    if "--routes" in block:
        assert "/" in {path for _, path, _ in server.asked} <= {"/", "/headers", "/delay/0.1"}
        for name in ("_stats.csv", "_stats_history.csv", "_failures.csv", "_exceptions.csv", ".html", ".json"):
            assert (folder / "report" / f"locust{name}").stat().st_size > 0


def test_the_web_ui(serve: Callable[..., Server], folder: Path) -> None:
    server, port = serve(), free_port()
    (block,) = WEB
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {block}"],
            cwd=folder, env=environment(folder, TARGET=server.url, WEB_PORT=str(port)), stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            with opener.open(f"http://127.0.0.1:{port}/", timeout=5) as page:
                return b"requests_per_second" in page.read()
        except OSError:
            return False

    try:
        wait_until(answers, "the form", 30)
    finally:
        process.terminate()
        process.wait(30)
    assert server.count == 0


def test_the_look_into_the_record(folder: Path) -> None:
    (folder / "report").mkdir()
    answer = {"route": "/", "marked": True, "version": None, "status": 500}
    lines = [answer, answer, answer | {"route": "POST /a", "marked": False, "version": "v1.0", "status": 200}]
    (folder / "report" / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (block,) = RECORD
    assert [line.split() for line in run(block, folder).splitlines()] == [
        ["2", "/", "tester", "None", "HTTP", "500"],
        ["1", "POST", "/a", "user", "v1.0", "HTTP", "200"],
    ]


def test_the_table_of_options_is_true() -> None:
    text = (DOCS / "loadtest.md").read_text()
    rows = {row[0]: row[1:] for row in re.findall(r"^\| `(--[a-z-]+)` \| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE)}
    for option in OPTIONS.values():
        variable, default = rows.pop(option.flag)
        assert variable == option.variable
        if option.default:
            assert default == f"`{option.default}`"
        else:
            assert "`" not in default or "--rps" in default
    assert set(rows) == {"--record", "--seed", "--max-run-time", "--users"}


def test_the_recorded_answer_shown_has_the_fields_that_are_recorded(serve: Callable[..., Server], folder: Path) -> None:
    server = serve()
    run(HEADLESS[0], folder, TARGET=server.url)
    shown = re.search(r"^```json\n(.*?)\n```$", (DOCS / "loadtest.md").read_text(), re.MULTILINE | re.DOTALL)
    assert shown is not None
    kinds = collections.Counter(tuple(json.loads(line)) for line in (folder / "answers.jsonl").read_text().splitlines())
    assert list(kinds) == [tuple(json.loads(shown[1]))]
