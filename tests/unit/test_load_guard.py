import pytest

from loadtest.guard import refusal


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8081", "http://127.8.9.1", "http://[::1]:80", "https://localhost:1/", "http://LOCALHOST"]
)
def test_loopback_may_be_loaded(url: str) -> None:
    assert refusal(url, None) is None


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "127.0.0.1:8081",
        "ftp://127.0.0.1",
        "http://10.0.0.1",
        "http://0.0.0.0:80",
        "http://example.test",
        "http://127.0.0.1.example.test",
        "http://127.0.0.1@example.test",
        "http://example.test#@127.0.0.1",
        "http://example.test\\@127.0.0.1",
        "http://127.0.0.1/path",
        "http://127.0.0.1\n",
        "http://2130706433",
    ],
)
def test_anything_else_is_refused_in_one_line(url: str | None) -> None:
    line = refusal(url, None)
    assert line is not None
    assert "\n" not in line


def test_exactly_the_host_that_is_named_is_allowed() -> None:
    assert refusal("http://example.test:80", "example.test") is None
    assert refusal("http://www.example.test", "example.test") is not None
    assert refusal("http://example.test", "") is not None
    assert "GATEPROOF_ALLOW_HOST=example.test" in (refusal("http://example.test", None) or "")
