"""Series in each of their forms, and on the wire."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.replay import wire
from harness.replay.notation import STALE, Unreadable
from harness.replay.samples import Series, dump, merged, number, read, series, span

UP = series({"__name__": "up", "job": "a"}, [(1000, 1.0), (2000, math.inf), (3000, STALE)])
SAMPLES = st.dictionaries(st.integers(0, 2**50), st.one_of(st.none(), st.floats()), min_size=1, max_size=5)


def same(one: list[Series], other: list[Series]) -> bool:
    return repr(one) == repr(other)  # NaN is not itself


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(1.0, "1"), (0.05, "0.05"), (-0.0, "-0"), (1e21, "1000000000000000000000"), (1.5e-9, "0.0000000015"),
     (1e16, "10000000000000000"), (math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (0.1 + 0.2, "0.30000000000000004")],
)
def test_values_as_prometheus_clients_write_them(value: float, wanted: str) -> None:
    assert number(value) == wanted


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_written_value_loses_nothing(value: float) -> None:
    assert float(number(value)) == value
    assert "e" not in number(value).lower()


@given(SAMPLES)
def test_our_own_form_loses_nothing(samples: dict[int, float | None]) -> None:
    found = [series({"__name__": "x", "l": 'a"b\n'}, samples.items()), UP]
    assert same(read("".join(dump(found))), merged(found))


OPEN_METRICS = """\
# TYPE requests counter
requests_total{code="200"} 1 10
requests_total{code="200"} 5 11.5
# TYPE up gauge
up NaN 10
# EOF
"""
ANSWER = (
    '{"status":"success","data":{"resultType":"matrix","result":'
    '[{"metric":{"__name__":"up"},"values":[[10.25,"1"],[11,"NaN"]]}]}}'
)


def test_open_metrics() -> None:
    found = read(OPEN_METRICS)
    assert found[0] == Series(labels=(("__name__", "requests_total"), ("code", "200")), samples=((10_000, 1.0), (11_500, 5.0)))
    assert math.isnan(found[1].samples[0][1] or 0.0)
    assert span(found) == (10_000, 11_500)


def test_an_answer_of_prometheus() -> None:
    assert same(read(ANSWER), [series({"__name__": "up"}, [(10_250, 1.0), (11_000, math.nan)])])


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", '{"labels": {"a": "b"}}', '{"labels": {"a": "b"}, "samples": [[1]]}', "{bad",
        "# TYPE x counter\nx_total 1\n# EOF\n",
        "no metrics at all", '{"data": {"resultType": "vector", "result": []}}', ANSWER.replace("values", "histograms"),
        '{"labels": {"a": "b"}, "samples": [[1, "2"], [1, "3"]]}', '{"labels": {"a": "b"}, "samples": [[1, "two"]]}',
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(text: str) -> None:
    with pytest.raises(Unreadable) as told:
        read(text)
    assert str(told.value)
    assert "\n" not in str(told.value)


def test_series_of_the_same_labels_are_one() -> None:
    other = series({"__name__": "up", "job": "a"}, [(500, 0.0), (1000, 1.0)])
    assert [each.samples[:2] for each in merged([UP, other])] == [((500, 0.0), (1000, 1.0))]


@given(st.binary(max_size=200_000))
def test_compressed_bytes_come_back(data: bytes) -> None:
    assert wire.decompress(wire.compress(data)) == data


@pytest.mark.parametrize(
    ("block", "wanted"),
    [
        (b"\x00", b""),
        (b"\x05\x10hello", b"hello"),
        (b"\x0a\x00a\x15\x01", b"aaaaaaaaaa"),  # a literal, then a copy of nine bytes from one byte back
        (b"\x08\x0cabcd\x0e\x04\x00", b"abcdabcd"),
        (b"\x08\x0cabcd\x0f\x04\x00\x00\x00", b"abcdabcd"),
        (b"\x46\xf0\x45" + b"z" * 70, b"z" * 70),
    ],
)
def test_blocks_of_other_encoders(block: bytes, wanted: bytes) -> None:
    assert wire.decompress(block) == wanted


@given(st.binary(max_size=300))
def test_broken_messages_are_only_ever_malformed(data: bytes) -> None:
    for attempt in (data, wire.compress(data)):
        try:
            wire.read_response(attempt)
        except wire.Malformed:
            continue
