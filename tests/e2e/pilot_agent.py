"""Istio's agent, which starts a sidecar's Envoy and gets its certificate: built once into the cache, from its pinned Go module.

That module has the versions of the platform's own, so that no more is compiled than the agent has beyond istiod: not one minute's
work where the platform's programs were built, and some minutes' where they came as a file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from go_tools import go, tools

from harness.platforms.local import binaries

SOURCE = Path(__file__).parent / "toolchain" / "sidecar"
BUILD_SECONDS = 900


def program() -> Path:
    """The agent; built first where it is not there."""
    return tools(SOURCE, "pilot-agent", seconds=BUILD_SECONDS) / "pilot-agent"


def bootstrap_template(folder: Path) -> Path:
    """A copy of the template of Envoy's bootstrap, changed in one thing: nothing listens beyond loopback."""
    module = Path(json.loads(go("mod", "download", "-json", binaries.ISTIO, module=SOURCE, seconds=BUILD_SECONDS))["Dir"])
    text = (module / "tools" / "packaging" / "common" / "envoy_bootstrap.json").read_text()
    assert "{{ .wildcard }}" in text
    made = folder / "bootstrap.json"
    made.write_text(text.replace("{{ .wildcard }}", "{{ .localhost }}"))
    return made


def versions(module: Path) -> dict[str, str]:
    """What a module's go.mod requires."""
    return dict(re.findall(r"^\t(\S+) (v\S+)", (module / "go.mod").read_text(), re.MULTILINE))
