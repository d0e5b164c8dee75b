import ast
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.load import Load, LoadSpec, command, environment, users_for

URL = "http://127.0.0.1:8081"


def line_of(spec: LoadSpec) -> list[str]:
    return command(spec, python="py", locustfile=Path("/l/locustfile.py"), folder=Path("/f"))


@pytest.mark.parametrize(
    ("rps", "worst", "users"), [(50, 2, 200), (50, 0.3, 30), (1, 0.01, 1), (0.1, 1, 1), (10, 0.051, 2), (200, 1, 400)]
)
def test_users_are_twice_rate_times_worst_latency(rps: float, worst: float, users: int) -> None:
    assert users_for(rps, worst) == users


def test_given_users_win() -> None:
    assert LoadSpec(url=URL, rps=50, users=7).user_count == 7
    assert LoadSpec(url=URL, rps=50, worst_latency_seconds=1).user_count == 100


@pytest.mark.parametrize(
    "wrong",
    [{"rps": 0.0}, {"rps": -1.0}, {"rps": float("nan")}, {"duration_limit_seconds": float("inf")}, {"users": 0},
     {"worst_latency_seconds": 0.0}],
)  # fmt: skip
def test_a_load_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        LoadSpec(url=URL, **wrong)  # type: ignore[arg-type]


def test_headless_command() -> None:
    spec = LoadSpec(url=URL, rps=50, worst_latency_seconds=1, duration_limit_seconds=60.2, seed=7)
    assert line_of(spec) == [
        *("py", "-m", "locust", "-f", "/l/locustfile.py", "--host", URL, "--host-header", "webapp.local"),
        *("--rps", "50", "--users", "100", "--spawn-rate", "100", "--run-time", "61s", "--seed", "7"),
        *("--record", "/f/answers.jsonl", "--exit-code-on-error", "0", "--headless", "--only-summary"),
    ]


def test_web_ui_is_on_loopback_starts_by_itself_and_is_bounded() -> None:
    line = line_of(LoadSpec(url=URL, web_ui_port=8089, duration_limit_seconds=5))
    assert "--headless" not in line
    assert line[line.index("--autostart") :] == [
        *("--autostart", "--web-host", "127.0.0.1", "--web-port", "8089", "--max-run-time", "5"),
    ]
    assert line[line.index("--run-time") + 1] == "5s"


def test_reports_are_kept_when_asked_for() -> None:
    line = line_of(LoadSpec(url=URL, reports=True))
    assert line[line.index("--csv") :] == ["--csv", "/f/locust", "--html", "/f/locust.html", "--json-file", "/f/locust"]


def test_environment_carries_no_proxy_and_no_settings_of_others() -> None:
    mine = {"PATH": "/bin", "GATEPROOF_ALLOW_HOST": "mine.test"}
    others = {"HTTP_PROXY": "x", "https_proxy": "x", "ALL_PROXY": "x", "LOCUST_USERS": "9", "GATEPROOF_RPS": "9", "HOME": "/h"}
    given = environment(mine | others, folder=Path("/f"), parent_pid=42)
    assert given == mine | {"HOME": "/f", "PYTHONUNBUFFERED": "1", "GATEPROOF_PARENT_PID": "42"}


def test_a_used_folder_and_a_second_start_are_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text("")
    with pytest.raises(UsageError, match="answers of another load"):
        Load(spec=LoadSpec(url=URL), folder=tmp_path, python="py").start()


def test_nothing_starts_when_the_target_is_not_ours(tmp_path: Path) -> None:
    def not_ours() -> None:
        raise UsageError("port 8081 belongs to someone else")

    load = Load(spec=LoadSpec(url=URL), folder=tmp_path, python="py", before_start=not_ours)
    with pytest.raises(UsageError, match="someone else"):
        load.start()
    assert load.pid is None


def test_the_harness_never_imports_locust() -> None:
    for path in (Path(__file__).parents[2] / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in {"locust", "gevent", "loadtest"}], path
