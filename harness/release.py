"""The moves of a release: install the stable version, hand over the candidate, ask who serves. Effects, and no judgement."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

import requests

from harness.chart import Helm
from harness.errors import Inconclusive, PlatformError
from harness.loopback import local_session
from harness.observation import Observation, ServedSample, parse_rollout, parse_weights
from harness.platforms import Endpoints
from harness.scenario import Scenario
from harness.variants import BuiltImage
from harness.watch import Watcher

RELEASE = "webapp"
TRIAL_ANNOTATION = "gateproof.io/trial"
POLL_SECONDS = 0.1
PROBE_TIMEOUT_SECONDS = 10.0
"""As patient as the users are: a machine that halts for a moment is no version that does not serve."""
FINAL_PHASES = frozenset({"Healthy", "Degraded"})


class Delivery(Protocol):
    """How a version is handed over to the cluster."""

    def apply(self, image: BuiltImage, *, trial: str) -> None:
        """Hand over this image; `trial` keeps a release from being taken for an old one."""
        ...

    def remove(self) -> None:
        """Take away what an earlier run left."""
        ...

    def tick(self, watcher: Watcher, first_weight: int) -> None:
        """What is to be looked at or done while a release is under way; `first_weight` is its first step, in percent."""
        ...

    def conclude(
        self, observation: Observation, watcher: Watcher, sample: Callable[[int], tuple[ServedSample, ...]]
    ) -> Observation:
        """What is left to do and to see once the decision was observed; `sample` asks the gateway so many times."""
        ...


@dataclass(kw_only=True)
class Chart:
    """The chart with everything about it that is the same for both versions of one run."""

    helm: Helm
    path: Path
    namespace: str
    values_files: tuple[Path, ...]
    values: Mapping[str, Any]
    """What the platform and the scenario set."""
    user_values: Mapping[str, Any]
    """What the user set by --set: it wins, so that a gate can be tested with thresholds of the user's own."""

    _taken: bool = field(default=False, init=False)
    """Whether the cluster has taken an image with these values."""

    def apply(self, image: BuiltImage, *, trial: str, force_conflicts: bool = False) -> None:
        """Install or upgrade to this image. A pod annotation of its own keeps a release from being taken for an old one.

        `force_conflicts` takes over fields beside those that the rollouts controller has written.
        """
        values = {
            **self.values,
            "image": {"repository": image.repository, "tag": image.tag, "digest": image.digest},
            "podAnnotations": {TRIAL_ANNOTATION: trial},
        }
        if image.env:
            values["env"] = [{"name": name, "value": value} for name, value in image.env.items()]
        self.helm.install_or_upgrade(
            RELEASE, self.namespace, self.path, values_files=self.values_files, set_values=merged(values, self.user_values),
            force_conflicts=force_conflicts,
            # The second image comes with the fields of the first, which were looked at.
            fetch_schemas=not self._taken,
        )
        self._taken = True

    def remove(self) -> None:
        """Uninstall what an earlier run left."""
        self.helm.uninstall(RELEASE, self.namespace)

    def tick(self, watcher: Watcher, first_weight: int) -> None:
        """Nothing: what helm has applied needs no more looking after."""

    def conclude(
        self, observation: Observation, watcher: Watcher, sample: Callable[[int], tuple[ServedSample, ...]]
    ) -> Observation:
        """Nothing is left to do."""
        del watcher, sample
        return observation


def scenario_values(scenario: Scenario) -> dict[str, Any]:
    """What a scenario asks of the chart: its steps, its window, the fewest requests that count, and what its fault needs."""
    window = scenario.window_seconds
    values: dict[str, Any] = {
        "rollout": {"steps": list(scenario.steps)},
        "analysis": {"windowSeconds": int(window) if window == int(window) else window, "minRequests": scenario.min_requests},
    }
    # Only what differs from the default: another chart than ours may not know these values.
    if scenario.fault.source != "app":
        values["analysis"]["source"] = scenario.fault.source
    if scenario.decided_by_deadline:
        values["rollout"]["progressDeadlineSeconds"] = scenario.progress_deadline_seconds
    return merged(values, scenario.fault.values)


def merged(*trees: Mapping[str, Any]) -> dict[str, Any]:
    """Value trees laid over each other, later ones winning."""
    result: dict[str, Any] = {}
    for tree in trees:
        for key, value in tree.items():
            known = result.get(key)
            result[key] = merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return result


class Gateway:
    """Asks the gateway who serves: requests of the harness' own, apart from the users' load."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._url = f"{endpoints.gateway_url}/version"
        self._session = local_session()
        self._host = endpoints.host

    def ask(self) -> ServedSample:
        """One request; status 0 when there was no answer."""
        try:
            answer = self._session.get(self._url, headers={"Host": self._host}, timeout=PROBE_TIMEOUT_SECONDS)
        except requests.RequestException:
            return ServedSample(version=None, pod=None, status=0)
        headers = answer.headers
        return ServedSample(version=headers.get("X-App-Version"), pod=headers.get("X-Pod-Name"), status=answer.status_code)

    def sample(self, count: int, *, pause: float = 0.0) -> tuple[ServedSample, ...]:
        """`count` requests, one after the other, each after a pause of so many seconds."""
        samples = []
        for _ in range(count):
            time.sleep(pause)
            samples.append(self.ask())
        return tuple(samples)


def wait_for(
    condition: Callable[[], bool], *, what: str, timeout: float, check: Callable[[], None], hint: Callable[[], str] = str
) -> None:
    """Wait until the condition holds, asking the platform's health meanwhile. Raises PlatformError when it never does."""
    deadline = time.monotonic() + timeout
    while not condition():
        check()
        if time.monotonic() > deadline:
            told = hint()
            raise PlatformError(f"{what} did not come about within {timeout:.0f} s{': ' + told if told else ''}")
        time.sleep(POLL_SECONDS)


