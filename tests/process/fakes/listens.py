"""Answers HTTP on 127.0.0.1:<port>, after <delay> seconds, with <status>."""

import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

port, delay, status = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"warming up" if status >= 400 else b"ok")


time.sleep(delay)
print(f"listening on {port}", flush=True)
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
