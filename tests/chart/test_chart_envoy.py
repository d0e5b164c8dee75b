"""What a real Envoy counts, with the local gateway's own settings: the ground that analysis.source envoy stands on."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from chart_api import DEADLINE, free_ports, process
from docs_support import DOCS

from harness.loopback import local_session
from harness.platforms.local.binaries import Binaries, envoy
from harness.platforms.local.components.gateway import LATENCY_BOUNDS_MS, files
from harness.platforms.local.config import LocalConfig, Ports
from harness.platforms.local.paths import RunPaths

CANARY = "outbound|80|canary|webapp.webapp.svc.cluster.local"
EMPTY = "outbound|80|empty|webapp.webapp.svc.cluster.local"


class App(BaseHTTPRequestHandler):
    """Answers /code/N with that status, /sleep/MS after so long, /hang never, and /reset with a reset connection."""

    def do_GET(self) -> None:
        _, what, *argument = self.path.split("/")
        if what == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        if what == "hang":
            self.server.released.wait(DEADLINE)  # type: ignore[attr-defined]
            return
        if what == "sleep":
            time.sleep(int(argument[0]) / 1000)  # what it is asked for, not a wait of the test's
        self.send_response(int(argument[0]) if what == "code" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def local_statistics() -> dict[str, Any]:
    """The local gateway's settings, and besides its own bounds the one that one would think of first."""
    paths = RunPaths(root=Path("/run"))
    numbers = Ports(**{name: 30000 + number for number, name in enumerate(Ports.free_names())})
    config = LocalConfig(
        paths=paths,
        ports=numbers,
        binaries=Binaries(folder=Path("/b")),
        envoy=Path("/e"),
        python=Path("/p"),
        source=Path("/s"),
        image_store=Path("/i"),
    )
    settings = json.loads(files(config)[paths.config / "envoy.json"])
    settings["stats_config"]["histogram_bucket_settings"][0]["buckets"] = sorted([*LATENCY_BOUNDS_MS, 300])
    return {key: settings[key] for key in ("stats_config", "stats_flush_interval")}


def documented_statistics() -> dict[str, Any]:
    """What Istio's bootstrap makes of the annotations in docs/chart.md, and of Istio's own labels."""
    (block,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "chart.md").read_text(), re.DOTALL)
    annotations = yaml.safe_load(block)
    settings = local_statistics()
    buckets = json.loads(annotations["sidecar.istio.io/statsHistogramBuckets"])
    regexes = annotations["sidecar.istio.io/statsInclusionRegexps"].split(",")
    patterns = [{"prefix": "server"}, *({"safe_regex": {"regex": regex}} for regex in regexes)]
    settings["stats_config"] |= {
        "histogram_bucket_settings": [{"match": {"prefix": name}, "buckets": bounds} for name, bounds in buckets.items()],
        "stats_matcher": {"inclusion_list": {"patterns": patterns}},
    }
    return settings | {"stats_flush_interval": annotations["sidecar.istio.io/statsFlushInterval"]}


def bootstrap(statistics: dict[str, Any], *, admin: int, listener: int, app: int) -> dict[str, Any]:
    """One listener, to the app; a request to /empty/… goes to a cluster without pods."""

    def address(port: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    def cluster(name: str, ports: list[int]) -> dict[str, Any]:
        hosts = [{"endpoint": {"address": address(port)}} for port in ports]
        return {
            "name": name,
            "alt_stat_name": f"{name};",  # as istiod has it
            "type": "STATIC",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]},
        }

    def filtered(name: str, **more: object) -> dict[str, Any]:
        package, _, message = name.rpartition(".")
        return {"@type": f"type.googleapis.com/envoy.extensions.filters.{package}.v3.{message}", **more}

    routes = [
        {"match": {"prefix": "/empty/"}, "route": {"cluster": EMPTY}},
        {"match": {"prefix": "/"}, "route": {"cluster": CANARY, "timeout": "1s"}},
    ]
    manager = filtered(
        "network.http_connection_manager.HttpConnectionManager",
        stat_prefix="in",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        http_filters=[{"name": "envoy.filters.http.router", "typed_config": filtered("http.router.Router")}],
    )
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        **statistics,
        "admin": {"address": address(admin)},
        "static_resources": {
            "clusters": [cluster(CANARY, [app]), cluster(EMPTY, [])],
            "listeners": [{"name": "in", "address": address(listener), "filter_chains": [chain]}],
        },
    }


