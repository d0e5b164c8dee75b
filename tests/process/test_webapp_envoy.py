"""The web app behind a real Envoy that keeps its connections: what its clients see of faults, and of a stop under load."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests
from webapp_server import DEADLINE_SECONDS, Server, running, wait_for

from harness.platforms.local import binaries
from harness.supervisor.ports import free_port

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "envoy.extensions.filters.http.router.v3.Router"
ASSIGNMENT = "envoy.config.endpoint.v3.ClusterLoadAssignment"
IMPATIENT = {"X-Impatient": "yes"}
CLIENTS = 8
REPLACEMENTS = 3


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def typed(name: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/{name}", **fields}


@dataclass(frozen=True, kw_only=True)
class Envoy:
    url: str
    admin: str
    folder: Path

    def route_to(self, *servers: Server) -> None:
        """Change the endpoints, as a control plane does when pods come and go; returns when Envoy has taken it in."""
        endpoints = [{"endpoint": {"address": address(server.address[1])}} for server in servers]
        assignment = typed(ASSIGNMENT, cluster_name="app", endpoints=[{"lb_endpoints": endpoints}])
        new = self.folder / "new.json"
        new.write_text(json.dumps({"version_info": "1", "resources": [assignment]}))
        new.rename(self.folder / "endpoints.json")
        wait_for(lambda: self.statistic("membership_total") == len(servers), "endpoints")

    def statistic(self, name: str) -> int:
        text = requests.get(f"{self.admin}/stats?filter=^cluster.app.{name}$", timeout=DEADLINE_SECONDS).text
        return int(text.split(": ")[1]) if text.strip() else -1


def bootstrap(port: int, admin: int, folder: Path) -> dict[str, Any]:
    impatient = {"prefix": "/", "headers": [{"name": name, "present_match": True} for name in IMPATIENT]}
    routes = [
        {"match": impatient, "route": {"cluster": "app", "timeout": "0.2s"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": f"{DEADLINE_SECONDS}s"}},
    ]
    manager = typed(
        MANAGER,
        stat_prefix="http",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        http_filters=[{"name": "router", "typed_config": typed(ROUTER)}],
    )
    http = {"name": "http", "typed_config": manager}
    endpoints = {"path_config_source": {"path": str(folder / "endpoints.json")}, "resource_api_version": "V3"}
    return {
        "node": {"id": "test", "cluster": "test"},
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": [{"address": address(port), "filter_chains": [{"filters": [http]}]}],
            "clusters": [
                {"name": "app", "type": "EDS", "connect_timeout": "5s", "eds_cluster_config": {"eds_config": endpoints}}
            ],
        },
    }


@contextmanager
def gateway(folder: Path, *servers: Server) -> Iterator[Envoy]:
    port, admin = free_port(), free_port()
    envoy = Envoy(url=f"http://127.0.0.1:{port}", admin=f"http://127.0.0.1:{admin}", folder=folder)
    nobody = typed(ASSIGNMENT, cluster_name="app")
    (folder / "endpoints.json").write_text(json.dumps({"version_info": "0", "resources": [nobody]}))
    (folder / "envoy.json").write_text(json.dumps(bootstrap(port, admin, folder)))
    command = [str(binaries.envoy()), "--config-path", str(folder / "envoy.json"), "--concurrency", "1", "--use-dynamic-base-id"]
    with (folder / "envoy.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:

        def ready() -> bool:
            assert process.poll() is None, (folder / "envoy.log").read_text()
            try:
                return requests.get(f"{envoy.admin}/ready", timeout=DEADLINE_SECONDS).status_code == 200
            except requests.ConnectionError:
                return False

        try:
            wait_for(ready, "Envoy")
            envoy.route_to(*servers)
            yield envoy
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("plan", "status", "statistic"),
    [
        ({"reset_rate": 100}, 503, "upstream_cx_destroy_remote_with_active_rq"),
        ({"hang_rate": 100}, 504, "upstream_rq_timeout"),
        ({"error_rate": 100, "status_code": 502}, 502, "upstream_rq_502"),
    ],
)
def test_the_gateway_sees_what_the_app_cannot_count(tmp_path: Path, plan: Any, status: int, statistic: str) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(running(tmp_path / "app.log", FAULT_ADMIN="true"))
        envoy = stack.enter_context(gateway(tmp_path, server))
        user = stack.enter_context(requests.Session())
        faults = f"{server.url}/faults"

        def get(**headers: str) -> int:
            return user.get(envoy.url, headers=headers, timeout=DEADLINE_SECONDS).status_code

        assert [get(), get()] == [200, 200]
        files = server.worker().num_fds()
        requests.put(faults, json=plan, timeout=DEADLINE_SECONDS).raise_for_status()
        patience = IMPATIENT if "hang_rate" in plan else {}
        assert [get(**patience), get(**patience)] == [status, status]
        wait_for(lambda: envoy.statistic(statistic) == 2, statistic)
        requests.delete(faults, timeout=DEADLINE_SECONDS).raise_for_status()
        assert [get(), get()] == [200, 200]
        wait_for(lambda: server.worker().num_fds() <= files + 1, "release of what was held")


def asked(server: Server) -> float:
    """The users' requests that it has answered."""
    return server.metric("http_server_request_duration_seconds_count", http_route="/delay/{seconds}")


class Left:
    """Whether Envoy sends to the new server alone: so many requests in a row that none of them went to the old one by chance."""

    def __init__(self, old: Server, new: Server) -> None:
        self._old, self._new = old, new
        self._begin()

    def _begin(self) -> None:
        # In this order: what comes between the two is then no proof.
        self._of_old, self._of_new = asked(self._old), asked(self._new)

    def __call__(self) -> bool:
        since = asked(self._new) - self._of_new
        if asked(self._old) != self._of_old:
            self._begin()
            return False
        return since >= 40


def test_replacing_the_app_under_load_loses_no_request(tmp_path: Path) -> None:
    stop = Event()

    def use(envoy: Envoy) -> Counter[int]:
        seen: Counter[int] = Counter()
        with requests.Session() as user:
            while not stop.is_set():
                seen[user.get(f"{envoy.url}/delay/0.005", timeout=DEADLINE_SECONDS).status_code] += 1
        return seen

    def loaded(server: Server) -> bool:
        return server.metric("http_server_request_duration_seconds_count") > 50

    with ExitStack() as stack:
        current = stack.enter_context(running(tmp_path / "first.log"))
        envoy = stack.enter_context(gateway(tmp_path, current))
        pool = stack.enter_context(ThreadPoolExecutor(CLIENTS))
        stack.callback(stop.set)
        users = [pool.submit(use, envoy) for _ in range(CLIENTS)]
        for number in range(REPLACEMENTS):
            after = stack.enter_context(running(tmp_path / f"{number}.log"))
            envoy.route_to(current, after)
            wait_for(lambda both=(current, after): all(map(loaded, both)), "load on both")
            # As in Kubernetes: out of the endpoints first, for as long as the preStop sleep takes, and then SIGTERM.
            envoy.route_to(after)
            wait_for(Left(current, after), "Envoy's worker going by it")
            current.process.terminate()
            assert current.process.wait(DEADLINE_SECONDS) == 0
            current = after
        stop.set()
        seen = sum((user.result() for user in users), Counter[int]())
    assert set(seen) == {200}, seen
