import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.app import create_app
from webapp.logs import MAX_EXCEPTION, MAX_TEXT, JsonFormatter
from webapp.middleware import MAX_LOGGED_PATH

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def line(message: str, *arguments: object, error: BaseException | None = None, **extra: object) -> str:
    exc_info = error and (type(error), error, error.__traceback__)
    own = {"name": "webapp", "levelname": "WARNING", "msg": message, "args": arguments, "exc_info": exc_info}
    return JsonFormatter().format(logging.makeLogRecord(own | extra))


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the application logs, at any level."""
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(JsonFormatter().format(record))  # type: ignore[method-assign]
    logger = logging.getLogger("webapp")
    before = logger.level
    logger.addHandler(handler)
    yield seen
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_failures_are_logged_with_their_trace(lines: list[str]) -> None:
    sent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    answer = create_app({"FAULT_ERROR_RATE": "100"}).test_client().get("/", headers=sent)
    create_app({}).test_client().get("/")
    (logged,) = map(json.loads, lines)
    assert (logged["status"], logged["fault"], logged["route"], logged["level"]) == (500, "error", "/", "warning")
    _, trace_id, span_id, flags = answer.headers["traceresponse"].split("-")
    assert (logged["trace_id"], logged["span_id"], logged["trace_flags"]) == (trace_id, span_id, flags) == (TRACE, span_id, "01")


def test_at_debug_every_user_request_is_logged_and_no_probe(lines: list[str]) -> None:
    logging.getLogger("webapp").setLevel(logging.DEBUG)
    web = create_app({}).test_client()
    for path in ("/", "/healthz", "/metrics", "/status/404"):
        web.get(path)
    assert [(each["level"], each["path"]) for each in map(json.loads, lines)] == [("debug", "/"), ("debug", "/status/404")]


def test_outside_a_request_there_is_no_trace() -> None:
    assert json.loads(line("ready")).keys() == {"time", "level", "logger", "message"}


@given(st.text(max_size=MAX_TEXT), st.dictionaries(st.sampled_from(["level", "time", "logger", "path"]), st.text(), min_size=1))
def test_any_text_stays_inside_its_field_and_its_line(text: str, extra: dict[str, str]) -> None:
    written = line("%s", text, **extra)
    assert written.isascii()
    assert written.isprintable(), "no newline, and nothing else that a terminal would act on"
    logged = json.loads(written)
    assert (logged["level"], logged["logger"], logged["message"]) == ("warning", "webapp", text)
    assert logged["time"] != extra.get("time")
    assert logged.get("path") == extra.get("path")


def test_a_line_has_bounds() -> None:
    assert len(json.loads(line("x" * 10**6))["message"]) == MAX_TEXT
    assert len(json.loads(line("x", what=["y" * 10**6], path="z" * 10**6))["path"]) == MAX_TEXT
    logged = json.loads(line("failed", error=ValueError("x" * 10**6 + " the end")))
    assert len(logged["exception"]) == MAX_EXCEPTION
    assert logged["exception"].endswith(" the end")


def test_a_requests_line_cuts_what_the_caller_sent(lines: list[str]) -> None:
    web = create_app({"FAULT_ERROR_RATE": "100"}).test_client()
    web.get("/delay/" + "1" * 5000)
    web.get("/status/%0a%22,%22status%22:200%e2%80%a8")
    first, second = map(json.loads, lines)
    assert len(first["path"]) == MAX_LOGGED_PATH
    assert second["path"] == "/status/%0a%22,%22status%22:200%e2%80%a8", "as it was sent, in printable ASCII"
    assert second["status"] == 500