Get = Callable[[str], requests.Response]
Counted = Callable[[str], dict[str, float]]


@pytest.fixture(params=[local_statistics])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Get, Counted]]:
    """How to ask the app by way of Envoy, and what Envoy then has of a metric: its value by its labels other than the cluster."""
    admin, listener = free_ports(2)
    app = ThreadingHTTPServer(("127.0.0.1", 0), App)
    app.daemon_threads = True
    app.released = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=app.serve_forever, daemon=True).start()
    settings = bootstrap(request.param(), admin=admin, listener=listener, app=int(app.server_address[1]))
    (tmp_path / "envoy.json").write_text(json.dumps(settings))
    session = local_session()

    def get(path: str) -> requests.Response:
        return session.get(f"http://127.0.0.1:{listener}{path}", timeout=DEADLINE)

    def counted(metric: str, cluster: str = CANARY) -> dict[str, float]:
        text = session.get(f"http://127.0.0.1:{admin}/stats/prometheus", timeout=DEADLINE).text
        found = re.findall(rf'^{metric}{{cluster_name="{re.escape(cluster)}",?([^}}]*)}} (\S+)$', text, re.MULTILINE)
        return {labels: float(value) for labels, value in found}

    argv: list[str | Path] = [envoy(), "--config-path", tmp_path / "envoy.json", "--concurrency", "1", "--disable-hot-restart"]
    with process(tmp_path, argv) as running:
        until(lambda: _ready(session, admin), lambda: running.poll() is None)
        yield get, counted
    app.released.set()  # type: ignore[attr-defined]
    app.shutdown()
    app.server_close()


def _ready(session: requests.Session, admin: int) -> bool:
    try:
        return session.get(f"http://127.0.0.1:{admin}/ready", timeout=DEADLINE).ok
    except requests.ConnectionError:
        return False


def until(condition: Callable[[], bool], alive: Callable[[], bool] = lambda: True) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert alive(), "Envoy ended"
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)  # between two looks


def test_what_the_app_never_answered_is_an_error_of_its_cluster(gateway: tuple[Get, Counted]) -> None:
    get, counted = gateway
    assert counted("envoy_cluster_upstream_rq") == {}, "a counter is there before anything was counted: is it born at 0 now?"
    asked = ["/code/200", "/code/404", "/code/500", "/hang", "/reset"]
    assert [get(path).status_code for path in asked] == [200, 404, 500, 504, 503]
    codes = {label: value for label, value in counted("envoy_cluster_upstream_rq").items() if label.startswith("response_code=")}
    assert codes == {f'response_code="{code}"': 1 for code in (200, 404, 500, 503, 504)}
    assert counted("envoy_cluster_upstream_rq")['response_code_class="5xx"'] == 3
    assert get("/empty/").status_code == 503
    assert counted("envoy_cluster_upstream_rq", EMPTY)['response_code="503"'] == 1


def test_the_bound_299_holds_what_took_under_300_ms_and_300_what_took_under_310(gateway: tuple[Get, Counted]) -> None:
    get, counted = gateway
    base = "envoy_cluster_upstream_rq_time"

    def takes(wait: int) -> int:
        # By Envoy's own word, so that a slow machine changes nothing.
        return int(get(f"/sleep/{wait}").headers["x-envoy-upstream-service-time"])

    def of(low: int, high: int) -> int:
        return sum(low <= each < high for each in took)

    took = [takes(240), takes(285), takes(302)]
    while not of(300, 310) and len(took) < 20:
        took.append(takes(302))
    assert of(0, 300)
    assert of(300, 310)
    until(lambda: counted(f"{base}_count").get("") == len(took))
    buckets = counted(f"{base}_bucket")
    assert buckets['le="299"'] == of(0, 300)
    assert buckets['le="300"'] == of(0, 310)


@pytest.mark.parametrize("gateway", [documented_statistics], indirect=True)
def test_the_documented_annotations_keep_what_the_gate_asks_for(gateway: tuple[Get, Counted]) -> None:
    get, counted = gateway
    assert [get(path).status_code for path in ("/code/200", "/code/500", "/empty/")] == [200, 500, 503]
    assert counted("envoy_cluster_upstream_rq")['response_code="500"'] == 1
    assert counted("envoy_cluster_upstream_rq", EMPTY) == {}, "more than the canary's counters are kept"
    until(lambda: counted("envoy_cluster_upstream_rq_time_count").get("") == 2)
    assert counted("envoy_cluster_upstream_rq_time_bucket")['le="299"'] == 2
