"""The node agent's hands, against real processes, sockets and files."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import psutil
import pytest

from harness.errors import UsageError
from harness.images import UnpackedImage
from harness.images.spec import ImageConfig
from harness.platforms.local.node.addresses import Addresses
from harness.platforms.local.node.prober import PortWatch, http_get, tcp_socket
from harness.platforms.local.node.processes import MARKER, Processes
from harness.platforms.local.node.spec import HttpGet, TcpSocket, parse_pod
from harness.platforms.local.node.starting import Runtime, Starter, StartError

ENV = {"PATH": os.environ["PATH"]}


def until(what: str, look: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := look():
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {seconds} s")


def marked(key: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == key and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path / "records")
    yield made
    made.kill_all()


class Run:
    """One container process under test."""

    def __init__(
        self, table: Processes, folder: Path, code: str, key: str | None = None, env: dict[str, str] | None = None
    ) -> None:
        self.key = key or f"{uuid.uuid4()}/app/0"
        self.pids: Queue[int] = Queue()
        self.codes: Queue[int] = Queue()
        self.log = folder / "logs" / "0.log"
        argv = [sys.executable, "-u", "-c", code]
        table.start(self.key, argv, env=env or ENV, cwd=folder, log=self.log, started=self.pids.put, exited=self.codes.put)
        self.pid = self.pids.get(timeout=5)

    def said(self, text: str) -> bool:
        return text in self.log.read_text()


@pytest.mark.parametrize(("code", "want"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137), ("pass", 0)])
def test_exit_codes_are_a_shells(table: Processes, tmp_path: Path, code: str, want: int) -> None:
    assert Run(table, tmp_path, code).codes.get(timeout=5) == want


def test_output_and_environment_are_the_containers_own(table: Processes, tmp_path: Path) -> None:
    run = Run(table, tmp_path, "import os, sys; print(sorted(os.environ)); print('err', file=sys.stderr)", env={"A": "1"})
    assert run.codes.get(timeout=5) == 0
    keys = set(eval(run.log.read_text().splitlines()[0]))
    assert keys - {"LC_CTYPE"} == {"A", MARKER}
    assert run.said("err")


def test_sigterm_reaches_the_first_process_alone(table: Processes, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, time\n"
        "who = 'child' if os.fork() == 0 else 'parent'\n"
        # In one write each: two processes share the log.
        "def say(what): os.write(1, f'{what} {who}\\n'.encode())\n"
        "def term(*_):\n"
        "    say('SIGTERM')\n"
        "    if who == 'parent': time.sleep(0.3); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, term)\n"
        "say('up')\n"
        "while True: time.sleep(1)\n"
    )
    run = Run(table, tmp_path, code)
    until("both up", lambda: run.said("up parent") and run.said("up child"))
    table.terminate(run.key)
    assert run.codes.get(timeout=5) == 0
    assert run.said("SIGTERM parent")
    assert not run.said("SIGTERM child")
    until("the child went with its parent", lambda: not marked(run.key))


def test_kill_takes_the_whole_group(table: Processes, tmp_path: Path) -> None:
    run = Run(table, tmp_path, "import os, time; os.fork(); print('up'); time.sleep(600)")
    until("two", lambda: len(marked(run.key)) == 2)
    table.kill(run.key)
    assert run.codes.get(timeout=5) == 137
    until("none", lambda: not marked(run.key))


AGENT = """
import sys, time
from pathlib import Path
from harness.platforms.local.node.processes import Processes
folder = Path(sys.argv[1])
table = Processes(folder / "records")
code = "import os, time; os.fork(); time.sleep(600)"
env = {"PATH": "/usr/bin:/bin"}
nobody = lambda number: None
argv = [sys.executable, "-c", code]
table.start("victim/" + str(folder), argv, env=env, cwd=folder, log=folder / "l", started=nobody, exited=nobody)
print("up", flush=True)
time.sleep(600)
"""


def start_agent(folder: Path) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", AGENT, str(folder)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    until("victims", lambda: len(marked(f"victim/{folder}")) == 2)
    return child


def test_killed_agent_leaves_no_process(tmp_path: Path) -> None:
    with start_agent(tmp_path) as child:
        child.send_signal(signal.SIGKILL)
        until("victims gone", lambda: not marked(f"victim/{tmp_path}"), 3)


def test_sweep_kills_only_what_bears_the_marker_and_the_start_time(tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.mkdir()
    key = f"sweep/{uuid.uuid4()}"
    code = "import time; time.sleep(600)"

    def start(env: dict[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", code], env=env, start_new_session=True)

    ours, stranger, later = start({MARKER: key}), start({}), start({MARKER: key})
    try:
        for child, start_ticks in ((ours, None), (stranger, None), (later, 1)):
            ticks = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
            record = {"pid": child.pid, "start": ticks if start_ticks is None else start_ticks, "marker": key}
            (records / f"{child.pid}.json").write_text(json.dumps(record))
        (records / "broken.json").write_text("{")
        until("marker visible", lambda: len(marked(key)) == 2)
        table = Processes(records)
        killed = table.sweep()
        table.kill_all()
        assert len(killed) == 1
        assert str(ours.pid) in killed[0]
        assert ours.wait(5) == -signal.SIGKILL
        assert stranger.poll() is None
        assert later.poll() is None
        assert not list(records.iterdir())
    finally:
        for child in (ours, stranger, later):
            child.kill()
            child.wait()


def test_command_beside_a_container(table: Processes, tmp_path: Path) -> None:
    def run(code: str, timeout: float = 5) -> tuple[int | None, str]:
        return table.run([sys.executable, "-c", code], env=ENV, cwd=tmp_path, timeout=timeout)

    assert run("print('fine')") == (0, "fine")
    assert run("import sys; print('bad', file=sys.stderr); sys.exit(3)") == (3, "bad")
    begun = time.monotonic()
    assert run("import time; time.sleep(60)", timeout=0.3)[0] is None
    assert time.monotonic() - begun < 3


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers what its path asks for."""

    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(1)
        status = {"/bad": 503, "/moved": 302}.get(self.path, 200 if self.headers.get("X-Key", "k") == "k" else 403)
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_http_probe(port: int) -> None:
    def get(path: str, timeout: float = 2, **more: Any) -> tuple[bool, str]:
        return http_get(HttpGet(path=path, port=port, **more), "127.0.0.1", timeout)

    assert get("/ok") == (True, "")
    assert get("/moved") == (True, "")
    assert get("/bad") == (False, "HTTP probe failed with statuscode: 503")
    assert get("/ok", headers=(("X-Key", "wrong"),))[0] is False
    ok, why = get("/slow", timeout=0.2)
    assert not ok
    assert "context deadline exceeded" in why
    ok, why = get("/ok", scheme="HTTPS")
    assert not ok
    assert why.startswith(f'Get "https://127.0.0.1:{port}/ok": ')


