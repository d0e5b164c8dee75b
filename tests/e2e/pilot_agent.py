"""Istio's agent, which starts a sidecar's Envoy and gets its certificate: built once into the cache, from its pinned Go module.

That module has the versions of the platform's own, so that no more is compiled than the agent has beyond istiod: not one minute's
work where the platform's programs were built, and some minutes' where they came as a file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

from harness.platforms.local import binaries, golang
from harness.platforms.local.paths import cache_root

SOURCE = Path(__file__).parent / "toolchain" / "sidecar"
BUILD_SECONDS = 900


def program() -> Path:
    """The agent; built first where it is not there."""
    digest = hashlib.sha256(f"{golang.go_version()} {golang.FLAGS}".encode())
    for name in ("go.mod", "go.sum"):
        digest.update((SOURCE / name).read_bytes())
    folder = cache_root() / "toolchain" / f"sidecar-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.access(folder / "pilot-agent", os.X_OK):
            _go("build", "-ldflags=-s -w", "-o", f"{folder}/", "tool")
    return folder / "pilot-agent"


def bootstrap_template(folder: Path) -> Path:
    """A copy of the template of Envoy's bootstrap, changed in one thing: nothing listens beyond loopback."""
    module = Path(json.loads(_go("mod", "download", "-json", binaries.ISTIO))["Dir"])
    text = (module / "tools" / "packaging" / "common" / "envoy_bootstrap.json").read_text()
    assert "{{ .wildcard }}" in text
    made = folder / "bootstrap.json"
    made.write_text(text.replace("{{ .wildcard }}", "{{ .localhost }}"))
    return made


def versions(module: Path) -> dict[str, str]:
    """What a module's go.mod requires."""
    return dict(re.findall(r"^\t(\S+) (v\S+)", (module / "go.mod").read_text(), re.MULTILINE))


def _go(*arguments: str) -> str:
    done = subprocess.run(
        [golang.go_program(), *arguments], cwd=SOURCE, env=golang.environment(), capture_output=True, text=True,
        timeout=BUILD_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"go {arguments[0]}: {done.stderr[-2000:]}"
    return done.stdout
