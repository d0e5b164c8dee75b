"""The node agent against a real API server: what users see of pods without a kubelet."""

from __future__ import annotations

import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import psutil
import pytest
from node_cluster import APP, Cluster, cluster, ready, until, waiting

from harness.platforms.local.node.puller import Puller, PullError
from harness.platforms.local.node.watching import PodWatch

__all__ = ["cluster"]

READINESS = {"readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}}
PORTS = {"ports": [{"name": "http", "containerPort": 8080}]}


@pytest.fixture
def agent(cluster: Cluster) -> Iterator[Any]:
    child = cluster.start_agent()
    yield child
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        child.wait(15)


def get(pod: dict[str, Any], path: str) -> str:
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8080{path}", timeout=3) as answer:
        return answer.read().decode()


def container(pod: dict[str, Any]) -> dict[str, Any]:
    return (pod["status"].get("containerStatuses") or [{}])[0] if pod.get("status") else {}


def test_pod_becomes_a_ready_process_and_goes_in_order(cluster: Cluster, agent: Any, tmp_path: Path) -> None:
    ns, notes = cluster.namespace(), tmp_path / "notes"
    env = [{"name": "NOTES", "value": str(notes)}, {"name": "GREETING", "value": "I am $(POD_IP)"}]
    hook = {"lifecycle": {"preStop": {"httpGet": {"path": "/prestop", "port": "http"}}}}
    made = cluster.create(ns, "p", {**PORTS, **READINESS, **hook, "env": env}, serviceAccountName="web")
    pod = until("pod ready", lambda: ready(p := cluster.pod(ns, "p")) and p)
    address = pod["status"]["podIP"]
    environment = get(pod, "/")
    assert f"'GREETING': 'I am {address}'" in environment
    assert "'FROM_IMAGE': 'yes'" in environment
    assert "PYTHONPATH" not in environment
    assert container(pod)["imageID"].startswith(cluster.image.rpartition(":")[0] + "@sha256:")
    entry = until("WorkloadEntry", lambda: cluster.entry(ns, "p"))
    assert entry["spec"] == {"address": address, "labels": {"app": "p"}, "ports": {"http": 8080}, "serviceAccount": "web"}
    assert entry["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    cluster.delete(ns, "p")
    until("pod deleted", lambda: not cluster.pod(ns, "p"))
    assert not cluster.entry(ns, "p")
    assert not cluster.processes(made["metadata"]["uid"])
    last = [line.split()[1] for line in notes.read_text().splitlines()][-2:]
    assert last == ["/prestop", "SIGTERM"]
    log = cluster.agent_log().splitlines()
    where = {text: max(i for i, line in enumerate(log) if text in line) for text in ("WorkloadEntry is deleted", "SIGTERM to")}
    assert where["WorkloadEntry is deleted"] < where["SIGTERM to"]


def test_unready_pod_loses_its_entry_and_gets_it_back(cluster: Cluster, agent: Any) -> None:
    ns = cluster.namespace()
    cluster.create(ns, "p", {**PORTS, **READINESS})
    pod = until("pod ready", lambda: ready(p := cluster.pod(ns, "p")) and p)
    until("entry", lambda: cluster.entry(ns, "p"))
    get(pod, "/set?/readyz=503")
    until("entry gone", lambda: not cluster.entry(ns, "p"))
    until("pod unready", lambda: not ready(cluster.pod(ns, "p")))
    assert container(cluster.pod(ns, "p"))["restartCount"] == 0
    told = ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")
    until("event", lambda: told in cluster.events(ns))
    get(pod, "/set?/readyz=200")
    until("entry back", lambda: cluster.entry(ns, "p"))


def test_failed_liveness_restarts_the_container(cluster: Cluster, agent: Any) -> None:
    ns = cluster.namespace()
    liveness = {"livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2}}
    cluster.create(ns, "p", {**PORTS, **READINESS, **liveness})
    pod = until("pod ready", lambda: ready(p := cluster.pod(ns, "p")) and p)
    get(pod, "/set?/healthz=500")
    again = until("restarted", lambda: ready(p := cluster.pod(ns, "p")) and container(p)["restartCount"] == 1 and p)
    assert container(again)["lastState"]["terminated"]["exitCode"] == 0
    assert again["status"]["podIP"] == pod["status"]["podIP"]
    until("event", lambda: ("Killing", "Container app failed liveness probe, will be restarted") in cluster.events(ns))


def test_failures_have_the_names_that_users_know(cluster: Cluster, agent: Any) -> None:
    ns = cluster.namespace()
    host = cluster.image.partition("/")[0]
    crash = {"env": [{"name": "EXIT", "value": "3"}], "terminationMessagePolicy": "FallbackToLogsOnError"}
    cluster.create(ns, "crash", crash)
    cluster.create(ns, "absent", {"image": f"{host}/none:v1"})
    cluster.create(ns, "never", {"image": f"{host}/other:v1", "imagePullPolicy": "Never"})
    cluster.create(ns, "name", {"image": f"{host}/UPPER CASE"})
    cluster.create(ns, "config", {"envFrom": [{"configMapRef": {"name": "settings"}}]})
    cluster.create(ns, "start", {"command": ["/no/such/program"]})
    want = {
        "absent": "ErrImagePull",
        "never": "ErrImageNeverPull",
        "name": "InvalidImageName",
        "config": "CreateContainerConfigError",
    }
    for name, reason in want.items():
        until(f"{name}: {reason}", lambda name=name, reason=reason: waiting(cluster.pod(ns, name)) == reason)
    until("back-off", lambda: waiting(cluster.pod(ns, "absent")) == "ImagePullBackOff")
    crashed = until("crash loop", lambda: waiting(p := cluster.pod(ns, "crash")) == "CrashLoopBackOff" and p)
    assert crashed["status"]["phase"] == "Running"
    status = container(crashed)
    assert (status["restartCount"], status["ready"]) == (1, False)
    assert status["lastState"]["terminated"] | {"startedAt": 0, "finishedAt": 0, "containerID": ""} == {
        "exitCode": 3, "reason": "Error", "message": "leaving with 3", "startedAt": 0, "finishedAt": 0, "containerID": "",
    }  # fmt: skip
    assert status["state"]["waiting"]["message"].startswith("back-off 10s restarting failed container=app pod=crash_")
    failed = until(
        "start error", lambda: waiting(p := cluster.pod(ns, "start")) in {"RunContainerError", "CrashLoopBackOff"} and p
    )
    assert container(failed)["lastState"]["terminated"]["reason"] == "StartError"
    assert container(cluster.pod(ns, "config"))["state"]["waiting"]["message"] == 'configmap "settings" not found'
    for name in (*want, "crash", "start"):
        cluster.delete(ns, name)
    until("all deleted", lambda: not cluster.api.call("GET", f"/api/v1/namespaces/{ns}/pods").body["items"])


def test_pull_policies(cluster: Cluster, tmp_path: Path) -> None:
    def puller(crane: Path) -> Puller:
        return Puller(crane, tmp_path / "store", tmp_path / "tags.json")

    online, offline = puller(cluster.bin / "crane"), puller(tmp_path / "no-crane")
    first = cluster.push("policy")
    with pytest.raises(PullError) as caught:
        online.pull(first, "Never")
    assert caught.value.reason == "ErrImageNeverPull"
    one = online.pull(first, "IfNotPresent").reference
    cluster.push("policy", marker="changed")
    assert online.pull(first, "IfNotPresent").reference == one, "present: the registry is not asked"
    assert online.pull(first, "Never").reference == one
    two = online.pull(first, "Always").reference
    assert two != one
    assert puller(tmp_path / "no-crane").pull(first, "Never").reference == two, "remembered by the next agent"
    assert offline.pull(one, "IfNotPresent").reference == one, "a digest that is here needs no registry"
    for image, reason in ((f"{first}-none", "ErrImagePull"), ("UPPER/x y", "InvalidImageName")):
        with pytest.raises(PullError) as caught:
            online.pull(image, "Always")
        assert caught.value.reason == reason


def test_init_containers_and_policies(cluster: Cluster, agent: Any, tmp_path: Path) -> None:
    ns, notes = cluster.namespace(), tmp_path / "order"
    write = "import os; open(os.environ['OUT'], 'a').write('init ')"
    out = [{"name": "OUT", "value": str(notes)}]
    init = {"name": "init", "image": cluster.image, "command": ["python3", "-c", write], "env": out}
    cluster.create(ns, "done", {"env": [{"name": "EXIT", "value": "0"}]}, restartPolicy="Never", initContainers=[init])
    cluster.create(ns, "failed", {"env": [{"name": "EXIT", "value": "4"}]}, restartPolicy="Never")
    done = until("succeeded", lambda: (p := cluster.pod(ns, "done"))["status"]["phase"] == "Succeeded" and p)
    assert notes.read_text() == "init "
    assert done["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    until("failed", lambda: cluster.pod(ns, "failed")["status"]["phase"] == "Failed")


def test_process_that_ignores_sigterm_is_killed_with_all_its_children(cluster: Cluster, agent: Any) -> None:
    ns = cluster.namespace()
    code = "import os, signal, time; signal.signal(15, signal.SIG_IGN); os.fork(); time.sleep(600)"
    made = cluster.create(ns, "p", {"command": ["python3", "-c", code]}, terminationGracePeriodSeconds=2)
    until("two processes", lambda: len(cluster.processes(made["metadata"]["uid"])) == 2)
    begun = time.monotonic()
    cluster.delete(ns, "p")
    until("pod deleted", lambda: not cluster.pod(ns, "p"))
    assert time.monotonic() - begun > 1, "it was given no time to end by itself"
    until("processes gone", lambda: not cluster.processes(made["metadata"]["uid"]))


def test_killed_agent_leaves_nothing_and_its_successor_starts_afresh(cluster: Cluster) -> None:
    first, ns = cluster.start_agent(), cluster.namespace()
    fork = "import os, time; os.fork() or os.execvp('sleep', ['sleep', '600']); exec(open(os.environ['SCRIPT']).read())"
    script = cluster.folder / "script.py"
    script.write_text(APP)
    env = [{"name": "SCRIPT", "value": str(script)}]
    made = cluster.create(ns, "p", {**PORTS, **READINESS, "command": ["python3", "-c", fork], "env": env})
    pod = until("pod ready", lambda: ready(p := cluster.pod(ns, "p")) and p)
    uid = made["metadata"]["uid"]
    assert len(cluster.processes(uid)) == 2
    first.send_signal(signal.SIGKILL)
    first.wait(5)
    until("no process", lambda: not cluster.processes(uid))
    assert cluster.entry(ns, "p"), "nobody was there to delete it"
    second = cluster.start_agent()
    assert f"{ns}/p: WorkloadEntry of an earlier agent deleted" in cluster.agent_log()
    again = until("ready again", lambda: ready(p := cluster.pod(ns, "p")) and container(p)["restartCount"] == 1 and p)
    assert again["status"]["podIP"] != pod["status"]["podIP"]
    assert again["status"]["podIPs"] == [{"ip": again["status"]["podIP"]}]
    assert container(again)["lastState"]["terminated"]["exitCode"] == 137
    until("entry with the new address", lambda: cluster.entry(ns, "p").get("spec", {}).get("address") == again["status"]["podIP"])
    assert len(cluster.processes(uid)) == 2
    second.send_signal(signal.SIGTERM)
    assert second.wait(15) == 0
    assert not cluster.processes(uid)
    assert not cluster.entry(ns, "p")


def test_api_server_restart_is_survived(cluster: Cluster, agent: Any) -> None:
    ns = cluster.namespace()
    cluster.create(ns, "before", {**PORTS, **READINESS})
    pod = until("pod ready", lambda: ready(p := cluster.pod(ns, "before")) and p)
    cluster.apiserver.kill()
    cluster.apiserver.wait()
    # What changes while nobody can be told must be told afterwards.
    get(pod, "/set?/readyz=503")
    used = sum(psutil.Process(agent.pid).cpu_times()[:2])
    cluster.apiserver = cluster.start_apiserver()
    until("entry gone", lambda: not cluster.entry(ns, "before"))
    until("unready told", lambda: (p := cluster.pod(ns, "before")) and not ready(p))
    cluster.create(ns, "after", {**PORTS, **READINESS})
    until("new pod ready", lambda: ready(cluster.pod(ns, "after")))
    assert sum(psutil.Process(agent.pid).cpu_times()[:2]) - used < 2, "it must not spin while the API server is away"
    assert "Traceback" not in cluster.agent_log()
    assert "fault in the node agent" not in cluster.agent_log()


def test_watch_that_is_too_old_is_begun_afresh(cluster: Cluster) -> None:
    lists: Queue[int] = Queue()
    lines: list[str] = []
    watch = PodWatch(cluster.api, listed=lambda pods: lists.put(len(pods)), changed=lambda *_: None, log=lines.append)
    watch._version = "1"  # long before anything that this API server remembers: it answers 410 Gone
    watch.start()
    lists.get(timeout=5)
    watch.stop()
    assert not lines, "an expired watch is nobody's fault"


def test_second_agent_in_the_same_folder_is_refused(cluster: Cluster, agent: Any) -> None:
    with pytest.raises(AssertionError, match="another node agent works there"):
        cluster.start_agent()
