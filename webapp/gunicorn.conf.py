# ruff: noqa: N999  (the name that gunicorn itself looks for)
"""How gunicorn runs the application: one worker process, so that one registry sees every request, and many threads."""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from gunicorn import util
from gunicorn.errors import HaltServer

from webapp.app import FAULTS
from webapp.effects import crash_exit_code
from webapp.fault_reader import plan_to_json
from webapp.limits import capacity, raise_file_limit, task_limit
from webapp.logs import log_config
from webapp.problems import wire_writer
from webapp.settings import SettingsError, from_environ

try:
    _settings = from_environ(os.environ)
except SettingsError as error:
    # Here and not in the worker: from here it is one line and an exit code, from there a traceback and a restart.
    sys.exit(f"webapp: cannot start: {error}")

wsgi_app = "webapp.app:create_app()"
bind = _settings.bind
worker_class = "webapp.worker.Worker"
workers = 1
# A delay holds a thread while it sleeps, so no other request waits as long as requests/s x delay stays below their number.
# They are started when all others are busy and cost 40 KiB each, so what nobody needs costs nothing. Above that, requests queue.
# Connections that are kept open between requests need none.
threads, worker_connections = capacity(2048, 2048, tasks=task_limit(), files=raise_file_limit())
threading.stack_size(1024 * 1024)  # address space: of the default 8 MiB, some machines would not promise so many
preload_app = True  # the port opens when the application is there, and the two processes share its memory
# Seconds. Envoy gives up an idle upstream connection after an hour; were we first, its next request could meet a closed socket.
keepalive = 3700
# Seconds. After the pod's preStop pause, and with it well inside Kubernetes' default grace period of 30.
graceful_timeout = 20
control_socket_disable = True  # it would be written below $HOME, and the root file system is read-only
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) and Path("/dev/shm").is_dir() else None  # noqa: S108
accesslog = None
logconfig_dict = log_config(_settings.log_level)


util.write_error = wire_writer(_settings.identity)


def on_starting(server: Any) -> None:
    """Open the port late, when a slow start is asked for."""
    seconds = _settings.faults.slow_start_seconds
    if seconds <= 0:
        return
    # gunicorn's own handlers are not there yet, and the first process of a container has no default ones.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.getLogger("webapp").warning("slow start", extra={"fault": "slow_start", "seconds": seconds})
    server.app.wsgi().extensions[FAULTS].count_slow_start()
    time.sleep(seconds)
    signal.signal(signal.SIGTERM, before)


def when_ready(_server: Any) -> None:
    """Say that the port is open, and what will be served on it."""
    logging.getLogger("webapp").info(
        "ready",
        extra={
            "version": _settings.version,
            "revision": _settings.revision,
            "bind": bind,
            "faults": plan_to_json(_settings.faults),
        },
    )


def post_worker_init(worker: Any) -> None:
    """The clocks of the faults run from when requests can come."""
    worker.wsgi.extensions[FAULTS].start()


def child_exit(server: Any, _worker: Any) -> None:
    """End with the only worker, unless a stop or a reload has ended it.

    gunicorn would start another one in silence. Whoever runs the container is to see that it died: with the exit code of an
    injected crash, or else with 1.
    """
    if server.LISTENERS and not server.WORKERS:
        raise HaltServer("the worker has ended", crash_exit_code())
