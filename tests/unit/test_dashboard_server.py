"""The live page's server: reading only, for who asks by a name of this machine, with nothing that could fool a browser."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from harness.dashboard.server import STATIC, create_app


class Fake:
    """A page of two keys, and one log."""

    def state(self) -> dict[str, Any]:
        return {"now": 1.0, "release": None}

    def log(self, name: str) -> list[str] | None:
        return ["<b>bold</b>"] if name == "pod/webapp/a/0" else None


@pytest.fixture
def client() -> FlaskClient:
    return create_app(Fake()).test_client()


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "LOCALHOST", "127.8.9.10"])
def test_it_answers_by_the_names_of_this_machine(client: FlaskClient, host: str) -> None:
    assert client.get("/api/state", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test:8000", "a.localhost.evil", "10.0.0.1", "0.0.0.0", ""])
@pytest.mark.parametrize("path", ["/", "/api/state", "/api/log/pod/webapp/a/0", "/static/page.js", "/nothing"])
def test_by_any_other_name_it_tells_nothing(client: FlaskClient, host: str, path: str) -> None:
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code in {400, 421}
    assert b"release" not in answer.data
    assert b"bold" not in answer.data


@pytest.mark.parametrize("path", ["/", "/api/state", "/static/page.js", "/static/page.css", "/api/log/pod/webapp/a/0", "/none"])
def test_every_answer_is_careful(client: FlaskClient, path: str) -> None:
    answer = client.get(path, buffered=True)
    answer.close()
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_nothing_can_be_changed(client: FlaskClient, method: str) -> None:
    for path in ("/", "/api/state", "/api/log/pod/webapp/a/0"):
        assert getattr(client, method)(path).status_code == 405


def test_logs_are_data_and_only_those_that_the_platform_names(client: FlaskClient) -> None:
    answer = client.get("/api/log/pod/webapp/a/0")
    assert answer.content_type == "application/json"
    assert answer.json == {"name": "pod/webapp/a/0", "lines": ["<b>bold</b>"]}
    for name in ("../../etc/passwd", "/etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "pod"):
        assert client.get(f"/api/log/{name}", follow_redirects=True).status_code == 404
    assert client.get("/static/..%2fserver.py").status_code == 404


def test_the_page_has_no_script_and_no_style_of_its_own_and_names_no_other_machine() -> None:
    text = (STATIC / "index.html").read_text()
    assert "<style" not in text
    assert " style=" not in text
    assert " on" not in text.replace(" one", "").replace(" of ", "")
    assert text.count("<script") == text.count("<script src=") == 1
    script = (STATIC / "page.js").read_text()
    for never in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert never not in script
    for file in STATIC.iterdir():
        assert "https://" not in file.read_text()
