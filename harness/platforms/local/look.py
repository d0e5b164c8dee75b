"""What there is to look at on a local platform: addresses, the health of each part, logs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from harness.loopback import local_session
from harness.platforms import Part
from harness.platforms.local.paths import RunPaths
from harness.platforms.local.state import State

ASK_SECONDS = 3.0
GATEWAY = "gateway (webapp.local)"
WELL = frozenset({"ready", "done"})


def asked(found: Mapping[str, str]) -> list[Part]:
    """What each address answers."""
    parts = []
    for name, url in found.items():
        if not url.startswith("http"):
            continue
        try:
            answer = local_session().get(url, headers={"Host": "webapp.local"}, timeout=ASK_SECONDS)
            # The gateway's answer is a release's: whatever it is, the gateway is there.
            well, told = answer.ok or name == GATEWAY, str(answer.status_code)
        except requests.RequestException:
            # The gateway listens only once a Gateway asks for it.
            well, told = name == GATEWAY, "no release is installed" if name == GATEWAY else "no answer"
        parts.append(Part(name=name, well=well, told=told, url=url))
    return parts


def components(now: State) -> list[Part]:
    """Each program that runs; of tasks only those that are not done."""
    parts = []
    for each in now.components:
        name, state = str(each["name"]), str(each["state"])
        if state == "done":
            continue
        memory = f", {each['rss'] / 2**20:.0f} MiB" if each["rss"] else ""
        told = now.died.get(name) or f"{state}, pid {each['pid']}{memory}"
        parts.append(Part(name=name, well=state in WELL and name not in now.died, told=told))
    return parts


def targets(prometheus: str) -> Part:
    """Whether Prometheus reaches everything that it scrapes."""
    name = "what Prometheus scrapes"
    try:
        answer = local_session().get(f"{prometheus}/api/v1/query", params={"query": "up"}, timeout=ASK_SECONDS)
        found = answer.json()["data"]["result"]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return Part(name=name, well=False, told="Prometheus does not answer")
    down = [each["metric"] for each in found if float(each["value"][1]) == 0]
    if down:
        names = ", ".join(sorted({str(each.get("pod") or each.get("job")) for each in down}))
        # A pod that is going stops answering before it is gone: a pod that is missing is no fault of the platform's.
        return Part(name=name, well=all("pod" in each for each in down), told=f"no answer from {names}")
    return Part(name=name, well=True, told=f"{len(found)} targets, all answer")


def logs(paths: RunPaths) -> dict[str, Path]:
    """Every log of this run: the owner's, each component's, each container's of a pod."""
    found = {"platform": paths.root / "owner.log"}
    found |= {path.stem: path for path in sorted(paths.logs.glob("*.log"))}
    for path in sorted((paths.data / "node" / "pods").glob("*/*/*.log")):
        pod, container = path.parent.parent.name.split("_"), path.parent.name
        name = "/".join(["pod", *pod[:2]] if len(pod) == 3 else ["pod", *pod])
        found[f"{name}/{container}/{path.stem}"] = path
    return {name: path for name, path in found.items() if path.is_file()}


def described(status: Mapping[str, Any]) -> str:
    """A platform's status, for people: what runs, and where it can be reached."""
    if status["phase"] == "down":
        return f"no platform is up in {status['run_dir']}"
    rows = [f"platform {status['phase']} in {status['run_dir']} (pid {status['pid']}), {status['rss_bytes'] / 2**20:.0f} MiB"]
    for each in status["components"]:
        pid = f"pid {each['pid']}" if each["pid"] else ""
        memory = f"{each['rss'] / 2**20:5.0f} MiB" if each["rss"] else ""
        rows.append(f"  {each['name']:<24} {each['state']:<9} {pid:<11} {memory}")
    rows += [f"  {name:<24} {url}" for name, url in status["urls"].items()]
    rows += [f"  {line}" for line in status["died"].values()]
    return "\n".join(rows)
