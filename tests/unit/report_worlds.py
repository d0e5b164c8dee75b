"""Reports of the made-up releases that the verdict's tests judge: every outcome, and every kind of fault."""

from __future__ import annotations

import functools
from collections.abc import Callable

import test_verdict_faults as faults
import verdict_world as w

from harness.report import PlatformFacts, Report, Reproduction, build_report
from harness.verdict import judge

PLATFORM = PlatformFacts(name="local", versions={"argo-rollouts": "v1.10.2", "envoy": "1.40.0"})
AGAIN = Reproduction(
    command=("python", "-m", "harness", "failure", "--set", "a=b c"), inputs={"chart": "sha256:" + "c" * 64}
)


def looks_away() -> w.World:
    """A faulty release that is promoted: exit code 1."""
    return w.good_promote(w.FAILED_SCENARIO, error_every=20)


def lingering() -> w.World:
    """A rollback after which the candidate still answers: exit code 1."""
    world = w.good_rollback()
    world.samples[3].update(version="v1.1", pod=f"webapp-{w.CANDIDATE}-x0abc")
    return world


WORLDS: dict[str, Callable[[], w.World]] = {
    "promote": w.good_promote,
    "rollback": w.good_rollback,
    "slow": lambda: w.good_rollback(w.SLOW_SCENARIO, error_every=0, latency=0.504),
    "looks away": looks_away,
    "lingering": lingering,
    "nothing": lambda: w.World(scenario=w.PROMOTED_SCENARIO, end=w.START),
    **faults.WORLDS,
}


def report_on(world: w.World) -> Report:
    seen = world.observation()
    return build_report(world.scenario, seen, judge(world.scenario, seen), PLATFORM, AGAIN)


@functools.cache
def report(name: str) -> Report:
    """The report of one of WORLDS, made once."""
    return report_on(WORLDS[name]())
