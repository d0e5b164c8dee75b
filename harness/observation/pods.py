"""Which pods are this release's, and what they really run: what a label or a name says is not enough. PURE: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.observation.parse import HASH_LABEL, controller_of, images_by_hash

Object = Mapping[str, Any]


def pod_revisions(
    pods: Iterable[Object], replica_sets: Iterable[Object], rollout_uid: str, *, container: str = "webapp"
) -> dict[str, str]:
    """The hash of each pod's ReplicaSet, by the pod's name; pods of anybody else are left out, whatever their labels say.

    A pod is the revision's own when a ReplicaSet of this rollout controls it and it runs that ReplicaSet's image, by whatever
    name: an admission webhook may have named a mirror of the registry, or added the digest.
    """
    ours: dict[str, tuple[str, str]] = {}
    for each in replica_sets:
        for pod_hash, image in images_by_hash([each], rollout_uid, container=container).items():
            ours[str(each.get("metadata", {}).get("uid", ""))] = (pod_hash, image)
    found = {}
    for pod in pods:
        metadata = pod.get("metadata", {})
        pod_hash, image = ours.get(str(controller_of(pod).get("uid", "")), ("", ""))
        containers = pod.get("spec", {}).get("containers") or ()
        runs = next((each.get("image") for each in containers if each.get("name") == container), None)
        if pod_hash and metadata.get("labels", {}).get(HASH_LABEL) == pod_hash and same_image(str(runs), image):
            found[str(metadata.get("name", ""))] = pod_hash
    return found


def same_image(one: str, other: str) -> bool:
    """Whether two references name one image: by their digests where both have one, else by the repository's last part and tag.

    >>> same_image("mirror.example/x/webapp:v1.1@sha256:ab", "localhost:5001/webapp:v1.1@sha256:ab")
    True
    >>> same_image("mirror.example/x/webapp:v1.1@sha256:ab", "localhost:5001/webapp:v1.1")
    True
    >>> same_image("localhost:5001/webapp:v1.0", "localhost:5001/webapp:v1.1")
    False
    """
    (name, _, digest), (other_name, _, other_digest) = one.partition("@"), other.partition("@")
    if digest and other_digest:
        return digest == other_digest
    return name.rpartition("/")[2] == other_name.rpartition("/")[2]


def image_ids(pods: Iterable[Object], revisions: Mapping[str, str], *, container: str = "webapp") -> dict[str, frozenset[str]]:
    """The digests that each revision's pods ran, as their node tells them; `revisions` as `pod_revisions` gives it."""
    found: dict[str, set[str]] = {}
    for pod in pods:
        pod_hash = revisions.get(str(pod.get("metadata", {}).get("name", "")))
        for status in pod.get("status", {}).get("containerStatuses") or ():
            # Without an @ it is the digest of the image's configuration: so a node tells what it had before anybody pulled it.
            if pod_hash and status.get("name") == container and "@" in str(status.get("imageID")):
                found.setdefault(pod_hash, set()).add(str(status["imageID"]).rpartition("@")[2])
    return {pod_hash: frozenset(digests) for pod_hash, digests in found.items()}
