"""Stands in for docker, kind, kubectl and helm: holds every call against the real program's own parser, then pretends.

kind_world.py PROGRAM FOLDER ARGUMENT...: the world is FOLDER/world.json, where `real` says which programs check the arguments,
and `checked` is a folder that remembers what they took. What a parser does not take ends with 2 and is noted under `refused`;
`fail` and `hang` list calls, by their first words, that go wrong.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

# How many words name the command: what comes then are its options and arguments.
DEPTH = {
    "docker container": 2, "docker network": 2, "docker": 1, "kind create": 2, "kind delete": 2, "kind export": 2,
    "kubectl rollout": 2, "kubectl": 1, "helm": 1,
}  # fmt: skip
MUTATIONS = (
    "docker run", "docker container rm", "docker network", "docker build", "docker push", "docker exec", "docker cp",
    "kind create", "kind delete", "kubectl apply", "kubectl patch", "kubectl delete", "helm upgrade",
)  # fmt: skip


def main() -> int:
    program, folder, *argv = sys.argv[1:]
    told = " ".join([program, *argv])
    depth = next(DEPTH[key] for key in DEPTH if told.startswith(key))
    refusal = checked(program, argv, depth, folder)
    with (Path(folder) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        world = json.loads((Path(folder) / "world.json").read_text())
        world["calls"].append([program, *argv])
        if refusal:
            world["refused"].append(f"{told}: {refusal}")
            code, output, hang = 2, "", False
        else:
            hang = any(told.startswith(each) for each in world["hang"])
            failing = any(told.startswith(each) for each in world["fail"])
            code, output = (1, "it is broken\n") if failing else (0, "") if hang else act(world, program, argv)
        part = Path(folder) / "world.json.new"
        part.write_text(json.dumps(world))
        part.rename(Path(folder) / "world.json")
    if hang:
        time.sleep(600)  # until the test's subject ends it
    (sys.stdout if code == 0 else sys.stderr).write(output or refusal)
    return code


def checked(program: str, argv: list[str], depth: int, folder: str) -> str:
    """The same as `check`, asked once for calls that differ in the test's folder and in ports only."""
    world = json.loads((Path(folder) / "world.json").read_text())
    alike = re.sub(r"\d{4,5}", "0", "\0".join([program, *argv]).replace(folder, ""))
    known = Path(world["checked"]) / hashlib.sha256(alike.encode()).hexdigest()
    if known.exists():
        return ""
    refusal = check(program, argv, depth, world["real"].get(program))
    if program == "docker" and argv[:1] == ["exec"] and argv[2] == "kubectl":  # the node has one too
        refusal = refusal or check("kubectl", argv[3:], 1, world["real"].get("kubectl"))
    if not refusal:
        known.touch()
    return refusal


def check(program: str, argv: list[str], depth: int, real: str | None) -> str:
    """What the real program says against these options; empty when it takes them. With --help, nothing is carried out."""
    if real is None:
        return ""
    # An argument after the image or container would be that container's own.
    words = [*argv[:depth], "--help", *argv[depth:]]
    done = subprocess.run([real, *words], capture_output=True, text=True, timeout=60, check=False, env={"HOME": "/nonexistent"})
    said = done.stdout + done.stderr
    usage = rf"(?m)^(Usage:)?\s*{program} {' '.join(argv[:depth])}\b"
    if done.returncode or not re.search(usage, said):
        return said[:300] or "it said nothing"
    return ""


