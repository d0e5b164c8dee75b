# ruff: noqa: N999  (the name that gunicorn itself looks for)
"""How gunicorn runs the application: one worker process, so that one registry sees every request, and many threads."""

import os
import sys
from pathlib import Path

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
threads = 64  # an injected delay holds a thread, so there must be more of them than slow requests in flight
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
