"""What a platform with Argo CD starts beside the others, and what it tells each part."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import test_plan
import yaml

from harness.platforms.local import gitops, identities
from harness.platforms.local.binaries import MODULES, PROGRAMS
from harness.platforms.local.components import components, files
from harness.platforms.local.components.argocd_bootstrap import SERVED
from harness.platforms.local.gitops_programs import FILES, MODULE, VERSION, GitOpsPrograms
from harness.platforms.local.golang import cache_key
from harness.platforms.local.paths import RunPaths
from harness.platforms.local.versions import versions
from harness.supervisor.plan import plan, render

GOLDEN = Path(__file__).parent / "gitops.golden"
CONFIG = replace(
    test_plan.CONFIG, gitops=GitOpsPrograms(folder=Path("/argocd"), redis=Path("/valkey-server"), git=Path("/usr/bin/git"))
)
PLAIN = {component.name for component in components(test_plan.CONFIG)}


def test_the_plan_with_gitops_is_what_the_golden_file_says() -> None:
    ours = components(CONFIG)
    whole = render(plan(ours, existing={component.argv[0] for component in ours}))
    blocks = [block for block in whole.split("\n\n") if block.split(" ")[1] not in PLAIN]
    text = "\n\n".join(block.strip("\n") for block in blocks) + "\n"
    if os.environ.get("GATEPROOF_WRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "if the change is meant: GATEPROOF_WRITE_GOLDEN=1 ./run.sh test tests/unit/local"


def test_it_only_adds() -> None:
    with_it = {component.name: component for component in components(CONFIG)}
    assert [component for component in components(test_plan.CONFIG) if with_it[component.name] != component] == []


def test_everything_listens_on_loopback_or_cannot_listen() -> None:
    ours = [component for component in components(CONFIG) if component.name not in PLAIN and component.kind == "service"]
    assert len(ours) == 5
    for component in ours:
        assert {port.host for port in component.ports} <= {"127.0.0.1"}
        assert component.ports or "harness.platforms.local.deaf" in component.argv, component.name


def test_each_part_that_asks_the_api_has_an_identity_of_its_own() -> None:
    used = test_plan.identities_of(CONFIG)
    assert len(used) == len(set(used)) == 7
    assert "/run/kubeconfig" not in used


def test_no_secret_is_in_a_plan_or_in_a_file_that_others_could_read(tmp_path: Path) -> None:
    config = replace(CONFIG, paths=RunPaths(root=tmp_path))
    config.paths.make()
    identities.write(config)
    password = (config.redis_credentials / "auth").read_text()
    assert len(password) >= 32
    assert f"requirepass {password}\n" in (config.paths.pki / "redis.conf").read_text()
    for path in (config.redis_credentials / "auth", config.paths.pki / "redis.conf", config.paths.pki / "argocd-secrets.yaml"):
        assert path.stat().st_mode & 0o077 == 0, path
    shown = render(plan(components(config), existing={component.argv[0] for component in components(config)}))
    assert password not in shown + "".join(files(config).values())


def test_argo_cd_gets_upstreams_roles_and_no_identity_twice() -> None:
    objects = list(yaml.safe_load_all(files(CONFIG)[Path("/run/config/argocd.yaml")]))
    assert objects[0]["kind"] == "Namespace"
    bound = [(each["kind"], each["roleRef"]["name"], each["subjects"][0]["name"]) for each in objects if "roleRef" in each]
    assert len(bound) == 4
    assert all(role == user for _, role, user in bound)
    labelled = [each for each in objects if each["kind"] == "ConfigMap"]
    assert all(each["metadata"]["labels"] == gitops.PART_OF for each in labelled)


def test_nobody_builds_it_who_did_not_ask_for_it() -> None:
    assert not set(MODULE.programs) & set(PROGRAMS)
    assert MODULE not in MODULES
    assert cache_key((MODULE,)) != cache_key(MODULES)
    assert len(SERVED) == len(FILES) == 3


def test_the_version_that_the_program_tells_is_the_one_that_is_pinned() -> None:
    assert versions(gitops=True)["Argo CD"] == f"v{VERSION}"
    assert "Argo CD" not in versions()
