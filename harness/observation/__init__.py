"""What happened, as typed facts: read from API objects and load records, and measured from them. PURE: no I/O.

`facts` holds the types, `parse` reads the objects as the API server returns them, `measure` computes numbers.
"""

from harness.observation.facts import (
    Disturbed,
    Hand,
    LoadSummary,
    MetricResult,
    Observation,
    PodFacts,
    ResponseRecord,
    RolloutState,
    ServedSample,
    StepAnalysis,
    WeightChange,
)
from harness.observation.hands import foreign_hands
from harness.observation.measure import (
    AgreementBounds,
    FailedRequests,
    Share,
    abort_time,
    acceptance_interval,
    achieved_per_second,
    achieved_rate,
    failed_requests,
    metric_bounds,
    share_at,
    time_to_detect,
    time_to_safe,
    weight_steps,
)
from harness.observation.parse import (
    hash_of_release,
    images_by_hash,
    parse_analysis_run,
    parse_response,
    parse_rollout,
    parse_time,
    parse_weights,
    pod_facts,
)
from harness.observation.pods import image_ids, pod_revisions

__all__ = [
    "AgreementBounds",
    "Disturbed",
    "FailedRequests",
    "Hand",
    "LoadSummary",
    "MetricResult",
    "Observation",
    "PodFacts",
    "ResponseRecord",
    "RolloutState",
    "ServedSample",
    "Share",
    "StepAnalysis",
    "WeightChange",
    "abort_time",
    "acceptance_interval",
    "achieved_per_second",
    "achieved_rate",
    "failed_requests",
    "foreign_hands",
    "hash_of_release",
    "image_ids",
    "images_by_hash",
    "metric_bounds",
    "parse_analysis_run",
    "parse_response",
    "parse_rollout",
    "parse_time",
    "parse_weights",
    "pod_facts",
    "pod_revisions",
    "share_at",
    "time_to_detect",
    "time_to_safe",
    "weight_steps",
]
