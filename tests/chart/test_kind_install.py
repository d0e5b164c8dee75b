"""The kind platform's plan carried out for real on a bare API server: each kubectl and helm call in order, twice.

Nobody runs there who would start a pod, so what waits for pods is left out; and so is the one chart that is not to be had here.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chart_api import Api, api_server
from chart_tools import operator_definitions

from harness.platforms.kind import toolchain
from harness.platforms.kind.config import GATEWAY, KindConfig
from harness.platforms.kind.step import Call, Step, ordered
from harness.platforms.kind.steps import steps

DEADLINE = 120  # seconds


@pytest.fixture(scope="module")
def bare(bin_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API server of this module's own, with nothing but what the chart that is left out would bring."""
    with api_server(bin_dir, tmp_path_factory.mktemp("bare"), list(operator_definitions())) as running:
        yield running


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    folder = tmp_path_factory.mktemp("plan")
    sources = toolchain.ensure(print).sources()
    config = KindConfig(folder=folder, kubeconfig=folder / "kubeconfig", sources=sources, git=folder / "private" / "git")
    found = [step for step in ordered(steps(config)) if step.name != "monitoring"]
    return [step for step in found if any(call.argv[0] in {"kubectl", "helm"} for call in step.calls)]


def here(api: Api, call: Call) -> list[str | Path]:
    """A call of the plan, but for the cluster that it names."""
    program, *rest = call.argv
    argv: list[str | Path] = [api.kubectl.parent / program]
    words = iter(rest)
    for word in words:
        if word in {"--kubeconfig", "--kube-context"}:
            next(words)
        elif not word.startswith(("--kubeconfig=", "--context=")):
            argv.append(word)
    return [*argv, "--kubeconfig", api.kubeconfig]


def environment(api: Api) -> dict[str, str]:
    return {"HOME": str(api.kubeconfig.parent), "PATH": "/usr/bin:/bin"}


def carry_out(api: Api, call: Call) -> str:
    """Carry it out, without waiting for pods."""
    argv = [word for word in here(api, call) if word != "--wait"]
    done = subprocess.run(
        argv, env=environment(api), capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, f"{' '.join(call.argv)}: {done.stderr}"
    return done.stdout


def write(step: Step) -> None:
    for path, file in step.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)


def install(api: Api, step: Step) -> None:
    write(step)
    for call in step.calls:
        if call.argv[1:3] != ("rollout", "status"):
            carry_out(api, call)


def as_istiod_does(api: Api, policy: str) -> None:
    """Once it is ready, istiod fills in its webhooks, and from then on owns fields that the charts have too."""
    kind = "validatingwebhookconfiguration"
    for each in json.loads(api.run("get", kind, "--output", "json"))["items"]:
        hooks = {"webhooks": [{"name": hook["name"], "failurePolicy": policy} for hook in each["webhooks"]]}
        api.run("patch", kind, each["metadata"]["name"], "--field-manager=pilot-discovery", "--patch", json.dumps(hooks))


def test_the_plan_can_be_carried_out_is_then_on_record_and_can_be_carried_out_again(bare: Api, plan: list[Step]) -> None:
    for step in plan:
        install(bare, step)
    for step in plan:
        look = step.done[0]
        assert carry_out(bare, look.call).strip() == look.prints, step.name
    as_istiod_does(bare, "Fail")
    for step in plan:
        install(bare, step)
        if step.name in {"istio-base", "istiod"}:
            as_istiod_does(bare, "Ignore")  # for there is none that would answer



def test_an_installation_goes_on_after_helm_was_killed_in_the_middle_of_it(bare: Api, plan: list[Step]) -> None:
    named = {step.name: step for step in plan}
    install(bare, named["namespaces"])
    gateway = named["gateway"]
    write(gateway)
    upgrade = gateway.calls[1]
    helm = subprocess.Popen(here(bare, upgrade), env=environment(bare), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + DEADLINE
        pending = f"--selector=name={GATEWAY},status in (pending-install,pending-upgrade)"
        while not bare.run("get", "secrets", "--namespace=istio-system", pending, "--output=name"):
            assert helm.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)  # between two looks; the condition is the answer, not the time
    finally:
        helm.kill()
        helm.wait()
    with pytest.raises(AssertionError, match="another operation"):
        carry_out(bare, upgrade)
    install(bare, gateway)
