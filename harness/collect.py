"""From what was watched, recorded and sampled to one Observation; and a look-out for Prometheus meanwhile."""

from __future__ import annotations

import math
import threading
import time
from itertools import pairwise
from types import TracebackType
from typing import Self

import requests

from harness.faults import Effect
from harness.load import Load
from harness.loopback import local_session
from harness.observation import (
    Disturbed,
    LoadSummary,
    Observation,
    ServedSample,
    foreign_hands,
    hash_of_release,
    image_ids,
    images_by_hash,
    owned_by,
    parse_analysis_run,
    parse_response,
    parse_rollout,
    parse_weights,
    pod_facts,
    pod_revisions,
)
from harness.platforms import Endpoints
from harness.release import RELEASE, silence_tells
from harness.scenario import Scenario
from harness.variants import BuiltImage
from harness.watch import Watcher

DISCOVERY_REST_SECONDS = 14
"""12.5 s (why: PrometheusMonitor.discovery_rests), and what a counter scraped each second may hide."""
HASH_LABEL = "rollouts_pod_template_hash"
"""The target label that carries a pod's revision, as the platform's Prometheus sets it."""
SETTLE_SECONDS = 2.0
"""How long a weight may take from the VirtualService to the gateway: istiod waits 0.1 s for more changes, then pushes."""


class PrometheusMonitor:
    """Asks Prometheus once a second whether it is ready; a gate that could not measure has proved nothing."""

    def __init__(self, url: str, *, interval: float = 1.0) -> None:
        self._url, self._interval = url, interval
        self._stop = threading.Event()
        self._answers: list[bool] = []
        self._thread = threading.Thread(target=self._ask, daemon=True, name="prometheus-monitor")

    @property
    def ok(self) -> bool | None:
        """Whether it never failed twice in a row, as something that is busy may once; None when it was never asked."""
        if not self._answers:
            return None
        return not any(not one and not other for one, other in pairwise([*self._answers, self._answers[-1]]))

    def discovery_rests(self) -> bool:
        """Whether Prometheus' discovery has told its scraper nothing for so long that it will tell the next news at once.

        Between two looks it waits for an interval that grows by half from 0.1 s to 5 s, each time half more or less by chance,
        and that begins anew at the first look more than 5 s after its last news (discovery.Manager.sender of Prometheus 3). While
        pods come and go it has grown long: a last look before those 5 s may be followed by 7.5 s of waiting, so only 12.5 s after
        the last news it is sure to be short. After 9 s the next news would come more than 3 s late about once in a hundred times
        (simulated). True also where Prometheus does not scrape itself: then nobody can tell.
        """
        query = f'sum(changes(prometheus_sd_updates_total{{name="scrape"}}[{DISCOVERY_REST_SECONDS}s]))'
        try:
            answer = local_session().get(f"{self._url}/api/v1/query", params={"query": query}, timeout=5).json()
            return all(float(sample["value"][1]) == 0 for sample in answer["data"]["result"])
        except (requests.RequestException, ValueError, KeyError, TypeError, IndexError):
            return False

    def __enter__(self) -> Self:
        """Begin to ask."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop asking."""
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        session = local_session()
        while not self._stop.is_set():
            try:
                # A slow answer is an answer: queries have a time-out of their own, and the machine may be busy.
                self._answers.append(session.get(f"{self._url}/-/ready", timeout=5).ok)
            except requests.RequestException:
                self._answers.append(False)
            self._stop.wait(self._interval)


def faults_injected(url: str, pod_hash: str, seconds: float) -> dict[str, float]:
    """How many faults of each kind a revision's pods say they injected in the last `seconds`; empty when nobody knows."""
    selector = f'{{{HASH_LABEL}="{pod_hash}"}}'
    query = f"max by (kind) (max_over_time(webapp_faults_injected_total{selector}[{math.ceil(seconds)}s]))"
    try:
        answer = local_session().get(f"{url}/api/v1/query", params={"query": query}, timeout=5).json()
        return {str(sample["metric"]["kind"]): float(sample["value"][1]) for sample in answer["data"]["result"]}
    except (requests.RequestException, ValueError, KeyError, TypeError, IndexError):
        return {}


def observation_of(
    *, watcher: Watcher, load: Load, scenario: Scenario, endpoints: Endpoints, stable: BuiltImage, candidate: BuiltImage,
    stable_hash: str, released_at: float, decided_at: float | None, load_started: float, load_ended: float,
    samples: tuple[ServedSample, ...], prometheus_ok: bool | None, disturbed: tuple[Disturbed, ...] = (),
) -> Observation:
    """Everything that was seen of one release, as facts."""
    rollouts = [seen for seen in watcher.history("rollouts") if seen.name == RELEASE and not seen.deleted]
    states = tuple(parse_rollout(seen.object, seen.at) for seen in rollouts)
    uid = states[-1].uid if states else ""
    weights = (
        parse_weights(seen.object, seen.at)
        for seen in watcher.history("virtualservices")
        if seen.name == RELEASE and not seen.deleted
    )
    replica_sets = watcher.latest("replicasets")
    latest_runs = {seen.name: seen.object for seen in watcher.history("analysisruns")}
    summary = load.summary(load_started, load_ended)
    candidate_hash = hash_of_release(replica_sets, uid, candidate.reference) or ""
    pods = [seen.object for seen in watcher.history("pods") if not seen.deleted]
    revisions = pod_revisions(pods, (seen.object for seen in watcher.history("replicasets")), uid)
    written = [
        (seen.at, seen.object)
        for kind in ("rollouts", "virtualservices", "analysisruns")
        for seen in watcher.history(kind)
        if not seen.deleted and (owned_by(seen.object, uid) if kind == "analysisruns" else seen.name == RELEASE)
    ]
    return Observation(
        namespace=endpoints.namespace, rollout_uid=uid, stable_hash=stable_hash,
        candidate_hash=candidate_hash, candidate_pods=pod_facts(pods, candidate_hash),
        gateway_statuses=scenario.fault.gateway_statuses, interrupted=scenario.fault.effect is Effect.OUTAGE,
        silence_tells=silence_tells(watcher, endpoints),
        faults_injected=faults_injected(endpoints.prometheus_url, candidate_hash, time.time() - released_at),
        stable_image=stable.reference, candidate_image=candidate.reference,
        images=images_by_hash(replica_sets, uid), release_started_at=released_at, decided_at=decided_at, ended_at=time.time(),
        rollout_states=states, weight_changes=tuple(change for change in weights if change),
        analyses=tuple(parse_analysis_run(run) for run in latest_runs.values()),
        responses=tuple(sorted((parse_response(record) for record in load.records()), key=lambda each: each.at)),
        load=LoadSummary(
            offered_rps=scenario.rps, achieved_rps=summary.achieved_rps, started=load_started, ended=load_ended,
            sent=load.sent_by_locust(),
        ),
        final_samples=samples, prometheus_ok=prometheus_ok, deadline_exceeded=decided_at is None,
        pods=revisions, image_ids=image_ids(pods, revisions), hands=foreign_hands(written, released_at),
        clock_step_seconds=watcher.clock_step, watch_gaps=watcher.gaps, disturbed=disturbed,
        settle_seconds=min(SETTLE_SECONDS, scenario.window_seconds / 4),
    )
