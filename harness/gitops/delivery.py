"""A release as a commit, from the first one to its revert: the same moves as the chart's own (release.Chart), through Argo CD."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from harness.errors import PlatformError, UsageError
from harness.gitops.argocd import ArgoCd, Unanswered
from harness.gitops.manifests import CHART, RELEASED, SYNC_EVERYTHING, USER, VALUES, application, project, release_file
from harness.gitops.repository import Repository
from harness.observation import Observation, ServedSample, parse_rollout, parse_weights
from harness.observation.gitops import AppState, Commit, GitOpsFacts, MiddleSync, applied, parse_application
from harness.platforms import Endpoints, GitOps
from harness.release import RELEASE, TRIAL_ANNOTATION, Chart, merged
from harness.variants import BuiltImage
from harness.watch import Watcher

PROJECT = "gateproof"
BEFORE_SYNC_SECONDS = 1.0
"""How long the first weight has been in force when the sync is asked for."""
ASK_AGAIN_SECONDS = 3.0
"""How long a sync that was asked for may show no sign of itself."""
SETTLE_SECONDS = 45.0
"""How long Argo CD may take to say what became of a decision or of a revert."""
REMOVE_SECONDS = 60.0
POLL_SECONDS = 0.2
FINISHED = frozenset({"Succeeded", "Failed", "Error"})
SAMPLES = 60

Say = Callable[[str], None]


@dataclass(kw_only=True)
class GitDelivery:
    """The chart and its values in a repository, an Application that syncs them, and what was seen of both."""

    chart: Chart
    place: GitOps
    endpoints: Endpoints
    check: Callable[[], None]
    """Raises when the platform is not in order."""
    say: Say
    _argocd: ArgoCd = field(init=False)
    _repository: Repository = field(init=False)
    _begun: bool = False
    _release: Commit | None = None
    _states: list[AppState] = field(default_factory=list)
    _sync: MiddleSync | None = None
    _asked_at: float = 0.0
    """When the sync was asked for last, in epoch seconds."""
    _untold: bool = False
    """Whether the last question was left unanswered."""

    def __post_init__(self) -> None:
        """Connect; nothing is written yet."""
        self._argocd = ArgoCd(
            kubeconfig=self.endpoints.kubeconfig, context=self.endpoints.context, namespace=self.place.namespace
        )
        self._repository = Repository(
            git=self.place.git, push_url=self.place.push_url, branch=self.place.branch, work=self.endpoints.scratch / "repository"
        )

    def apply(self, image: BuiltImage, *, trial: str) -> None:
        """Commit this image: the first time with chart, values and Application, later as a pipeline does."""
        text = release_file(
            repository=image.repository, tag=image.tag, digest=image.digest, annotations={TRIAL_ANNOTATION: trial}
        )
        if not self._begun:
            self._begin(image, text)
            return
        self._release = self._repository.commit(f"Release {image.tag}", files={RELEASED: text})
        self._argocd.refresh(RELEASE)
        self.say(f"commit {self._release.sha[:10]}: {self._release.subject}")

    def _begin(self, image: BuiltImage, text: str) -> None:
        values = merged(*(_values_of(file) for file in self.chart.values_files), self.chart.values)
        self._repository.start()
        shutil.copytree(self.chart.path, self._repository.work / CHART)
        files = {VALUES: yaml.safe_dump(values), USER: yaml.safe_dump(dict(self.chart.user_values)), RELEASED: text}
        commit = self._repository.commit(f"The chart and its values, with {image.tag}", files=files, force=True)
        common: dict[str, Any] = {
            "namespace": self.place.namespace, "repo_url": self.place.repo_url, "destination": self.place.destination,
            "target": self.endpoints.namespace,
        }
        self._argocd.put("appprojects", project(PROJECT, **common))
        autoscaled = bool(merged(values, self.chart.user_values).get("autoscaling", {}).get("enabled"))
        app = application(RELEASE, project=PROJECT, branch=self.place.branch, autoscaled=autoscaled, **common)
        self._argocd.put("applications", app)
        self._argocd.refresh(RELEASE)
        self._begun = True
        self.say(f"commit {commit.sha[:10]}: {commit.subject}; Argo CD syncs {self.place.repo_url}")

    def tick(self, watcher: Watcher, first_weight: int) -> None:
        """Look at the Application, and have it synced once while the candidate has its first weight. To be called often."""
        if self._release is None:
            return
        try:
            self._follow(watcher, first_weight)
        except Unanswered as error:  # it may be about to come back, and the release has a deadline of its own
            if not self._untold:
                self.say(f"Argo CD cannot be asked: {error}")
            self._untold = True
        else:
            self._untold = False

    def _follow(self, watcher: Watcher, first_weight: int) -> None:
        app, state = self._look()
        if self._sync is not None:
            if self._sync.finished_at is not None:
                return
            self._sync = _followed(self._sync, app)
            if self._sync.finished_at is not None:
                self.say(f"a sync of every object in the middle of the canary: {self._sync.phase}")
                return
        # Where ours is neither under way nor done, Argo CD has lost the order, as it does when it begins another one meanwhile.
        late = time.time() - self._asked_at >= ASK_AGAIN_SECONDS
        if late and _idle(app, state) and _in_force(watcher, first_weight):
            self._request_sync()

    def _request_sync(self) -> None:
        if self._sync is None:
            note = f"{RELEASE}: a commit that changes no object, so that a sync of it may change nothing\n"
            commit = self._repository.commit("A note in the middle of the canary", files={"NOTES.md": note})
            # Its own refresh is left out: the sync names the commit.
            self._sync = MiddleSync(commit=commit, requested_at=commit.at)
            if not _idle(*self._look()):  # Git took its time
                return
        self._asked_at = time.time()
        self._argocd.sync(RELEASE, revision=self._sync.commit.sha, options=SYNC_EVERYTHING, by=PROJECT)
        self._sync = replace(self._sync, requested_at=self._asked_at)

    def _look(self) -> tuple[Mapping[str, Any], AppState]:
        app = self._argocd.get("applications", RELEASE)
        if app is None:
            raise PlatformError(f"the Application {RELEASE} was deleted during the release: run again, and leave it alone")
        state = parse_application(app, time.time())
        if not self._states or replace(self._states[-1], at=state.at) != state:
            self._states.append(state)
        return app, state

    def conclude(
        self, observation: Observation, watcher: Watcher, sample: Callable[[int], tuple[ServedSample, ...]]
    ) -> Observation:
        """What Argo CD says of the decision; and after an abort the revert, and what it says then."""
        if self._release is None:
            return observation
        final = observation.final_state
        aborted = final is not None and final.abort
        decided = self._wait(lambda state: state.health == ("Degraded" if aborted else "Healthy") and state.sync == "Synced")
        self.say(f"Argo CD: {decided}")
        facts = GitOpsFacts(release=self._release, states=tuple(self._states), sync=self._sync, decided=decided)
        if aborted:
            facts = self._reverted(facts, watcher, sample)
        return replace(observation, gitops=facts)

    def _reverted(
        self, facts: GitOpsFacts, watcher: Watcher, sample: Callable[[int], tuple[ServedSample, ...]]
    ) -> GitOpsFacts:
        commit = self._repository.revert(facts.release)
        self._argocd.refresh(RELEASE)
        self.say(f"commit {commit.sha[:10]}: {commit.subject}")
        after = self._wait(
            lambda state: (state.health, state.sync) == ("Healthy", "Synced")
            and commit.sha == state.revision == state.synced_revision
        )
        self.say(f"Argo CD: {after}")
        rollout = parse_rollout(watcher.get("rollouts", RELEASE) or {}, 0.0)
        only = rollout.stable_hash if rollout.stable_hash == rollout.current_hash else ""
        return replace(
            facts, revert=commit, reverted=after, rollout_phase=rollout.phase, rollout_hash=only, samples=sample(SAMPLES)
        )

    def _wait(self, condition: Callable[[AppState], bool]) -> AppState:
        """The first state that meets the condition, or the last one that was seen in time. Raises Unanswered where none was."""
        deadline, state = time.monotonic() + SETTLE_SECONDS, None
        while True:
            late = time.monotonic() >= deadline
            try:
                _, state = self._look()
            except Unanswered:
                if late and state is None:
                    raise
            if state is not None and (late or condition(state)):
                return state
            self.check()
            time.sleep(POLL_SECONDS)

    def remove(self) -> None:
        """Take away what an earlier run left, in whichever way it was released."""
        withdraw(self._argocd, self.check)
        self.chart.remove()


def withdraw(argocd: ArgoCd, check: Callable[[], None]) -> None:
    """Delete the Application with everything that it brought, and wait for that. Raises PlatformError when it stays."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while argocd.delete("applications", RELEASE):
        check()
        if time.monotonic() > deadline:
            raise PlatformError(f"the Application {RELEASE} was still there {REMOVE_SECONDS:.0f} s after it was deleted")
        time.sleep(POLL_SECONDS)


