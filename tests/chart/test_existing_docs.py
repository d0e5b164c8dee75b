"""The commands of docs/existing.md, run as they stand there, and its options."""

from __future__ import annotations

from pathlib import Path

import yaml
from docs_support import DOCS, run_commands

from harness.platforms.existing.options import OPTIONS


def test_the_roles_that_are_shown_are_what_they_are_said_to_be(tmp_path: Path, bin_dir: Path) -> None:
    run_commands("existing.md", tmp_path, links=())
    role, binding = yaml.safe_load_all((tmp_path / "role.yaml").read_text())
    assert binding["subjects"] == [{"kind": "ServiceAccount", "namespace": "canary-trials", "name": "runner"}]
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "canary-trials")
    assert "podmonitors" not in str(role)
    anns = list(yaml.safe_load_all((tmp_path / "role-of-ann.yaml").read_text()))
    assert [(each["kind"], each["metadata"]["namespace"]) for each in anns] == [
        ("Role", "canary-trials"), ("RoleBinding", "canary-trials"), ("Role", "istio-system"), ("RoleBinding", "istio-system"),
    ]  # fmt: skip
    assert [each for each in anns[0]["rules"] if each not in role["rules"]] == [
        {"apiGroups": ["monitoring.coreos.com"], "resources": ["podmonitors"], "verbs": ["create", "delete", "get", "patch"]}
    ]
    assert "ClusterRole" not in {each["kind"] for each in anns}


def test_every_option_is_explained() -> None:
    text = (DOCS / "existing.md").read_text()
    for option in OPTIONS:
        assert f"`{option.flag}" in text or f"{option.flag} " in text, option.flag
