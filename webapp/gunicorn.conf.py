# ruff: noqa: N999  (the name that gunicorn itself looks for)
"""How gunicorn runs the application: one worker process, so that one registry sees every request, and many threads."""

import os
import sys
import threading
from pathlib import Path

from webapp.limits import capacity, raise_file_limit, task_limit
from webapp.logs import log_config
from webapp.settings import SettingsError, from_environ

try:
    _settings = from_environ(os.environ)
except SettingsError as error:
    # Here and not in the worker: from here it is one line and an exit code, from there a traceback and a restart.
    sys.exit(f"webapp: cannot start: {error}")

wsgi_app = "webapp.app:create_app()"
bind = _settings.bind
worker_class = "gthread"
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


def when_ready(_server: object) -> None:
    """Say that the port is open, and what will be served on it."""
    import logging  # noqa: PLC0415

    logging.getLogger("webapp").info(
        "ready",
        extra={"version": _settings.version, "revision": _settings.revision, "bind": bind, "faults": str(_settings.faults)},
    )
