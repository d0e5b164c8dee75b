"""SIGTERM under load: who has been promised an answer gets one."""

import ctypes
import http.client
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
from webapp_server import DEADLINE_SECONDS, Server, Start, wait_for

CLIENTS = 24
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


class Client:
    """Sends one request after another on one connection, until the server announces that it closes it."""

    def __init__(self, server: Server) -> None:
        self.seen: Counter[str] = Counter()
        self._connection = http.client.HTTPConnection(*server.address, timeout=DEADLINE_SECONDS)

    def run(self) -> None:
        try:
            while self.seen["closes"] == 0:
                self._connection.request("GET", "/delay/0.01")
                answer = self._connection.getresponse()
                answer.read()
                self.seen["answers" if answer.status == 200 else "failures"] += 1
                self.seen["closes"] += answer.getheader("Connection") == "close"
        except (OSError, http.client.HTTPException) as error:
            self.seen[f"failures: {error!r}"] += 1
        finally:
            self._connection.close()


def test_no_request_is_lost_on_connections_that_are_kept(start_webapp: Start) -> None:
    server = start_webapp()
    clients = [Client(server) for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        done = [pool.submit(client.run) for client in clients]
        wait_for(lambda: all(client.seen["answers"] >= 10 for client in clients), "load")
        server.process.terminate()
        for one in done:
            one.result(DEADLINE_SECONDS)
    for client in clients:
        assert set(client.seen) == {"answers", "closes"}, client.seen
    assert server.process.wait(DEADLINE_SECONDS) == 0


def refuses(server: Server) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_port_is_closed_while_the_last_request_is_still_answered(start_webapp: Start) -> None:
    server = start_webapp()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.get, "/delay/3")
        wait_for(lambda: server.metric("http_server_active_requests") == 1, "request in flight")
        server.process.terminate()
        wait_for(lambda: refuses(server), "closed port")
        assert not slow.done(), "so nobody waits at a port that nobody serves"
        assert slow.result().status_code == 200
    assert server.process.wait(DEADLINE_SECONDS) == 0


def halt(process: psutil.Process) -> None:
    """Stop it in the midst of what it does. kill() has only sent the signal: on a busy machine threads go on for a while."""
    process.suspend()
    states = Path(f"/proc/{process.pid}/task")
    wait_for(lambda: all(") T " in one.read_text() for one in states.glob("*/stat")), "halt of every thread")


def test_connections_that_waited_in_the_kernels_queue_are_answered(start_webapp: Start) -> None:
    server = start_webapp()
    worker = server.worker()
    halt(worker)
    with ExitStack() as closing:
        waiting = [closing.enter_context(server.connect()) for _ in range(10)]
        for connection in waiting:
            connection.sendall(HEALTHZ)
        # To the main thread, which accepts: of a whole process any thread may take a signal, and tell the main one too late.
        assert ctypes.CDLL(None).tgkill(worker.pid, worker.pid, signal.SIGTERM) == 0
        server.process.terminate()
        worker.resume()
        for connection in waiting:
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK"), answer
            assert b"Connection: close" in answer
    assert server.process.wait(DEADLINE_SECONDS) == 0


IDLE = 2
"""What gunicorn's main thread waits for while nobody is connected: its port, and the pipe by which its threads wake it."""


def polled(server: Server) -> int:
    """How many file descriptors the server's main thread waits for: its port, a pipe, and connections without a request."""
    numbers = [0]
    for info in Path(f"/proc/{server.worker().pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile, as a thread's own poll is when it has waited long enough
            numbers.append(info.read_text().count("tfd:"))
    return max(numbers)


def test_a_connection_on_which_nothing_is_asked_does_not_hold_up_the_stop(start_webapp: Start) -> None:
    server = start_webapp()
    wait_for(lambda: polled(server) == IDLE, "server without a connection")
    with server.connect() as silent:
        # A thread waits five seconds for the first request, and then puts the connection aside.
        wait_for(lambda: polled(server) == IDLE + 1, "connection that is put aside")
        server.process.terminate()
        assert server.process.wait(DEADLINE_SECONDS / 2) == 0, "well before the 20 s that a request in flight may take"
        assert silent.recv(1) == b""