def is_gone(watcher: Watcher) -> bool:
    """Whether nothing is left of an earlier release."""
    return watcher.get("rollouts", RELEASE) is None and not watcher.latest("pods")


def is_going(watcher: Watcher) -> bool:
    """Whether what is left of an earlier release are pods that are being ended.

    They get no more requests and have revisions of their own; to wait until they are gone would cost their time to drain.
    """
    ending = all(pod["metadata"].get("deletionTimestamp") for pod in watcher.latest("pods"))
    return watcher.get("rollouts", RELEASE) is None and ending


def is_stable(watcher: Watcher, image: str) -> bool:
    """Whether the Rollout is Healthy with this image as its only revision."""
    found = watcher.get("rollouts", RELEASE)
    if not found:
        return False
    state = parse_rollout(found, 0.0)
    observed = str(found.get("status", {}).get("observedGeneration", "")) == str(state.generation)
    return observed and state.phase == "Healthy" and state.image == image and state.stable_hash == state.current_hash != ""


def stable_hash(watcher: Watcher) -> str:
    """The revision that the Rollout holds to be stable; empty where there is none."""
    return parse_rollout(watcher.get("rollouts", RELEASE) or {}, 0.0).stable_hash


def is_served(watcher: Watcher, gateway: Gateway, version: str) -> bool:
    """Whether the gateway answers with this version, by pods of the stable revision."""
    mark = f"-{stable_hash(watcher)}-"
    answers = (gateway.ask() for _ in range(5))  # until the first that is wrong, as each may take its time
    return all(each.version == version and mark in (each.pod or "") for each in answers)


def at_rest(watcher: Watcher) -> bool:
    """Whether the weights are back at 100/0, as they are after a promotion as well as after an abort."""
    return canary_weight(watcher) == 0


def canary_weight(watcher: Watcher) -> int | None:
    """What the VirtualService gives the canary now, in percent; None where there is none."""
    found = watcher.get("virtualservices", RELEASE)
    weights = parse_weights(found, 0.0) if found else None
    return None if weights is None else weights.canary


def silence_tells(watcher: Watcher, endpoints: Endpoints) -> bool:
    """Whether a version that gives no answer for a while is gone: only the weights of one gateway say who is asked.

    Where versions are two Services instead of Istio's subsets of one, the controller may switch the loser's off and on.
    """
    canary = (watcher.get("rollouts", RELEASE) or {}).get("spec", {}).get("strategy", {}).get("canary", {})
    subsets = canary.get("trafficRouting", {}).get("istio", {}).get("destinationRule")
    return bool(endpoints.one_gateway and subsets and canary.get("canaryService") == canary.get("stableService"))


def rests_since(watcher: Watcher) -> float:
    """When the weights that are in force now were seen first, in epoch seconds; infinite where there are none."""
    changes = [parse_weights(seen.object, seen.at) for seen in watcher.history("virtualservices") if seen.name == RELEASE]
    weights = [change for change in changes if change is not None]
    alike = takewhile(lambda each: (each.stable, each.canary) == (weights[-1].stable, weights[-1].canary), reversed(weights))
    return min((each.at for each in alike), default=math.inf)


def is_decided(watcher: Watcher, image: str) -> bool:
    """Whether the Rollout has come to rest with this image: promoted, or aborted and back to the old weights."""
    found = watcher.get("rollouts", RELEASE)
    if not found:
        raise Inconclusive(f"the Rollout {RELEASE} was deleted during the release: run again, and leave it alone")
    state = parse_rollout(found, 0.0)
    observed = str(found.get("status", {}).get("observedGeneration", "")) == str(state.generation)
    if not observed or state.image != image or state.phase not in FINAL_PHASES:
        return False
    return state.stable_hash == state.current_hash if state.phase == "Healthy" else True


def why_not_ready(watcher: Watcher) -> str:
    """What the Rollout and its pods say of themselves, for an error's one line."""
    found = watcher.get("rollouts", RELEASE)
    status = (found or {}).get("status", {})
    told = [f"rollout {status.get('phase', 'unknown')} {status.get('message', '')}".strip()]
    for pod in watcher.latest("pods"):
        told += [
            f"pod {pod['metadata']['name']}: {state['reason']} {state.get('message', '')}".strip()
            for container in pod.get("status", {}).get("containerStatuses") or ()
            for state in (container.get("state") or {}).values()
            if state and state.get("reason")
        ]
    return "; ".join(told)
