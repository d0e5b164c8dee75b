"""The chart's options, and few sets of them that hold every three options in every way they can stand together. PURE: no I/O."""

from __future__ import annotations

import itertools
import random

OFF, ON = "off", "on"
# Each option with its settings: the first is "off", the last is "on", what each stands for is values as dotted paths.
OPTIONS: dict[str, dict[str, dict[str, object]]] = {
    "split": {"subsets": {}, "services": {"rollout.trafficSplit": "services"}},
    "source": {
        "app": {},
        "envoy": {"analysis.source": "envoy", "analysis.envoy.latencyBucketsMs": [299]},
        "istio": {"analysis.source": "istio"},
    },
    "gateway": {
        "own": {},
        "existing": {"gateway.create": False, "gateway.existing": "istio-system/shared"},
        "tls": {"gateway.tls.enabled": True, "gateway.tls.credentialName": "certificate"},
    },
    "steps": {
        "weights": {},
        "objects": {
            "rollout.steps": [
                {"argo": {"setCanaryScale": {"replicas": 1}}},
                {"argo": {"pause": {"duration": "10s"}}},
                {"argo": {"setCanaryScale": {"matchTrafficWeight": True}}},
                {"weight": 5, "windowSeconds": 120, "pauseSeconds": 30},
                {"weight": 20, "analysis": False},
                50,
            ],
        },
    },
    "probes": {
        "http": {},
        "none": {f"probes.{name}.type": "none" for name in ("startup", "readiness", "liveness")},
        "others": {
            "probes.startup": {"type": "tcp"},
            "probes.readiness": {"type": "grpc", "port": 9000, "service": "ready"},
            "probes.liveness": {"type": "exec", "command": ["true"]},
        },
    },
    "pod": {
        "plain": {},
        "bare": {"tmp.enabled": False, "network.portVariable": "", "network.podVariables": False, "metrics.annotations": False},
        "rich": {
            "command": ["/app"],
            "args": ["--verbose"],
            "env": [{"name": "A", "value": "1"}],
            "envFrom": [{"configMapRef": {"name": "settings"}}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "initContainers": [{"name": "before", "image": "busybox", "command": ["true"]}],
            "extraContainers": [{"name": "beside", "image": "busybox", "command": ["sleep", "inf"]}],
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
            ],
            "priorityClassName": "high",
            "imagePullSecrets": [{"name": "pull"}],
            "podLabels": {"team": "blue"},
            "network.bindPodIP": True,
        },
    },
    "metrics port": {OFF: {}, ON: {"metrics.port": 9100}},
    "testers": {OFF: {}, ON: {"testers.enabled": True, "rollout.managedRoutes": ["mirror"]}},
    "autoscaling": {OFF: {}, ON: {"autoscaling.enabled": True}},
    "budget": {OFF: {"podDisruptionBudget.enabled": False}, ON: {}},
    "account": {OFF: {"serviceAccount.create": False}, ON: {}},
    "pod monitor": {OFF: {}, ON: {"podMonitor.enabled": True, "podMonitor.port": 15020, "podMonitor.path": "/stats/prometheus"}},
    "service monitor": {OFF: {}, ON: {"serviceMonitor.enabled": True, "serviceMonitor.interval": "5s"}},
    "network policy": {OFF: {}, ON: {"networkPolicy.enabled": True}},
    "peer authentication": {OFF: {}, ON: {"peerAuthentication.enabled": True}},
    "authorization": {
        OFF: {},
        ON: {
            "authorizationPolicy.enabled": True,
            "callers.gatewayPrincipals": ["cluster.local/ns/istio-system/sa/gateway"],
            "callers.prometheusPrincipals": ["cluster.local/ns/monitoring/sa/prometheus"],
        },
    },
    "dashboards": {OFF: {}, ON: {"dashboards.enabled": True, "dashboards.annotations": {"grafana_folder": "canaries"}}},
    "rules": {OFF: {}, ON: {"rules.enabled": True, "rules.configMap": True, "rules.labels": {"release": "kube-prometheus"}}},
    "notifications": {OFF: {}, ON: {"notifications": {"on-rollout-aborted.slack": "releases"}}},
    "dry run": {OFF: {}, ON: {"analysis.dryRun": ["latency-p95"]}},
    "traffic policy": {OFF: {}, ON: {"destinationRule.trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 100}}}}},
    "test": {OFF: {"tests.enabled": False}, ON: {}},
    "shutdown": {OFF: {"shutdown.preStopSleepSeconds": 0}, ON: {}},
}  # fmt: skip

Choice = tuple[str, ...]
"""One setting of each option, in the order of OPTIONS."""


def values(choice: Choice) -> dict[str, object]:
    """The chart's values for this choice."""
    found: dict[str, object] = {}
    for option, setting in zip(OPTIONS, choice, strict=True):
        found |= OPTIONS[option][setting]
    return found


def described(choice: Choice) -> str:
    return ", ".join(f"{option}={setting}" for option, setting in zip(OPTIONS, choice, strict=True))


def uncovered(choices: list[Choice], strength: int = 3) -> set[tuple[tuple[int, str], ...]]:
    """Which settings of `strength` options stand together in none of the choices."""
    settings = [[(index, name) for name in OPTIONS[option]] for index, option in enumerate(OPTIONS)]
    wanted = {together for group in itertools.combinations(settings, strength) for together in itertools.product(*group)}
    for choice in choices:
        wanted -= set(itertools.combinations(enumerate(choice), strength))
    return wanted


def covering(strength: int = 3, *, seed: int = 0) -> list[Choice]:
    """All off, all on, and as many more as it takes for every `strength` settings to stand together somewhere.

    Greedy: the best of some random choices that hold a missing combination, until none is missing. One seed, one answer.
    """
    rng = random.Random(seed)
    names = [list(settings) for settings in OPTIONS.values()]
    chosen = [tuple(each[0] for each in names), tuple(each[-1] for each in names)]
    missing = uncovered(chosen, strength)
    while missing:
        best: Choice = ()
        covered: set[tuple[tuple[int, str], ...]] = set()
        for must in rng.sample(sorted(missing), min(len(missing), 12)):
            draft = [rng.choice(each) for each in names]
            for index, setting in must:
                draft[index] = setting
            found = set(itertools.combinations(enumerate(draft), strength)) & missing
            if len(found) > len(covered):
                best, covered = tuple(draft), found
        chosen.append(best)
        missing -= covered
    return chosen
