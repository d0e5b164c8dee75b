"""Logs: one JSON object for each line on stdout, with the trace's ids when there are any."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from webapp.conventions import cut
from webapp.tracing import trace_ids

LOGGER = logging.getLogger("webapp")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Characters. The server's own messages quote what a client sent, and a client may send 8 KiB in one header.
MAX_TEXT = 2048
MAX_EXCEPTION = 16384


class JsonFormatter(logging.Formatter):
    """Renders a record as one line of JSON; what is passed as `extra` becomes fields of their own.

    No text, whoever sent it, can end the line (JSON escapes it, and all but ASCII with it), take the place of one of the
    formatter's own fields, or make the line longer than its fields' bounds.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        own: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **trace_ids(),
        }
        line = {key: cut(value, MAX_TEXT) if isinstance(value, str) else value for key, value in (own | extra | own).items()}
        if record.exc_info:
            # The end of a traceback says what went wrong.
            line["exception"] = self.formatException(record.exc_info)[-MAX_EXCEPTION:]
        return json.dumps(line, default=lambda value: cut(str(value), MAX_TEXT))


def log_config(level: str) -> dict[str, Any]:
    """A configuration for logging.config.dictConfig that covers the application and its server alike."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "webapp.logs.JsonFormatter"}},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}},
        "root": {"level": "WARNING", "handlers": ["stdout"]},
        "loggers": {
            "webapp": {"level": level.upper(), "handlers": ["stdout"], "propagate": False},
            "gunicorn.error": {"level": level.upper(), "handlers": ["stdout"], "propagate": False},
        },
    }
