"""The plan: order from needs, every problem at once, and a text that a golden file holds."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EXIT_PLATFORM
from harness.supervisor.component import Component, ExecProbe, HttpProbe, LogProbe, MetricsEndpoint, Port, TcpProbe
from harness.supervisor.errors import PlanError
from harness.supervisor.plan import Plan, plan, programs, render, same_port

GOLDEN = Path(__file__).parent / "golden" / "plan.txt"
PROGRAM = "/opt/program"


def component(name: str, *needs: str, **settings: Any) -> Component:
    ready = settings.pop("ready", LogProbe(pattern="up"))
    return Component(name=name, argv=settings.pop("argv", (PROGRAM,)), needs=needs, ready=ready, **settings)


def port(host: str, number: int, name: str = "http") -> Port:
    return Port(name=name, host=host, number=number)


def names(groups: tuple[tuple[Component, ...], ...]) -> list[list[str]]:
    return [[component.name for component in group] for group in groups]


def problems(*components: Component) -> tuple[str, ...]:
    with pytest.raises(PlanError) as raised:
        plan(components, existing={PROGRAM})
    return raised.value.problems


@pytest.mark.parametrize(
    ("components", "groups"),
    [
        ((), []),
        ((component("a"), component("b")), [["a", "b"]]),
        ((component("b", "a"), component("a")), [["a"], ["b"]]),
        ((component("d", "b", "c"), component("c", "a"), component("b", "a"), component("a")), [["a"], ["c", "b"], ["d"]]),
        ((component("a"), component("b", "a"), component("c", "a", "b")), [["a"], ["b"], ["c"]]),
    ],
)
def test_start_groups_follow_from_needs_and_stop_is_their_mirror(
    components: tuple[Component, ...], groups: list[list[str]]
) -> None:
    made = plan(components, existing={PROGRAM})
    assert names(made.groups) == groups
    assert names(made.stop_groups) == [group[::-1] for group in groups[::-1]]
    assert [one.name for one in made.components] == [name for group in groups for name in group]


@pytest.mark.parametrize(
    ("needs", "cycles"),
    [
        ({"a": "a"}, ["a → a"]),
        ({"a": "b", "b": "a"}, ["a → b → a"]),
        ({"a": "b", "b": "c", "c": "a", "d": "a"}, ["a → b → c → a"]),
        ({"z": "a", "a": "b", "b": "a"}, ["a → b → a"]),
        ({"a": "b", "b": "a", "c": "d", "d": "c"}, ["a → b → a", "c → d → c"]),
        ({"a": "bc", "b": "", "c": "a"}, ["a → c → a"]),
        ({"a": "b", "b": "ca", "c": "b"}, ["b → c → b", "a → b → a"]),
    ],
)
def test_cycles_are_named(needs: dict[str, str], cycles: list[str]) -> None:
    found = problems(*(component(name, *its_needs) for name, its_needs in needs.items()))
    assert list(found) == [f"these components wait for each other: {cycle}" for cycle in cycles]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (component("a", "nobody"), "a needs nobody, which is no component of this plan"),
        (component("a", argv=("program",)), "a: argv starts with 'program': give the program's absolute path"),
        (component("a", argv=("/opt/other",)), "a: /opt/other is missing or may not be run"),
        (component("a", argv=()), "a: argv is empty"),
        (component("a", ready=ExecProbe(argv=("/opt/probe",))), "a: /opt/probe is missing or may not be run"),
        (component("a", ready=ExecProbe(argv=())), "a: the exec probe is empty"),
        (component("a", start_timeout=0), "a: start_timeout is 0 s and must be more than 0, and finite"),
        (component("a", stop_timeout=-1.5), "a: stop_timeout is -1.5 s and must be more than 0, and finite"),
        (component("a", stop_timeout=float("nan")), "a: stop_timeout is nan s and must be more than 0, and finite"),
        (component("a", start_timeout=float("inf")), "a: start_timeout is inf s and must be more than 0, and finite"),
        (component("a", ready=None), "a: a service must have a ready probe: a program that runs is not yet ready"),
        (component("a", kind="task"), "a: a task takes no ready probe: it is ready when it exits with 0"),
        (component("a", ports=(port("127.0.0.1", 0),)), "a: port http has number 0, and must lie in 1 to 65535"),
        (component("a", ports=(port("127.0.0.1", 65536),)), "a: port http has number 65536, and must lie in 1 to 65535"),
        (component("a", ports=(port("127.0.0.1", 1), port("127.0.0.1", 2))), "a: 2 ports are named http"),
        (component("a", metrics=MetricsEndpoint(port="m")), "a: metrics are on port 'm', which it does not declare"),
    ],
)
def test_each_problem_is_told_in_one_line(broken: Component, problem: str) -> None:
    assert problems(broken, component("fine")) == (problem,)


@pytest.mark.parametrize("name", ["", "A", "a/b", "../a", "-a", "a-", "a b"])
def test_a_name_must_do_as_a_file_name(name: str) -> None:
    (problem,) = problems(component(name))
    assert problem.startswith(f"the name {name!r} will not do")


def test_a_pattern_must_be_a_regular_expression() -> None:
    (problem,) = problems(component("a", ready=LogProbe(pattern="(")))
    assert problem.startswith("a: the log probe's pattern '(' is no regular expression: ")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (port("127.0.0.1", 80), port("127.0.0.1", 80), True),
        (port("127.0.0.1", 80), port("127.0.0.1", 81), False),
        (port("127.0.0.1", 80), port("127.0.0.2", 80), False),
        (port("127.0.0.1", 80), port("0.0.0.0", 80), True),
        (port("::", 80), port("127.0.0.1", 80), True),
        (port("0.0.0.0", 80), port("::", 80), True),
        (port("0.0.0.0", 80), port("127.0.0.1", 81), False),
        (port("localhost", 80), port("127.0.0.1", 80), True),
    ],
)
def test_two_owners_of_a_port(one: Port, other: Port, same: bool) -> None:
    assert same_port(one, other) is same
    assert same_port(other, one) is same
    components = component("a", ports=(one,)), component("b", ports=(other,))
    if same:
        assert problems(*components) == (f"a (http {one}) and b (http {other}) both want port 80",)
    else:
        assert len(plan(components, existing={PROGRAM}).components) == 2


def test_a_component_does_not_own_one_port_twice() -> None:
    twice = component("a", ports=(port("127.0.0.1", 80), port("0.0.0.0", 80, "metrics")))
    assert problems(twice) == ("a (http 127.0.0.1:80) and a (metrics 0.0.0.0:80) both want port 80",)


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(PlanError) as raised:
        plan(
            [
                component("a", "b", argv=("relative",), ports=(port("0.0.0.0", 80),)),
                component("b", "a", "nobody", argv=("/gone",), start_timeout=0),
                component("c", ports=(port("127.0.0.1", 80),)),
                component("c"),
            ],
            existing={PROGRAM},
        )
    assert raised.value.exit_code == EXIT_PLATFORM
    assert len(raised.value.problems) == 7
    text = str(raised.value)
    assert text.startswith("the plan has 7 problems, nothing was started:\n  2 components are named c")
    for words in ("'relative'", "/gone is missing", "start_timeout is 0 s", "both want port 80", "nobody", "a → b → a"):
        assert words in text


def test_programs_are_the_facts_that_the_plan_asks_for() -> None:
    assert programs([component("a", ready=ExecProbe(argv=("/opt/probe", "x"))), component("b", argv=())]) == {
        PROGRAM,
        "/opt/probe",
    }


def test_a_component_cannot_be_changed_from_outside() -> None:
    env = {"A": "1"}
    made = component("a", env=env)
    env["A"] = "2"
    assert made.env["A"] == "1"
    with pytest.raises(TypeError):
        made.env["A"] = "3"  # type: ignore[index]
    assert hash(made) == hash(component("a", env={"A": "1"}))


def example() -> Plan:
    data = Component(
        name="data",
        argv=(PROGRAM, "--listen", "127.0.0.1:2379", "two words"),
        env={"PATH": "/bin", "HOME": "/nowhere"},
        cwd=Path("/var/data"),
        ports=(port("127.0.0.1", 2379, "client"), port("::1", 2380, "peer")),
        ready=HttpProbe(url="https://127.0.0.1:2379/health"),
        metrics=MetricsEndpoint(port="client", labels={"job": "data", "app": "x"}),
        stop_signal=signal.SIGINT,
        stop_timeout=2.5,
    )
    return plan(
        [
            component("front", "api", "schema", ready=ExecProbe(argv=(PROGRAM, "check it"))),
            component("schema", "data", kind="task", ready=None, start_timeout=5),
            component("api", "data", ready=TcpProbe(host="::1", port=6443)),
            data,
        ],
        existing={PROGRAM},
    )


def test_render_is_what_the_golden_file_holds() -> None:
    assert render(example()) == GOLDEN.read_text(encoding="utf-8")
