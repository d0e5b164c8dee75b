import ast
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.load import Load, LoadSpec, command, environment, users_for
from harness.load_shape import LoadShape
from loadtest.traffic.plan import OPTIONS, plan_from

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
    assert line[line.index("--csv") :] == ["--csv", "/f/locust", "--html", "/f/locust.html", "--json-file", "/f/locust",
                                           "--csv-full-history"]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "arguments", "peak"),
    [
        (LoadShape(), [], 50),
        (LoadShape(kind="ramp", rps_from=5), ["--shape=ramp", "--rps-from=5", "--period=60"], 50),
        (LoadShape(kind="ramp", rps_from=80), ["--shape=ramp", "--rps-from=80", "--period=60"], 80),
        (LoadShape(kind="sine", period_seconds=7.5), ["--shape=sine", "--period=7.5"], 75),
        (LoadShape(kind="sine", amplitude=10), ["--shape=sine", "--amplitude=10", "--period=60"], 60),
        (LoadShape(kind="spike", spike_at_seconds=1), ["--shape=spike", "--spike-at=1", "--spike-seconds=10"], 100),
        (LoadShape(kind="spike", spike_rps=0), ["--shape=spike", "--spike-rps=0", "--spike-at=30", "--spike-seconds=10"], 50),
    ],
)
def test_a_shape_is_passed_on_and_its_highest_rate_sets_the_users(shape: LoadShape, arguments: list[str], peak: float) -> None:
    spec = LoadSpec(url=URL, rps=50, shape=shape, worst_latency_seconds=1)
    line = line_of(spec)
    assert [argument for argument in line if "=" in argument] == arguments
    assert line[line.index("--users") + 1] == str(spec.user_count) == str(int(2 * peak))
    # The locustfile understands it alike.
    values = {"shape": shape.kind, "requests_per_second": "50"}
    names = {option.flag: name for name, option in OPTIONS.items()}
    values |= {names[flag]: value for flag, _, value in (argument.partition("=") for argument in arguments)}
    plan = plan_from(values)
    assert max(plan.shape.rate(step / 100) for step in range(7000)) == pytest.approx(peak, rel=1e-3)


def test_a_shape_without_end_is_refused() -> None:
    with pytest.raises(UsageError, match="spike, reaches inf"):
        LoadSpec(url=URL, shape=LoadShape(kind="spike", spike_rps=float("inf")))


def test_routes_and_a_header_are_passed_on() -> None:
    line = line_of(LoadSpec(url=URL, routes="/=8,/headers=2", header="X-Tester: yes", header_share=2.5))
    assert [argument for argument in line if "=" in argument] == [
        "--routes=/=8,/headers=2", "--header=X-Tester: yes", "--header-share=2.5",
    ]  # fmt: skip


def test_only_a_steady_load_has_one_offered_rate(tmp_path: Path) -> None:
    load = Load(spec=LoadSpec(url=URL, shape=LoadShape(kind="ramp")), folder=tmp_path, python="py")
    with pytest.raises(UsageError, match="which a ramp does not have"):
        load.summary(0, 1)


def test_environment_carries_no_proxy_and_no_settings_of_others() -> None:
    mine = {"PATH": "/bin", "GATEPROOF_ALLOW_HOST": "mine.test"}
    others = {"HTTP_PROXY": "x", "https_proxy": "x", "ALL_PROXY": "x", "LOCUST_USERS": "9", "GATEPROOF_RPS": "9", "HOME": "/h"}
    given = environment(mine | others, folder=Path("/f"), parent_pid=42)
    assert given == mine | {"HOME": "/f", "PYTHONUNBUFFERED": "1", "GATEPROOF_PARENT_PID": "42",
                            "GATEPROOF_BEGIN_ON_STDIN": "1"}  # fmt: skip


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
