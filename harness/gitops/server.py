"""Git's smart HTTP on loopback, for reading only: `python -m harness.gitops.server --root DIR --port N --git PROGRAM`.

Git's own `git-http-backend` does the work; this hands one request to it and its answer back. Nobody can push over HTTP: whoever
may write has the folder itself.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from harness.errors import HarnessError, PlatformError

LOOPBACK = "127.0.0.1"
MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""What a client sends is the list of commits that it has; a repository of ours is far from this."""
REQUEST_SECONDS = 60.0
PASSED_ON = {"Content-Type": "CONTENT_TYPE", "Content-Encoding": "HTTP_CONTENT_ENCODING", "Git-Protocol": "HTTP_GIT_PROTOCOL"}
SETTINGS = {
    # The repositories may be another user's, as in a container, and are ours to serve in any case.
    "safe.directory": "*",
    "http.receivepack": "false",
}


def backend(git: Path) -> Path:
    """Git's program for smart HTTP. Raises PlatformError when this git comes without it."""
    told = subprocess.run([str(git), "--exec-path"], capture_output=True, text=True, check=False).stdout.strip()
    found = Path(told) / "git-http-backend"
    if not told or not os.access(found, os.X_OK):
        raise PlatformError(f"{git} comes without git-http-backend: install the whole of git")
    return found


class GitServer(ThreadingHTTPServer):
    """Serves the bare repositories in `root`; port 0 takes a free one. Raises OSError."""

    daemon_threads = True

    def __init__(self, root: Path, program: Path, port: int) -> None:
        super().__init__((LOOPBACK, port), Handler)
        self.root, self.program = root, program

    def environment(self) -> dict[str, str]:
        """What every run of the program is told, and nothing of the user's configuration."""
        told = {
            "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(self.root), "PATH": os.environ.get("PATH", os.defpath),
            "SERVER_PROTOCOL": "HTTP/1.1", "GATEWAY_INTERFACE": "CGI/1.1", "GIT_CONFIG_COUNT": str(len(SETTINGS)),
        }  # fmt: skip
        for number, (key, value) in enumerate(SETTINGS.items()):
            told |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return told


class Handler(BaseHTTPRequestHandler):
    """One request is one run of git's own program."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a reader, or whoever asks whether the server is there."""
        if self.path == "/healthz":
            self._text(200, "ok")
        else:
            self._run(b"")

    def do_POST(self) -> None:
        """Answer a reader who says what it has."""
        try:
            body = self._body()
        except ValueError:
            self.close_connection = True
            self._text(413, f"a request of at most {MAX_REQUEST_BYTES} bytes is read")
            return
        self._run(body)

    def _body(self) -> bytes:
        """Raises ValueError when it is longer than anything that a reader has to say, or no body at all."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(64).split(b";")[0], 16):
            body += self._read(size, beside=len(body))
            self.rfile.readline(8)
        self.rfile.readline(8)
        return body

    def _read(self, size: int, *, beside: int = 0) -> bytes:
        if not 0 <= size <= MAX_REQUEST_BYTES - beside:
            raise ValueError(size)
        return self.rfile.read(size)

    def _run(self, body: bytes) -> None:
        server, url = cast(GitServer, self.server), urlsplit(self.path)
        path = unquote(url.path)
        if ".." in path.split("/"):
            self._text(404, "there is no such repository")
            return
        environment = server.environment() | {
            "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": url.query, "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": str(self.client_address[0]),
        }  # fmt: skip
        environment |= {variable: self.headers[name] for name, variable in PASSED_ON.items() if self.headers.get(name)}
        try:
            done = subprocess.run(
                [str(server.program)], input=body, env=environment, capture_output=True, timeout=REQUEST_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            self._text(504, "git took too long")
            return
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200" if headers else "500").split()[0])
        self._answer(status, headers, content)

    def _text(self, status: int, text: str) -> None:
        self._answer(status, {"Content-Type": "text/plain"}, f"{text}\n".encode())

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        with contextlib.suppress(OSError):  # whoever asked may have gone
            self.send_response(status)
            for name, value in headers.items():
                if name != "Content-Length":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, form: str, *values: Any) -> None:
        """One line on standard output."""
        print(form % values, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="harness.gitops.server")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--git", type=Path, required=True)
    options = parser.parse_args(argv)
    try:
        server = GitServer(options.root, backend(options.git), options.port)
    except (HarnessError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, HarnessError) else PlatformError.exit_code
    with server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