def option(argv: list[str], name: str) -> str:
    for number, word in enumerate(argv):
        if word == name:
            return argv[number + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""


def act(world: dict, program: str, argv: list[str]) -> tuple[int, str]:
    return {"docker": docker, "kind": kind, "kubectl": kubectl, "helm": helm}[program](world, argv)


def docker(world: dict, argv: list[str]) -> tuple[int, str]:  # noqa: C901, PLR0911, PLR0912 -- one branch for each command
    containers, networks = world["containers"], world["networks"]
    verb, last = argv[0], argv[-1]
    if verb == "info":
        return 0, json.dumps(world["info"])
    if verb == "network":
        return docker_network(world, argv)
    if verb == "run":
        labels = dict(word.split("=", 1) for at, word in enumerate(argv) if argv[at - 1] == "--label")
        containers[option(argv, "--name")] = {"labels": labels, "networks": ["bridge"], "files": {}}
        return 0, "id\n"
    if argv[:2] == ["container", "rm"]:
        containers.pop(last, None)
        return 0, ""
    if argv[:2] == ["container", "inspect"]:
        found = containers.get(last)
        if found is None:
            return 1, f"Error response from daemon: No such container: {last}\n"
        form = option(argv, "--format")
        if form == "{{json .}}":
            return 0, json.dumps({"State": {"Running": True}, "Config": {"Labels": found["labels"]}})
        if "Networks" in form:
            return 0, "connected\n" if networks and "kind" in found["networks"] else "\n"
        key = re.search(r'Labels "([^"]+)"', form)[1]
        return 0, f"true {found['labels'].get(key, '')}\n"
    if verb in {"build", "push"}:
        return 0, ""
    if verb == "cp":
        name, _, place = last.partition(":")
        containers[name]["files"][place] = Path(argv[-2]).read_text()
        return 0, ""
    if verb == "exec":
        inside = containers.get(argv[1])
        if inside is None:
            return 1, f"Error response from daemon: No such container: {argv[1]}\n"
        if argv[2] == "cat" and (mount := next((each for each in inside.get("mounts", ()) if last.startswith(each[1])), None)):
            there = Path(mount[0] + last.removeprefix(mount[1]))
            return (0, there.read_text()) if there.is_file() else (1, "cat: no such file\n")
        if argv[2] == "cat":
            return (0, inside["files"][last]) if last in inside["files"] else (1, "cat: no such file\n")
        if argv[2] == "kubectl":
            wanted = option(argv, "--selector").partition("=")[2]
            return 0, f"node/{argv[1]}\n" if inside["config"] == wanted else ""
        return 0, ""
    return 3, f"the stand-in does not know docker {verb}\n"


def docker_network(world: dict, argv: list[str]) -> tuple[int, str]:
    networks, containers, last = world["networks"], world["containers"], argv[-1]
    if argv[1] == "inspect":
        if last not in networks:
            return 1, f"Error: No such network: {last}\n"
        return 0, "".join(f"{name} " for name, each in containers.items() if last in each["networks"]) + "\n"
    if argv[1] == "connect":
        containers[last]["networks"].append(argv[2])
        return 0, ""
    if any(last in each["networks"] for each in containers.values()):
        return 1, f"error: network {last} has active endpoints\n"
    networks.remove(last)
    return 0, ""


def kind(world: dict, argv: list[str]) -> tuple[int, str]:
    name = option(argv, "--name")
    node = f"{name}-control-plane"
    if argv[:2] == ["create", "cluster"]:
        if node in world["containers"]:
            return 1, f"ERROR: failed to create cluster: node(s) already exist for a cluster with the name {name!r}\n"
        text = Path(option(argv, "--config")).read_text()
        config = re.search(r"gateproof.io/config: (\w+)", text)[1]
        mounts = re.findall(r"hostPath: (\S+)\n\s+containerPath: (\S+)", text)
        if not all(Path(folder).is_dir() for folder, _ in mounts):
            return 1, "ERROR: Docker would make a folder that is not there as root's\n"
        labels = {"io.x-k8s.kind.cluster": name}
        world["containers"][node] = {
            "labels": labels, "networks": ["kind"], "files": {}, "config": config, "mounts": mounts,
        }  # fmt: skip
        world["networks"] = sorted({*world["networks"], "kind"})
    if argv[:2] == ["delete", "cluster"]:
        world["containers"].pop(node, None)
        world["record"], world["applied"] = None, ""
    if argv[0] in {"create", "export"}:
        Path(option(argv, "--kubeconfig")).write_text("{}")
    return 0, ""


def kubectl(world: dict, argv: list[str]) -> tuple[int, str]:  # noqa: PLR0911 -- likewise
    if not Path(option(argv, "--kubeconfig")).is_file():
        return 1, "error: there is no kubeconfig\n"
    verb = argv[0]
    if verb == "apply":
        text = Path(option(argv, "--filename")).read_text()
        world["applied"] += text
        if "name: gateproof-setup" in text and world["record"] is None:
            world["record"] = {}
        return 0, ""
    if verb == "patch":
        if world["record"] is None:
            return 1, 'Error from server (NotFound): configmaps "gateproof-setup" not found\n'
        world["record"] |= json.loads(option(argv, "--patch"))["data"]
        return 0, ""
    if argv[:2] == ["get", "configmap"]:
        key = re.search(r"\.data\.([\w-]+)", option(argv, "--output"))[1]
        return (0, world["record"].get(key, "")) if world["record"] is not None else (1, "not found\n")
    if argv[:2] == ["get", "secret"]:
        return 0, base64.b64encode(f"password of {argv[2]}".encode()).decode()
    if argv[:2] == ["rollout", "status"]:
        name = argv[2].partition("/")[2]
        there = name in world["applied"]
        return (0, "successfully rolled out\n") if there else (1, f'Error from server (NotFound): "{name}" not found\n')
    return 0, ""


def helm(world: dict, argv: list[str]) -> tuple[int, str]:
    chart = argv[2]
    if not (chart.startswith("oci://") or (Path(chart) / "Chart.yaml").is_file()):
        return 1, f"Error: there is no chart {chart}\n"
    # What the charts make, as far as anybody asks for it.
    world["applied"] += f" {argv[1]} {argv[1]}-grafana prometheus-{argv[1]}-prometheus "
    return 0, ""


if __name__ == "__main__":
    sys.exit(main())
