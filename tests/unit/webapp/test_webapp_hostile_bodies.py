"""The control endpoints against a table of hostile requests: a problem each time, and afterwards everything is as it was."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.app import MAX_BODY_BYTES, create_app
from webapp.fault_schema import PLAN_KEYS

JSON = "application/json"
PLAN = {"error_rate": 25, "status_code": 503, "seed": 7}


def changed(**values: object) -> bytes:
    return json.dumps({**PLAN, **values}).encode()


BODIES: dict[str, bytes] = {
    "nothing": b"", "blank": b" \n", "null": b"null", "true": b"true", "a number": b"5", "a text": b'"a"', "a list": b"[{}]",
    "half": b'{"error_rate": 5', "two": b"{} {}", "a comment": b"{} // none", "a comma": b'{"error_rate": 5,}',
    "quotes": b"{'seed': 1}",
    "NUL": b"\0", "Latin": '{"header": "é"}'.encode("latin-1"), "a lone surrogate": b'{"header": "\\ud800"}',
    "overlong": b'{"header": "\xc0\xaf"}', "UTF-16": '{"seed": 1}'.encode("utf-16-le")[:21], "deep list": b"[" * 60_000,
    "deep mapping": b'{"rules":' * 5000 + b"1" + b"}" * 5000, "deep and whole": b'{"rules": ' + b"[" * 900 + b"]" * 900 + b"}",
    "NaN": b'{"error_rate": NaN}', "Infinity": b'{"latency_ms": Infinity}', "-Infinity": b'{"seed": -Infinity}',
    "1e999": b'{"latency_ms": 1e999}', "-1e999": b'{"seed": -1e999}', "digits": b'{"seed": ' + b"9" * 5000 + b"}",
    "fraction digits": b'{"error_rate": 0.' + b"0" * 60_000 + b"x}", "twice": b'{"error_rate": 1, "error_rate": 2}',
    "twice in a rule": b'{"rules": [{"error_rate": 1, "error_rate": 2}]}', "large": b" " * (MAX_BODY_BYTES + 1),
    "a large text": b'{"header": "' + b"a" * 60_000 + b'"}', "many rules": changed(rules=[{}] * 1000),
    "a rule in a rule": changed(rules=[{"rules": []}]),
    "an odd rule": changed(rules=[5]), "rules of a mapping": changed(rules={}), "routes of text": changed(routes="/"),
    "an unknown route": changed(routes=["/nowhere"]), "a control route": changed(routes=["/healthz"]),
    "odd routes": changed(routes=[[]]),
    "a split header": changed(header="a: b\r\nc: d"), "an unknown key": changed(surprise=1), "proto": changed(__proto__={}),
    "rates": changed(error_rate=60, hang_rate=60), "jitter": changed(latency_ms=1, latency_jitter_ms=2),
    "percentiles": changed(latency_p50_ms=3, latency_p90_ms=2, latency_p99_ms=1), "one percentile": changed(latency_p50_ms=3),
    **{f"{key} negative": changed(**{key: -1}) for key in PLAN_KEYS if key not in {"seed"}},
    **{f"{key} huge": changed(**{key: 10**40}) for key in PLAN_KEYS},
    **{f"{key} text": changed(**{key: "five\x00"}) for key in PLAN_KEYS},
    **{f"{key} true": changed(**{key: True}) for key in PLAN_KEYS},
    **{f"{key} a mapping": changed(**{key: {"a": 1}}) for key in PLAN_KEYS},
}  # fmt: skip
TYPES = ("text/plain", "", "application/xml", "application/json-patch+json", "multipart/form-data; boundary=x", "\u00e9",
         "a" * 5000, "application/x-www-form-urlencoded")  # fmt: skip


KEYS = st.sampled_from(PLAN_KEYS) | st.text(max_size=3)
PATHS = ("/faults", "/readyz/enable", "/readyz/disable", "/readyz", "/healthz", "/metrics", "/version")
METHODS = ("POST", "PATCH", "TRACE", "CONNECT", "BREW", "DELETE", "PUT", "GET", "GET\u00e9")
ALLOWED = {
    ("DELETE", "/faults"), ("PUT", "/faults"), ("POST", "/readyz/enable"), ("POST", "/readyz/disable"),
    *(("GET", path) for path in PATHS if not path.startswith("/readyz/")),
}  # fmt: skip


@pytest.fixture(scope="module")
def web() -> FlaskClient:
    client = create_app({"FAULT_ADMIN": "true"}).test_client()
    client.put("/faults", json=PLAN)
    return client


def state(web: FlaskClient) -> tuple[Any, int]:
    return web.get("/faults").json, web.get("/readyz").status_code


def refused(web: FlaskClient, method: str, path: str, **request: Any) -> str | None:
    """What is wrong with how a request was refused."""
    before = state(web)
    answer = web.open(path, method=method, **request)
    told = answer.get_json(silent=True) or {}
    sort = (answer.mimetype, told.get("status"))
    if not 400 <= answer.status_code < 500 or sort != ("application/problem+json", answer.status_code):
        return f"{answer.status_code} {answer.mimetype} {answer.text[:200]}"
    if "\n" in str(told.get("detail")) or len(str(told.get("detail"))) > 5000 or "Traceback" in answer.text:
        return f"it tells {told.get('detail')!r}"
    return None if state(web) == before else f"it changed {before} to {state(web)}"


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_plan_is_refused_and_changes_nothing(web: FlaskClient, body: bytes) -> None:
    assert refused(web, "PUT", "/faults", data=body, content_type=JSON) is None


@pytest.mark.parametrize("content_type", TYPES)
def test_another_type_is_refused_and_changes_nothing(web: FlaskClient, content_type: str) -> None:
    assert refused(web, "PUT", "/faults", data=b"{}", content_type=content_type) is None


@pytest.mark.parametrize(("method", "path"), sorted(set(itertools.product(METHODS, PATHS)) - ALLOWED))
def test_another_method_is_refused_and_changes_nothing(web: FlaskClient, method: str, path: str) -> None:
    assert refused(web, method, path, data=b"{}", content_type=JSON) is None


@pytest.mark.parametrize(
    "path",
    ["/faults/", "/faults/x", "/FAULTS", "//faults", "/faults%00", "/readyz/", "/readyz/enabled", "/readyz/../faults"],
)
def test_a_path_beside_it_is_refused(web: FlaskClient, path: str) -> None:
    assert refused(web, "PUT", path, data=b"{}", content_type=JSON) is None


@pytest.mark.parametrize("length", ["-1", "5e1", "x", "9" * 40, " 5"])
def test_a_length_that_is_none_changes_nothing(web: FlaskClient, length: str) -> None:
    before = state(web)
    answer = web.put("/faults", data=b'{"error', content_type=JSON, headers={"Content-Length": length})
    assert 400 <= answer.status_code < 500
    assert state(web) == before


@settings(max_examples=200)
@given(body=st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=4),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_body_is_a_plan_or_a_problem(web: FlaskClient, body: bytes) -> None:
    before = state(web)
    answer = web.put("/faults", data=body, content_type=JSON)
    if answer.status_code == 200:
        assert answer.json == web.get("/faults").json
        web.put("/faults", json=PLAN)
        return
    assert (answer.status_code in {400, 413, 422}, answer.mimetype) == (True, "application/problem+json")
    assert state(web) == before
