"""The types of an observation. Times are epoch seconds, durations seconds, weights percent. PURE: no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.observation.gitops import GitOpsFacts

TIMESTAMP_RESOLUTION_SECONDS = 1.0
"""Kubernetes writes metav1.Time in whole seconds, cut off: the true moment lies up to this much later."""


WATCH_LAG_SECONDS = 1.0
"""How late a change may be seen by a watch on a busy machine: what followed it may carry an earlier time."""


@dataclass(frozen=True, kw_only=True)
class ResponseRecord:
    """One answer that a client got, or failed to get (status 0).

    `at` is when the answer was complete, `started` when the request was sent. `version` and `pod` come from the
    answer's headers; without them the answer came from the gateway, or there was none.
    """

    at: float
    started: float
    status: int
    version: str | None
    pod: str | None = None
    latency_seconds: float = 0.0
    error: str | None = None

    @property
    def failed(self) -> bool:
        """Anything but a 2xx or 3xx answer: what a user would call an error."""
        return not 200 <= self.status < 400


@dataclass(frozen=True, kw_only=True)
class WeightChange:
    """The two weights that a VirtualService was seen to carry, and since when."""

    at: float
    stable: int
    canary: int
    generation: int = 0
    resource_version: str = ""


@dataclass(frozen=True, kw_only=True)
class MetricResult:
    """One metric of an AnalysisRun, with its last measurement.

    `value` is None when nothing numeric was measured: an empty vector, NaN, several samples, or no measurement at all.
    """

    name: str
    phase: str
    value: float | None = None
    raw_value: str = ""
    query: str = ""
    condition: str = ""
    message: str = ""
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    dry_run: bool = False
    measured_at: float | None = None
    forgiven: str = ""
    """Why no measurement of it can fail the analysis, in a few words; empty where one can."""


@dataclass(frozen=True, kw_only=True)
class StepAnalysis:
    """One AnalysisRun of a canary step. `step_index` counts all of the strategy's steps, set-weight steps too."""

    name: str
    uid: str
    namespace: str
    owner_uid: str
    step_index: int | None
    pod_template_hash: str
    revision: str
    phase: str
    message: str = ""
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    terminated: bool = False
    metrics: tuple[MetricResult, ...] = ()
    asked: str = ""
    """A fingerprint of everything that it measures and how: two steps with the same gate have the same."""

    def metric(self, name: str) -> MetricResult | None:
        """The metric of this name, if the run has it."""
        return next((metric for metric in self.metrics if metric.name == name), None)


@dataclass(frozen=True, kw_only=True)
class RolloutState:
    """A Rollout as it was seen at one moment. `revision` is the controller's own count of releases."""

    at: float
    uid: str
    namespace: str
    generation: int
    phase: str
    message: str
    abort: bool
    aborted_at: float | None
    stable_hash: str
    current_hash: str
    step_index: int | None
    revision: str = ""
    stable_weight: int | None = None
    canary_weight: int | None = None
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    image: str = ""
    promote_full: bool = False
    spec_digest: str = ""
    """A fingerprint of what the spec means: the controller rewrites its form, and so its generation, when it notes a revision."""
    paused: bool = False
    step_gates: tuple[str, ...] = ()
    """For each of the strategy's steps a fingerprint of the analysis that it asks for; empty for one that asks for none."""


@dataclass(frozen=True, kw_only=True)
class Hand:
    """Somebody who wrote into an object of the release (its `spec` or `status`, at the latest at `at`), by the API's records."""

    at: float
    kind: str
    name: str
    part: str
    manager: str


@dataclass(frozen=True, kw_only=True)
class Disturbed:
    """What was done to the platform during the release. `at_weight` is the canary's weight then, in percent."""

    kind: str
    at_weight: int
    down_at: float | None = None
    """When it was killed; None: it was not."""
    up_at: float | None = None
    """When it was ready again; None: it was not."""
    problem: str = ""

    @property
    def told(self) -> str:
        """What became of it, for people."""
        if self.down_at is None:
            return f"{self.kind} was not killed at {self.at_weight} %{': ' + self.problem if self.problem else ''}"
        back = f"back after {self.up_at - self.down_at:.1f} s" if self.up_at is not None else "and not back by the end"
        return f"{self.kind} killed at {self.at_weight} %, {back}{': ' + self.problem if self.problem else ''}"


