"""The namespaces of a run: named ones that are there, or ones that are made for it; and that nothing of ours stays in them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.chart import Helm
from harness.errors import HarnessError, PlatformError, UsageError
from harness.names import is_label
from harness.platforms import Say
from harness.platforms.cluster.api import ClusterApi
from harness.platforms.cluster.ledger import Claim, Ledger
from harness.release import RELEASE, TRIAL_ANNOTATION

MARK = "gateproof.io/run"
MANAGED_BY = {"app.kubernetes.io/managed-by": "gateproof"}
GONE_SECONDS = 90.0
"""A pod may take its whole grace period, 30 s, and the controllers are not ours."""
POLL_SECONDS = 0.3
LISTS = ("/apis/argoproj.io/v1alpha1/{}/rollouts", "/api/v1/{}/pods", "/apis/apps/v1/{}/replicasets",
         "/apis/argoproj.io/v1alpha1/{}/analysisruns")  # fmt: skip
"""Where something of a release may still be after helm has uninstalled it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A namespace that a run is going to use."""

    namespace: str
    there: bool


@dataclass(kw_only=True)
class Namespaces:
    """Takes namespaces and gives them back. Thread-safe: lanes are threads."""

    api: ClusterApi
    helm: Helm
    ledger: Ledger
    server: str
    labels: Mapping[str, str] = field(default_factory=dict)
    say: Say

    def look(self, name: str) -> Place:
        """Whether a namespace is there. Raises PlatformError when the API does not tell."""
        answer = self.api.call("GET", f"/api/v1/namespaces/{name}")
        if answer.status == 404:
            return Place(namespace=name, there=False)
        if not answer.ok:
            raise PlatformError(
                f"namespace {name} cannot be looked at ({answer.why}): have it made, with the Role that "
                f"`python -m harness role --namespace {name}` prints"
            )
        if answer.body.get("status", {}).get("phase") == "Terminating":
            raise PlatformError(f"namespace {name} is being removed: wait until it is gone, or name another with --namespace")
        return Place(namespace=name, there=True)

    def take(self, place: Place) -> Claim:
        """Claim a namespace, and make it if it is not there. Raises UsageError when a stranger's release is in it."""
        if place.there:
            self._refuse_strangers(place.namespace)
            claim = Claim(server=self.server, namespace=place.namespace, made=False)
            if claim not in self.ledger.claims():
                self.ledger.add(claim)
            return claim
        claim = Claim(server=self.server, namespace=place.namespace, made=True, mark=uuid.uuid4().hex)
        self.ledger.add(claim)
        answer = self.api.call("POST", "/api/v1/namespaces", body={
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": place.namespace, "labels": {**self.labels, **MANAGED_BY}, "annotations": {MARK: claim.mark},
            },
        })
        if not answer.ok:
            self.ledger.remove(claim)
            raise PlatformError(f"namespace {place.namespace} cannot be made: {answer.why}")
        return claim

    def _refuse_strangers(self, namespace: str) -> None:
        """A release of our name that is not ours would be upgraded, and in the end removed."""
        if any(each.namespace == namespace and each.server == self.server for each in self.ledger.claims()):
            return  # left by an earlier run of this folder that was killed
        rollouts = self._listed(LISTS[0], namespace)
        theirs = [each for each in rollouts if each["metadata"]["name"] == RELEASE and not _of_a_trial(each)]
        secrets = self.api.call(
            "GET", f"/api/v1/namespaces/{namespace}/secrets", labelSelector=f"owner=helm,name={RELEASE}", limit="1"
        ).body.get("items")
        if theirs or (secrets and not rollouts):
            raise UsageError(
                f"namespace {namespace} holds a release {RELEASE} that no run of ours made: it would be replaced and removed; "
                "name another namespace with --namespace"
            )

    def give_back(self, claims: Iterable[Claim]) -> list[str]:
        """Remove what was made under these claims, wait until it is gone, and return a line for each that is not."""
        wrong: list[str] = []
        going: list[Claim] = []
        for claim in claims:
            try:
                self.begin_removal(claim)
                going.append(claim)
            except HarnessError as error:
                wrong.append(f"{claim.namespace}: {error}")
        deadline = time.monotonic() + GONE_SECONDS
        for claim in going:
            try:
                left = _until(lambda claim=claim: self._left(claim), deadline)  # type: ignore[misc]
            except HarnessError as error:
                left = str(error)
            if left:
                wrong.append(f"{claim.namespace}: {left}")
            else:
                self.ledger.remove(claim)
        return wrong

    def begin_removal(self, claim: Claim) -> None:
        """Ask for the removal of what was made under a claim, without waiting for it. Raises PlatformError."""
        if not claim.made:
            self.helm.uninstall(RELEASE, claim.namespace)
            return
        found = self._ours(claim)
        if found is None:
            return
        # With its uid, so that another one of this name, made in the meantime, stays.
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": found["metadata"]["uid"]}}
        answer = self.api.call("DELETE", f"/api/v1/namespaces/{claim.namespace}", body=body)
        if not (answer.ok or answer.status in {404, 409}):
            raise PlatformError(f"it cannot be removed: {answer.why}")

    def _ours(self, claim: Claim) -> Mapping[str, Any] | None:
        answer = self.api.call("GET", f"/api/v1/namespaces/{claim.namespace}")
        if answer.status != 404 and not answer.ok:
            raise PlatformError(f"it cannot be looked at: {answer.why}")
        marked = answer.ok and (answer.body["metadata"].get("annotations") or {}).get(MARK) == claim.mark
        return answer.body if marked else None

    def _left(self, claim: Claim) -> str:
        if claim.made:
            return "it is still being removed" if self._ours(claim) is not None else ""
        left = [each for path in LISTS for each in self._listed(path, claim.namespace) if _of_the_release(each)]
        return f"{len(left)} objects of the release are still there, such as {left[0]['metadata']['name']}" if left else ""

    def _listed(self, path: str, namespace: str) -> list[Mapping[str, Any]]:
        answer = self.api.call("GET", path.format(f"namespaces/{namespace}"))
        if not answer.ok:
            raise PlatformError(f"namespace {namespace} cannot be looked into: {answer.why}")
        return list(answer.body.get("items") or ())


def _until(left: Callable[[], str], deadline: float) -> str:
    """Wait until nothing is left, and return what is when the time is over."""
    while (now := left()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return now


def _of_a_trial(rollout: Mapping[str, Any]) -> bool:
    template = rollout.get("spec", {}).get("template", {}).get("metadata", {})
    return TRIAL_ANNOTATION in (template.get("annotations") or {})


def _of_the_release(found: Mapping[str, Any]) -> bool:
    """Its Rollout, or what the Rollout's controller made for it."""
    meta = found["metadata"]
    if (meta.get("labels") or {}).get("app.kubernetes.io/instance") == RELEASE:
        return True
    return any(owner["kind"] == "Rollout" and owner["name"] == RELEASE for owner in meta.get("ownerReferences") or ())


def checked(name: str, *, option: str, to_run_in: bool = True) -> str:
    """A namespace's name from the command line; `to_run_in`: not one of the cluster's own. Raises UsageError."""
    if not is_label(name):
        raise UsageError(f"{option} {name}: that is no name for a namespace: lower-case letters, digits and -, at most 63")
    if to_run_in and (name in {"default", "istio-system"} or name.startswith("kube-")):
        raise UsageError(f"{option} {name}: a run needs a namespace of its own, and this one is the cluster's")
    return name
