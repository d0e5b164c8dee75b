"""Progress for terminals: a live tree of revision, ReplicaSet, pods and AnalysisRuns, as users of Argo Rollouts know it."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from harness.progress.plain import SHORT_LOAD, clean
from harness.progress.state import AnalysisLine, LiveState, PodLine, Revision

GOOD, BAD, BUSY, PAUSED = "good", "bad", "busy", "paused"
STYLES = {GOOD: "green", BAD: "red", BUSY: "yellow", PAUSED: "cyan"}
ICONS = {GOOD: "✔", BAD: "✖", BUSY: "◌", PAUSED: "॥"}
ASCII_ICONS = {GOOD: "+", BAD: "x", BUSY: "~", PAUSED: "="}
MOODS = {
    "Healthy": GOOD, "Successful": GOOD, "Running": GOOD, "Succeeded": GOOD,
    "Degraded": BAD, "Failed": BAD, "Error": BAD,
    "Paused": PAUSED, "Inconclusive": PAUSED,
}  # fmt: skip


def render(state: LiveState, *, ascii_only: bool = False) -> Group:
    """One picture of the state. Everything from outside is text, never markup."""
    icons = ASCII_ICONS if ascii_only else ICONS
    tree = Tree(_line(icons, MOODS.get(state.phase, BUSY), f"{state.name}  {state.phase or 'unknown'}"))
    for revision in state.revisions:
        _add_revision(tree, revision, icons)
    return Group(_header(state), tree)


def _line(icons: dict[str, str], mood: str, text: str, extra: str = "") -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{icons[mood]} ", style=STYLES[mood])
    line.append(clean(text))
    if extra:
        line.append(f"  {clean(extra)}", style="dim")
    return line


def _header(state: LiveState) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Status", Text(clean(f"{state.phase or 'unknown'} {state.message}")))
    step = "-" if state.step is None else f"{min(state.step, state.steps)}/{state.steps}"
    clock = "" if state.step_seconds is None else f"  {state.step_seconds:.0f} of {state.window_seconds:.0f} s measured"
    table.add_row("Step", f"{step}{clock}")
    table.add_row("Weights", f"{state.stable_weight} % stable, {state.canary_weight} % canary")
    if state.load is not None:
        short = state.load.achieved_rps < SHORT_LOAD * state.load.offered_rps
        rate = f"{state.load.achieved_rps:.1f} of {state.load.offered_rps:g} requests/s"
        table.add_row("Load", Text(rate + (" (too low)" if short else ""), style="red" if short else ""))
        failed = ", ".join(f"{count} from {version or 'the gateway'}" for version, count in sorted(state.load.failed.items()))
        table.add_row("Failed", Text(f"{failed or 'none'} of {state.load.requests}"))
    table.add_row("Elapsed", f"{state.elapsed:.0f} s")
    return table


def _add_revision(tree: Tree, revision: Revision, icons: dict[str, str]) -> None:
    role = f" ({revision.role})" if revision.role else ""
    branch = tree.add(Text(f"# revision {revision.number}{role}", style="bold" if revision.role else "dim"))
    full = revision.ready == revision.desired
    count = f"{revision.ready}/{revision.desired} ready"
    label = _line(icons, GOOD if full else BUSY, f"{revision.replica_set}  {count}", revision.image)
    pods = branch.add(label)
    for pod in revision.pods:
        pods.add(_line(icons, _pod_mood(pod), f"{pod.name}  {pod.phase}", f"restarts {pod.restarts}" if pod.restarts else ""))
    for analysis in revision.analyses:
        _add_analysis(branch, analysis, icons)


def _pod_mood(pod: PodLine) -> str:
    if pod.phase == "Failed":
        return BAD
    return GOOD if pod.ready else BUSY


def _add_analysis(branch: Tree, analysis: AnalysisLine, icons: dict[str, str]) -> None:
    # A running pod is well; a running analysis is not done.
    mood = BUSY if analysis.phase == "Running" else MOODS.get(analysis.phase, BUSY)
    seconds = "" if analysis.seconds is None else f"{analysis.seconds:.0f} s"
    leaf = branch.add(_line(icons, mood, f"{analysis.name}  {analysis.phase}", seconds))
    for metric in analysis.metrics:
        leaf.add(_line(icons, MOODS.get(metric.phase, BUSY), f"{metric.name} = {metric.value or '-'}  {metric.phase}"))


class TreeProgress:
    """Redraws the tree in place; notes scroll by above it. `close` leaves the last picture standing."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ascii = not (console.encoding or "").lower().startswith("utf")
        self._live = Live(console=console, auto_refresh=False)
        self._started = False

    def update(self, state: LiveState) -> None:
        """Draw this state."""
        if not self._started:
            self._live.start()
            self._started = True
        self._live.update(render(state, ascii_only=self._ascii), refresh=True)

    def note(self, line: str) -> None:
        """Print one line above the tree."""
        self._console.print(Text(clean(line)))

    def close(self) -> None:
        """Stop redrawing, and give the cursor back. Harmless when called twice."""
        if self._started:
            self._live.stop()
            self._started = False