def test_tcp_probe_and_refused_connections(port: int) -> None:
    assert tcp_socket(TcpSocket(port=port), "127.0.0.1", 1) == (True, "")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        free = closed.getsockname()[1]
    refused = f"dial tcp 127.0.0.1:{free}: connect: connection refused"
    assert tcp_socket(TcpSocket(port=free), "127.0.0.1", 1) == (False, refused)
    assert http_get(HttpGet(path="/", port=free), "127.0.0.1", 1) == (False, f'Get "http://127.0.0.1:{free}/": {refused}')


def test_port_watch_tells_once_and_at_once() -> None:
    watch, told = PortWatch(), Queue[float]()
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        number = reserved.getsockname()[1]
    watch.add("a", "127.0.0.1", number, lambda: told.put(time.monotonic()))
    watch.add("dropped", "127.0.0.1", number, lambda: told.put(-1))
    watch.drop(lambda key: key == "dropped")
    assert told.empty()
    with socket.create_server(("127.0.0.1", number)):
        opened = time.monotonic()
        assert told.get(timeout=5) - opened < 2
    assert told.empty()


def test_addresses_are_never_given_twice_not_even_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "last"
    first = Addresses("127.77.0.0/29", file)
    first.taken(["127.77.0.2"])
    assert [first.give(), first.give()] == ["127.77.0.1", "127.77.0.3"]
    second = Addresses("127.77.0.0/29", file)
    assert [second.give() for _ in range(5)] == ["127.77.0.4", "127.77.0.5", "127.77.0.6", None, None]
    assert Addresses("127.77.0.0/29", file).give() is None


@pytest.mark.parametrize("network", ["10.0.0.0/8", "127.0.0.1/8", "nonsense"])
def test_addresses_outside_loopback_are_refused(tmp_path: Path, network: str) -> None:
    with pytest.raises(UsageError, match="--address-range"):
        Addresses(network, tmp_path / "last")


def runtime(folder: Path, **container: Any) -> Runtime:
    meta = {"name": "p", "namespace": "ns", "uid": "u"}
    pod = parse_pod({"metadata": meta, "spec": {"containers": [{"name": "app", "image": "i", **container}]}})
    root = folder / "root"
    root.mkdir(exist_ok=True)
    image = UnpackedImage(digest="sha256:1", root=root, config=ImageConfig(cmd=("echo", "$(X)"), env={"X": "image"}))
    return Runtime(pod=pod, container=pod.containers[0], image=image, env={"X": "pod"}, folder=folder)


def test_home_is_the_pods_own_folder(tmp_path: Path) -> None:
    spec = runtime(tmp_path).spec(None)
    assert spec.env["HOME"] == str(tmp_path)
    assert spec.env["X"] == "pod"
    assert "/usr/bin" in spec.env["PATH"].split(":")


def test_commands_of_probes_are_not_expanded(tmp_path: Path) -> None:
    made = runtime(tmp_path, command=["echo", "$(X)"])
    assert made.spec(None).argv == ["echo", "pod"]
    assert made.spec(("echo", "$(X)", "$$")).argv == ["echo", "$(X)", "$$"]


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"command": ["/no/such"]}, 'exec: "/no/such": executable file not found in \\$PATH'),
        ({"command": ["true"], "workingDir": "/no/folder"}, "working directory .* does not exist"),
    ],
)
def test_what_cannot_be_started_is_told_in_one_line(
    table: Processes, tmp_path: Path, container: dict[str, Any], message: str
) -> None:
    starter = Starter(None, table, tmp_path / "pods", 1, 1)  # type: ignore[arg-type]
    with pytest.raises(StartError, match=message) as caught:
        starter.start(runtime(tmp_path, **container), "k", 0, lambda pid: None, lambda code: None)
    assert caught.value.reason == "StartError"
    assert "\n" not in str(caught.value)
