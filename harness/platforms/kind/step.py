"""A plan of steps as data: what each runs, how "done" is told, what it waits for; checked, put into order and printed. PURE."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from harness.errors import PlatformError

CALL_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """One run of a program, which must end with 0 within `timeout_seconds`."""

    argv: tuple[str, ...]
    timeout_seconds: float = CALL_SECONDS


@dataclass(frozen=True, kw_only=True)
class Check:
    """A question: it holds when the call ends with 0 and, unless `prints` is None, prints exactly that (ends trimmed)."""

    call: Call
    prints: str | None = None


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that a call names. With an `origin`, it is upstream's with the changes told there, too long to be printed."""

    text: str
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One part of the platform. It is skipped when there are checks in `done` and all of them hold."""

    name: str
    title: str
    calls: tuple[Call, ...]
    needs: tuple[str, ...] = ()
    files: Mapping[Path, File] = field(default_factory=dict)
    done: tuple[Check, ...] = ()
    undo: tuple[Call, ...] = ()
    """What takes away a half-done step, run when it fails or is interrupted."""


def fingerprint(calls: Iterable[Call], files: Mapping[Path, File], *, forget: Sequence[str] = ()) -> str:
    """What tells an equal step from another: a hash of everything that it runs and hands over.

    The program's own place is no part of it, nor are the paths to `forget`: the same platform is recognised from another folder.
    """
    told = [[_without(word, forget) for word in call.argv[1:]] for call in calls]
    given = sorted((path.name, file.text) for path, file in files.items())
    return hashlib.sha256(json.dumps([told, given]).encode()).hexdigest()[:16]


def _without(word: str, forget: Sequence[str]) -> str:
    for each in forget:
        word = word.replace(each, "")
    return word


def ordered(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps, each after all that it needs. Raises PlatformError with everything that is wrong with them."""
    named = {step.name: step for step in steps}
    wrong = [f"two steps are named {name}" for name in named if sum(step.name == name for step in steps) > 1]
    wrong += [f"{step.name} needs {need}, which is no step" for step in steps for need in step.needs if need not in named]
    if wrong:
        raise PlatformError("; ".join(wrong))
    try:
        names = tuple(TopologicalSorter({step.name: step.needs for step in steps}).static_order())
    except CycleError as error:
        raise PlatformError(f"steps need each other in a circle: {' → '.join(error.args[1])}") from None
    return tuple(named[name] for name in names)


def render(steps: Sequence[Step]) -> str:
    """The plan for people: every step with its files and commands, in an order in which a person could run them."""
    return "\n\n".join(_render(step) for step in ordered(steps)) + "\n"


def _render(step: Step) -> str:
    lines = [f"# {step.name}: {step.title}", f"#   needs: {', '.join(step.needs) or 'nothing'}"]
    lines += [f"#   done when: {_shell(each.call)}{_printing(each)}" for each in step.done]
    lines += [f"#   if it fails: {_shell(each)}" for each in step.undo]
    for path, file in step.files.items():
        if file.origin:
            digest = hashlib.sha256(file.text.encode()).hexdigest()
            lines += [f"# {path}: {file.origin}", f"#   {len(file.text.splitlines())} lines, sha256 {digest}"]
        else:
            lines += [f"cat > {shlex.quote(str(path))} <<'EOF'", file.text.rstrip("\n"), "EOF"]
    lines += [_shell(call) for call in step.calls]
    return "\n".join(lines)


def _printing(check: Check) -> str:
    return f" prints {check.prints!r}" if check.prints is not None else ""


def _shell(call: Call) -> str:
    return shlex.join(call.argv)