def _idle(app: Mapping[str, Any], state: AppState) -> bool:
    """Whether Argo CD would take up a sync that is asked for now."""
    return not app.get("operation") and state.operation in FINISHED


def _in_force(watcher: Watcher, weight: int) -> bool:
    """Whether the candidate has this weight, and has had it for a while."""
    service = watcher.history("virtualservices")
    now = parse_weights(service[-1].object, service[-1].at) if service else None
    return bool(now and now.canary == weight and time.time() - now.at >= BEFORE_SYNC_SECONDS)


def _followed(sync: MiddleSync, app: Mapping[str, Any]) -> MiddleSync:
    """The sync with its end, if the Application tells of it by now."""
    operation = (app.get("status") or {}).get("operationState") or {}
    asked = operation.get("operation") or {}
    # Argo CD's own sync of the same commit would apply only what differs.
    ours = (asked.get("initiatedBy") or {}).get("username") == PROJECT
    revision = (asked.get("sync") or {}).get("revision")
    if not ours or revision != sync.commit.sha or operation.get("phase") not in FINISHED:
        return sync
    return replace(
        sync, finished_at=time.time(), phase=str(operation["phase"]), message=str(operation.get("message", "")),
        applied=applied(app),
    )  # fmt: skip


def _values_of(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"the values file {file} is no YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(found, dict):
        raise UsageError(f"the values file {file} holds no values")
    return found