@dataclass(frozen=True, kw_only=True)
class LoadSummary:
    """What the load generator was asked for and what it says it sent, in requests per second and requests."""

    offered_rps: float
    achieved_rps: float
    started: float
    ended: float
    sent: int


@dataclass(frozen=True, kw_only=True)
class ServedSample:
    """One request of our own after the end, to see who answers now."""

    version: str | None
    pod: str | None
    status: int


@dataclass(frozen=True, kw_only=True)
class PodFacts:
    """What became of the candidate's pods: whether any ran and was ever ready, and how often one restarted or lost readiness."""

    ran: bool = False
    ever_ready: bool = False
    restarts: int = 0
    readiness_losses: int = 0
    waiting: frozenset[str] = frozenset()
    """Every reason for which one of their containers was seen to wait, as the kubelet names it."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Everything that was seen of one release. Tuples are in the order of time.

    `stable_hash` and `candidate_hash` are what the harness expected: read from the Rollout before the release, and from
    the ReplicaSet that runs the candidate's image. `images` maps each ReplicaSet's hash to its image reference.
    `settle_seconds` is how long a weight may take to reach the gateway before clients are counted.
    `prometheus_ok` is None when nobody looked.
    """

    namespace: str
    rollout_uid: str
    stable_hash: str
    candidate_hash: str
    stable_image: str
    candidate_image: str
    release_started_at: float
    ended_at: float
    decided_at: float | None = None
    images: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    rollout_states: tuple[RolloutState, ...] = ()
    weight_changes: tuple[WeightChange, ...] = ()
    analyses: tuple[StepAnalysis, ...] = ()
    responses: tuple[ResponseRecord, ...] = ()
    load: LoadSummary | None = None
    final_samples: tuple[ServedSample, ...] = ()
    prometheus_ok: bool | None = None
    silence_tells: bool = False
    """Whether a version that answers nobody for a while is gone: nothing but the weights of one gateway says who is asked."""
    deadline_exceeded: bool = False
    settle_seconds: float = 2.0
    scrape_interval_seconds: float = 1.0
    notes: tuple[str, ...] = ()
    gateway_statuses: frozenset[int] = frozenset()
    """What the gateway is known to answer in the candidate's stead, by the fault that was injected."""
    interrupted: bool = False
    """Whether the candidate's pods come and go by design: the controller then takes the weight back, and gives it again."""
    candidate_pods: PodFacts = PodFacts()
    faults_injected: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """How many faults of each kind the candidate's pods say they injected, as last scraped."""
    gitops: GitOpsFacts | None = None
    """What Git and Argo CD did, where the release was a commit."""
    pods: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """For each pod of this rollout that was seen, the hash of the ReplicaSet that controls it and whose image it runs."""
    image_ids: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    """For each ReplicaSet's hash what its pods really ran, by the digests that their node tells."""
    hands: tuple[Hand, ...] = ()
    """Who else wrote into the release's objects while it ran."""
    clock_step_seconds: float = 0.0
    """By how much the clock was set forward (or back: negative) while the release was watched."""
    watch_gaps: tuple[float, ...] = ()
    """When a watch of the API broke off: what changed until it was taken up again was not seen."""
    disturbed: tuple[Disturbed, ...] = ()
    """What was done to the platform meanwhile, in the order of time."""

    @property
    def released_states(self) -> tuple[RolloutState, ...]:
        """The Rollout's states from the release on; the last one before it is left out."""
        return tuple(state for state in self.rollout_states if state.at >= self.release_started_at)

    @property
    def final_state(self) -> RolloutState | None:
        """The last state that was seen, if any was seen since the release."""
        states = self.released_states
        return states[-1] if states else None

    @property
    def step_analyses(self) -> tuple[StepAnalysis, ...]:
        """The analyses of this release: this rollout, this namespace, the candidate's hash, since the release, by step.

        Everything else (another namespace, another rollout of the same name, an earlier release) is no evidence.
        """
        mine = (
            run
            for run in self.analyses
            if run.namespace == self.namespace
            and run.owner_uid == self.rollout_uid
            and run.pod_template_hash == self.candidate_hash
            and run.step_index is not None
            and run.created_at is not None
            and run.created_at >= self.release_started_at - TIMESTAMP_RESOLUTION_SECONDS
        )
        return tuple(sorted(mine, key=lambda run: (run.step_index or 0, run.created_at or 0.0)))
