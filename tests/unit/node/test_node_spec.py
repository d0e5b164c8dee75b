"""Reading a Pod, and saying what has no effect."""

from __future__ import annotations

from node_sim import Sim, pod_dict

from harness.platforms.local.node.spec import HttpGet, Probe, ProbeKind, Sleep, TcpSocket, Unusable, parse_pod


def test_probe_defaults_and_named_ports() -> None:
    pod = parse_pod(
        pod_dict(
            {
                "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9}],
                "readinessProbe": {
                    "httpGet": {"path": "readyz", "port": "http", "httpHeaders": [{"name": "Host", "value": "h"}]}
                },
                "livenessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 4},
                "startupProbe": {"httpGet": {"port": "none"}},
                "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
            }
        )
    )
    container = pod.containers[0]
    assert container.probes[ProbeKind.READINESS] == Probe(check=HttpGet(path="/readyz", port=8080, headers=(("Host", "h"),)))
    assert container.probes[ProbeKind.LIVENESS] == Probe(check=TcpSocket(port=8080), period=2, timeout=3, failure_threshold=4)
    assert container.probes[ProbeKind.STARTUP].check == Unusable(message="couldn't find port: none")
    assert container.pre_stop == Sleep(seconds=3)
    assert pod.named_ports == {"http": 8080}


def test_what_is_not_honoured_is_named() -> None:
    spec = {
        "hostNetwork": True,
        "securityContext": {"runAsUser": 1},
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "disk", "hostPath": {"path": "/"}}, {"name": "c", "configMap": {}}],
    }
    container = {
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp/"}, {"name": "c", "mountPath": "/etc/c"}],
        "resources": {"limits": {"cpu": "1"}},
        "securityContext": {"readOnlyRootFilesystem": True},
    }
    pod = parse_pod(pod_dict(container, **spec))
    assert set(pod.not_honoured) == {
        "hostNetwork",
        "securityContext.runAsUser",
        "volumes.hostPath",
        "containers.resources.limits",
        "containers.securityContext.readOnlyRootFilesystem",
        "containers.volumeMounts at /etc/c",
    }
    assert pod.containers[0].tmp_volume == "tmp"
    assert not parse_pod(pod_dict()).not_honoured


def test_status_and_entry_of_a_ready_pod() -> None:
    sim = Sim(pod_dict({"ports": [{"name": "http", "containerPort": 8080}]}, serviceAccountName="web")).news()
    assert sim.status["podIP"] == "127.77.0.1"
    assert sim.status["podIPs"] == [{"$patch": "replace"}, {"ip": "127.77.0.1"}]
    assert sim.status["hostIP"] == "127.0.0.1"
    assert {c["type"]: c["status"] for c in sim.status["conditions"]} == dict.fromkeys(
        ("PodScheduled", "Initialized", "ContainersReady", "Ready"), "True"
    )
    assert sim.container() == {
        "name": "app",
        "image": "r:1/app:v1",
        "imageID": "r:1/app@sha256:1",
        "containerID": "process://u1/app/0",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": "1970-01-12T13:46:40Z"}},
        "lastState": {},
    }
    assert sim.entry == {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {
            "name": "p",
            "namespace": "ns",
            "labels": {"app": "p"},
            "annotations": {"gateproof.dev/node": "n"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u1", "controller": False, "blockOwnerDeletion": False}
            ],
        },
        "spec": {"address": "127.77.0.1", "labels": {"app": "p"}, "serviceAccount": "web", "ports": {"http": 8080}},
    }


def test_address_is_told_before_the_process_answers() -> None:
    sim = Sim(pod_dict(), auto=False).news()
    assert sim.status["podIP"] == "127.77.0.1"
    assert sim.status["phase"] == "Pending"
    assert sim.waiting() == ("ContainerCreating", "")
