"""From a set of components to the order in which they start and stop. PURE: facts about the machine are handed in."""

from __future__ import annotations

import math
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from harness.supervisor.component import Component, ExecProbe, LogProbe, Port
from harness.supervisor.errors import PlanError

WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - recognised here, bound nowhere
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Components that may start, in groups: each needs only members of earlier groups."""

    groups: tuple[tuple[Component, ...], ...]

    @property
    def components(self) -> tuple[Component, ...]:
        """Every component, in start order."""
        return tuple(component for group in self.groups for component in group)

    @property
    def stop_groups(self) -> tuple[tuple[Component, ...], ...]:
        """The mirror of the start order: each is needed only by members of earlier groups."""
        return tuple(tuple(reversed(group)) for group in reversed(self.groups))


def plan(components: Iterable[Component], *, existing: Collection[str]) -> Plan:
    """Validate the components as a whole and derive their order from what they need.

    ``existing`` holds the paths of those programs that are there and may be run (``process.runnable_programs`` looks).
    Raises PlanError with every problem at once.
    """
    listed = tuple(components)
    problems = (
        *_name_problems(listed),
        *(problem for component in listed for problem in _own_problems(component, existing)),
        *_port_problems(listed),
        *_need_problems(listed),
    )
    if problems:
        raise PlanError(problems)
    return Plan(groups=_groups(listed))


def programs(components: Iterable[Component]) -> frozenset[str]:
    """The path of every program that these components run, their exec probes included."""
    found: set[str] = set()
    for component in components:
        found.update(component.argv[:1])
        if isinstance(component.ready, ExecProbe):
            found.update(component.ready.argv[:1])
    return frozenset(found)


def same_port(one: Port, other: Port) -> bool:
    """Whether two listeners would stand in each other's way; a listener on every interface does for any host."""
    hosts = {"127.0.0.1" if port.host == "localhost" else port.host for port in (one, other)}
    return one.number == other.number and (len(hosts) == 1 or bool(hosts & WILDCARDS))


def _name_problems(components: Sequence[Component]) -> Iterator[str]:
    for name, count in Counter(component.name for component in components).items():
        if count > 1:
            yield f"{count} components are named {name}: give each a name of its own"
        if not NAME.fullmatch(name):
            yield f"the name {name!r} will not do: use lower-case letters, digits and inner hyphens (it names the log file)"


def _own_problems(component: Component, existing: Collection[str]) -> Iterator[str]:
    name = component.name
    yield from _program_problems(name, "argv", component.argv, existing)
    for what, seconds in (("start_timeout", component.start_timeout), ("stop_timeout", component.stop_timeout)):
        if not 0 < seconds < math.inf:
            yield f"{name}: {what} is {seconds:g} s and must be more than 0, and finite"
    yield from _probe_problems(component, existing)
    for port_name, count in Counter(port.name for port in component.ports).items():
        if count > 1:
            yield f"{name}: {count} ports are named {port_name}"
    for port in component.ports:
        if not 0 < port.number < 65536:
            yield f"{name}: port {port.name} has number {port.number}, and must lie in 1 to 65535"
    if component.metrics and component.metrics.port not in {port.name for port in component.ports}:
        yield f"{name}: metrics are on port {component.metrics.port!r}, which it does not declare"


def _probe_problems(component: Component, existing: Collection[str]) -> Iterator[str]:
    name, probe = component.name, component.ready
    if component.kind == "service" and probe is None:
        yield f"{name}: a service must have a ready probe: a program that runs is not yet ready"
    if component.kind == "task" and probe is not None:
        yield f"{name}: a task takes no ready probe: it is ready when it exits with 0"
    if isinstance(probe, ExecProbe):
        yield from _program_problems(name, "the exec probe", probe.argv, existing)
    if isinstance(probe, LogProbe):
        try:
            re.compile(probe.pattern)
        except re.error as error:
            yield f"{name}: the log probe's pattern {probe.pattern!r} is no regular expression: {error}"


def _program_problems(name: str, what: str, argv: tuple[str, ...], existing: Collection[str]) -> Iterator[str]:
    if not argv:
        yield f"{name}: {what} is empty"
    elif not posixpath.isabs(argv[0]):
        yield f"{name}: {what} starts with {argv[0]!r}: give the program's absolute path"
    elif argv[0] not in existing:
        yield f"{name}: {argv[0]} is missing or may not be run"


def _port_problems(components: Sequence[Component]) -> Iterator[str]:
    owned = [(component.name, port) for component in components for port in component.ports]
    for (one_name, one), (other_name, other) in combinations(owned, 2):
        if same_port(one, other):
            yield f"{one_name} ({one.name} {one}) and {other_name} ({other.name} {other}) both want port {one.number}"


def _need_problems(components: Sequence[Component]) -> Iterator[str]:
    known = {component.name for component in components}
    for component in components:
        for need in component.needs:
            if need not in known:
                yield f"{component.name} needs {need}, which is no component of this plan"
    needs = {component.name: tuple(need for need in component.needs if need in known) for component in components}
    for cycle in _cycles(needs):
        yield "these components wait for each other: " + " → ".join(cycle)


def _cycles(needs: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """The cycles that a depth-first walk meets: at least one for each knot of components that wait for each other."""
    settled: set[str] = set()
    for start, its_needs in needs.items():
        path = {start: iter(its_needs)} if start not in settled else {}
        while path:
            name = next(reversed(path))
            following = next((need for need in path[name] if need not in settled), None)
            if following is None:
                settled.add(name)
                del path[name]
            elif following in path:
                names = list(path)
                yield (*names[names.index(following) :], following)
            else:
                path[following] = iter(needs[following])


def _groups(components: Sequence[Component]) -> tuple[tuple[Component, ...], ...]:
    groups: list[tuple[Component, ...]] = []
    placed: set[str] = set()
    rest = list(components)
    while rest:
        group = tuple(component for component in rest if placed.issuperset(component.needs))
        groups.append(group)
        placed.update(component.name for component in group)
        rest = [component for component in rest if component.name not in placed]
    return tuple(groups)


def render(plan: Plan) -> str:
    """What would be started, as text that is stable from run to run; the environment is shown as it is."""
    blocks: list[str] = []
    for number, group in enumerate(plan.groups, start=1):
        blocks.extend(_block(number, component) for component in group)
    return "\n".join(blocks)


def _block(number: int, component: Component) -> str:
    ready = "exit code 0" if component.ready is None else str(component.ready)
    rows = [
        ("argv", component.argv),
        ("env", tuple(f"{key}={value}" for key, value in sorted(component.env.items()))),
        ("cwd", () if component.cwd is None else (str(component.cwd),)),
        ("needs", component.needs),
        ("ports", tuple(f"{port.name} {port}" for port in component.ports)),
        ("ready", (f"{ready}, within {component.start_timeout:g} s",)),
        ("metrics", _metrics_rows(component)),
        ("stop", (f"{component.stop_signal.name}, then SIGKILL after {component.stop_timeout:g} s",)),
    ]
    lines = [f"{number}. {component.name} ({component.kind})"]
    for title, values in rows:
        lines.extend(f"     {title if index == 0 else '':<8} {value}" for index, value in enumerate(values))
    return "\n".join(lines) + "\n"


def _metrics_rows(component: Component) -> tuple[str, ...]:
    if component.metrics is None:
        return ()
    labels = (f"{key}={value}" for key, value in sorted(component.metrics.labels.items()))
    return (" ".join((component.metrics.port, component.metrics.path, *labels)),)
