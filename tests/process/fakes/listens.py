"""Answers HTTP on 127.0.0.1:<port>, after <delay> seconds, or once there is a file of that name, with <status>."""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

port, delay, status = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"warming up" if status >= 400 else b"ok")


if os.path.isabs(delay):  # noqa: PTH117  (pathlib takes longer to import than all the rest)
    while not os.path.exists(delay):  # noqa: PTH110
        time.sleep(0.01)
else:
    time.sleep(float(delay))
print(f"listening on {port}", flush=True)
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
