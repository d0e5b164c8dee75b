import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.conventions import MAX_TEXT, cut, host_and_port, redacted, request_attributes, url_path

latin = st.text(st.characters(max_codepoint=0xFF), max_size=3 * MAX_TEXT)
KEYS = ["RAW_URI", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "REMOTE_ADDR", "REMOTE_PORT", "HTTP_HOST", "HTTP_USER_AGENT"]
KEYS += ["HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "REQUEST_METHOD"]


@given(st.dictionaries(st.sampled_from(KEYS), latin))
def test_whatever_is_sent_attributes_are_short_and_can_be_sent_on(environ: dict[str, str]) -> None:
    for value in request_attributes(environ, "GET").values():
        if isinstance(value, str):
            assert len(value) <= MAX_TEXT
            value.encode()
        else:
            assert 0 <= value < 100_000
    path = url_path(environ)
    assert path.rstrip("…").isascii()
    assert path.isprintable()


def test_behind_a_proxy_the_original_request_is_described() -> None:
    seen = request_attributes(
        {
            "HTTP_HOST": "10.0.0.7:8080",
            "HTTP_X_FORWARDED_HOST": "shop.example, inner.example",
            "HTTP_X_FORWARDED_PROTO": "https",
            "HTTP_X_FORWARDED_FOR": "192.0.2.1, 10.0.0.1",
            "REMOTE_ADDR": "10.0.0.2",
            "REMOTE_PORT": "4711",
            "wsgi.url_scheme": "http",
        },
        "GET",
    )
    expected = {
        "server.address": "shop.example",
        "server.port": 443,
        "url.scheme": "https",
        "client.address": "192.0.2.1",
        "network.peer.address": "10.0.0.2",
        "network.peer.port": 4711,
    }
    assert expected.items() <= seen.items()


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        ("example", "example", 80),
        ("example:8080", "example", 8080),
        ("[::1]:8080", "::1", 8080),
        ("[::1]", "::1", 80),
        ("example:", "example", 80),
        ("example:x", "example", 80),
        ("example:123456", "example", 80),
        ("", "", 80),
    ],
)
def test_host(host: str, address: str, port: int) -> None:
    assert host_and_port(host, 80) == (address, port)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a=1&b=2", "a=1&b=2"),
        ("a=1&sig=abc&b", "a=1&sig=REDACTED&b"),
        ("Signature=x&X-Goog-Signature=z", "Signature=REDACTED&X-Goog-Signature=REDACTED"),
        ("AWSAccessKeyId=x", "AWSAccessKeyId=REDACTED"),
        ("design=sig", "design=sig"),
    ],
)
def test_secrets_in_a_query_are_blotted_out(query: str, expected: str) -> None:
    assert redacted(query) == expected


def test_a_cut_is_marked() -> None:
    assert [cut("abc", 3), cut("abcd", 3)] == ["abc", "ab…"]
