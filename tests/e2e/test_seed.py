"""The API's first contents are made once, by whoever comes first, and later platforms start with all of them.

And two platforms at once on one machine: each with its own release, neither touching the other.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from e2e_support import LIMIT_SECONDS, Ended, Place, new_place, ours, outcome, run, start, wait_until

from harness.platforms.local import binaries, seed
from harness.platforms.local.binaries import MANIFESTS


@pytest.fixture
def empty_cache(tmp_path: Path, bin_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and the programs beside it."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("GATEPROOF_BIN_DIR", str(bin_dir))
    monkeypatch.setenv("GATEPROOF_CACHE_DIR", str(cache))
    return cache


def names(place: Place, kind: str) -> set[str]:
    found = binaries.find()
    assert found
    asked = [found["kubectl"], "--kubeconfig", place.run_dir / "kubeconfig", "get", kind]
    listed = [*asked, "--output=jsonpath={.items[*].metadata.name}"]
    return set(subprocess.run(listed, capture_output=True, text=True, check=True, timeout=30).stdout.split())


def test_a_seeded_platform_has_every_definition_and_role(platform: Place) -> None:
    assert run("plan", place=platform).out.count("apply") == 0  # or this platform was not seeded, and the test is in vain
    found = binaries.find()
    assert found
    wanted = [each for name in MANIFESTS for each in yaml.safe_load_all(found.manifest(name).read_text()) if each]
    for kind in ("CustomResourceDefinition", "ClusterRole"):
        named = {each["metadata"]["name"] for each in wanted if each["kind"] == kind}
        assert len(named) > 1
        assert named <= names(platform, kind)


def test_ctrl_c_while_the_seed_is_made_leaves_nothing(empty_cache: Path, place: Place) -> None:
    process = start("up", place=place)
    wait_until(lambda: list(empty_cache.glob("seeds/*/.run.*/data/etcd")), what="the seed's etcd", timeout=60)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert ours(place) == []
    assert ours(Place(run_dir=empty_cache / "seeds", gateway_port=0, registry_port=0)) == []
    assert list(empty_cache.glob("seeds/*/*")) == []
    assert list(empty_cache.glob("seeds/*/.run*")) == []


def test_two_platforms_at_once_share_one_seed_and_nothing_else(
    empty_cache: Path, bin_dir: Path, place: Place, tmp_path: Path
) -> None:
    other = new_place(tmp_path / "other")
    entry = seed.place(binaries.Binaries(folder=bin_dir))
    assert entry.is_relative_to(empty_cache)
    (entry / ".run.1").mkdir(parents=True)  # as a maker leaves it that was killed
    shape = ("--window", "15", "--rps", "40", "--output", "json")
    scenarios = {place: ("success", *shape), other: ("failure", "--error-rate", "20", *shape)}
    started = {at: start(*given, place=at) for at, given in scenarios.items()}
    ended = {}
    for at, process in started.items():
        out, err = process.communicate(timeout=LIMIT_SECONDS)
        ended[at] = Ended(code=process.returncode, out=out, err=err)
    assert [each.code for each in ended.values()] == [0, 0], [outcome(each) for each in ended.values()]
    assert ended[place].check("decision")["actual"] == "promoted"
    assert ended[other].check("decision")["actual"] == "rolled back"
    assert [each.name for each in sorted(entry.iterdir())] == ["etcd"]
    assert ours(place) == ours(other) == []
