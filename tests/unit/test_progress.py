"""What a person sees: one line per change in a log, a tree on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
import verdict_world as w
from rich.console import Console

from harness.progress import LiveState, LoadNow, PlainProgress, changes, live_state, make_progress
from harness.progress.tree import TreeProgress, render

LOAD = LoadNow(offered_rps=50, achieved_rps=49.8, requests=900, failed={"v1.1": 4})


def pod(pod_hash: str, number: int, *, ready: bool = True, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": f"webapp-{pod_hash}-x{number}abc", "ownerReferences": [{"uid": f"rs-{pod_hash}"}], **metadata},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"restartCount": 1}],
        },
    }


def state(**change: Any) -> LiveState:
    world = w.good_rollback()
    world.runs[0]["status"].update(phase="Running")
    del world.runs[0]["status"]["completedAt"]
    sets = world.replica_sets
    for each in sets:
        each["metadata"]["uid"] = f"rs-{each['metadata']['labels']['rollouts-pod-template-hash']}"
    rollout = w.rollout(step=1, weight=10)
    rollout["spec"]["strategy"] = {"canary": {"steps": [{}] * 6}}
    facts: dict[str, Any] = {
        "rollout": rollout,
        "replica_sets": sets,
        "pods": [pod(w.CANDIDATE, 1), pod(w.STABLE, 1), pod(w.STABLE, 0, ready=False), pod("foreign", 1)],
        "analysis_runs": world.runs,
        "virtual_service": w.virtual_service(10),
        "load": LOAD,
        "now": w.START + 15.6,
        "started_at": w.START,
        "window_seconds": 20.0,
    }
    return live_state(**(facts | change))


def test_live_state_reads_the_objects() -> None:
    now = state()
    assert (now.name, now.phase, now.step, now.steps, now.canary_weight) == ("webapp", "Progressing", 1, 6, 10)
    assert now.elapsed == pytest.approx(15.6)
    assert now.step_seconds == pytest.approx(12.0)
    assert [(each.number, each.role, each.desired, each.ready) for each in now.revisions] == [
        (2, "canary", 2, 2),
        (1, "stable", 2, 2),
    ]
    canary, stable = now.revisions
    assert [each.name for each in canary.pods] == [f"webapp-{w.CANDIDATE}-x1abc"]
    assert [each.ready for each in stable.pods] == [False, True]
    assert {each.name: each.value for each in canary.analyses[0].metrics}["success-rate"] == "0.95"
    assert stable.analyses == ()


def test_once_promoted_nothing_is_canary() -> None:
    promoted = w.rollout(phase="Healthy", message="", stable=w.CANDIDATE, step=6)
    assert [each.role for each in state(rollout=promoted).revisions] == ["stable", ""]


def test_a_terminating_pod_says_so() -> None:
    now = state(pods=[pod(w.CANDIDATE, 1, deletionTimestamp="2027-01-15T08:00:00Z")])
    assert now.revisions[0].pods[0].phase == "Terminating"


def test_foreign_runs_are_not_shown() -> None:
    run = w.good_rollback().runs[0]
    run["metadata"]["ownerReferences"][0]["uid"] = "other"
    assert state(analysis_runs=[run]).revisions[0].analyses == ()


def test_before_anything_exists() -> None:
    nothing = state(rollout={}, replica_sets=[], pods=[], analysis_runs=[], virtual_service=None, load=None)
    assert (nothing.phase, nothing.revisions, nothing.stable_weight) == ("", (), 100)
    assert changes(None, nothing) == ("unknown", "weight 0 % canary, 100 % stable")


def test_a_line_per_change_and_none_without() -> None:
    before = state()
    assert changes(before, replace(before, elapsed=99.0, step_seconds=13.0)) == ()
    assert before.load is not None
    assert changes(before, replace(before, load=replace(before.load, achieved_rps=50.1, requests=950, failed={"v1.1": 5}))) == ()
    assert changes(before, replace(before, canary_weight=30, stable_weight=70)) == ("weight 30 % canary, 70 % stable",)
    assert changes(before, replace(before, step=6)) == ("all steps done",)
    assert changes(before, replace(before, load=replace(before.load, achieved_rps=40))) == ("load falls short of 50/s",)
    assert changes(before, replace(before, load=replace(before.load, failed={"v1.1": 4, "": 1}))) == (
        "first failed requests from the gateway",
    )
    fewer = replace(before.revisions[0], ready=1)
    assert changes(before, replace(before, revisions=(fewer, before.revisions[1]))) == (
        f"revision 2 (canary) webapp-{w.CANDIDATE}: 1 of 2 pods ready",
    )


def test_plain_lines_carry_the_time() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.note("platform is up")
    progress.update(state())
    first = stream.getvalue().splitlines()
    progress.update(replace(state(), elapsed=16.6))
    progress.update(replace(state(), elapsed=21.0, canary_weight=30, stable_weight=70))
    progress.note("two\nlines\x1b[31m")
    progress.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "platform is up"
    assert "[  15.6s] weight 10 % canary, 90 % stable" in first
    assert f"[  15.6s] analysis webapp-{w.CANDIDATE}-2-1: success-rate = 0.95 Failed" in first
    assert lines[len(first) :] == ["[  21.0s] weight 30 % canary, 70 % stable", "[  21.0s] two lines [31m"]


def draw(now: LiveState, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=110, **options)
    console.print(render(now))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_tree_shows_revisions_pods_analyses_weights_and_load() -> None:
    text = draw(state())
    for part in (
        "webapp  Progressing", "revision 2 (canary)", f"webapp-{w.CANDIDATE}  2/2 ready", f"webapp-{w.CANDIDATE}-x1abc  Running",
        f"webapp-{w.CANDIDATE}-2-1  Running", "success-rate = 0.95  Failed", "90 % stable, 10 % canary", "12 of 20 s measured",
        "49.8 of 50 requests/s", "4 from v1.1 of 900", "1/6",
    ):  # fmt: skip
        assert part in text
    assert text.index("revision 2") < text.index("revision 1")


def test_outside_text_is_never_markup() -> None:
    text = draw(state(rollout=w.rollout(message="[bold]x[/bold] \x1b[2J\nnext")))
    assert "[bold]x[/bold]  [2J next" in text
    assert "\x1b" not in text


def test_colour_only_when_wanted() -> None:
    assert "\x1b[3" in draw(state(), force_terminal=True, color_system="standard", no_color=False)
    assert "\x1b[3" not in draw(state(), force_terminal=True, color_system="standard", no_color=True)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "no_color", "coloured"),
    [({"TERM": "xterm"}, False, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False, False), ({"TERM": "xterm"}, True, False)],
)
def test_a_terminal_gets_the_tree(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], no_color: bool, coloured: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    progress = make_progress(stream, no_color=no_color, environ=environ)
    assert isinstance(progress, TreeProgress)
    progress.update(state())
    progress.note("hello")
    progress.close()
    progress.close()
    assert "revision 2 (canary)" in stream.getvalue()
    assert "hello" in stream.getvalue()
    assert ("\x1b[33m" in stream.getvalue()) is coloured
    assert stream.getvalue().rstrip().endswith("\x1b[?25h")


@pytest.mark.parametrize(("stream", "term"), [(io.StringIO(), "xterm"), (Terminal(), "dumb")])
def test_everything_else_gets_lines(stream: io.StringIO, term: str) -> None:
    assert isinstance(make_progress(stream, environ={"TERM": term}), PlainProgress)


def test_a_terminal_without_unicode_gets_ascii() -> None:
    console = Console(file=io.StringIO(), width=110)
    console.print(render(state(), ascii_only=True))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "~ webapp  Progressing" in text
    assert "✔" not in text
