"""PURE: Prometheus' remote-write and remote-read messages.

They are the only way in and out of a Prometheus that keeps staleness markers: OpenMetrics has no word for them, and a query
leaves them out. The messages are protobuf (prompb/remote.proto, prompb/types.proto) in snappy's block format; both are small
enough to be written here, and neither a snappy package nor Prometheus' generated classes is among our dependencies.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Sequence

from harness.replay.notation import STALE
from harness.replay.samples import Sample, Series

_STALE_BITS = (0x7FF0000000000002).to_bytes(8, "little")
"""model/value: StaleNaN. Kept as bytes: as a float it would be a signalling NaN, whose bits a processor may change."""
_NORMAL_BITS = (0x7FF8000000000001).to_bytes(8, "little")
_LITERAL_BYTES = 65_536
_SIGNS = {"=": 0, "!=": 1, "=~": 2, "!~": 3}

Matcher = tuple[str, str, str]
"""(label, sign, value)."""


class Malformed(ValueError):
    """The bytes are no such message."""


def write_request(found: Iterable[Series]) -> bytes:
    """A WriteRequest with these series, compressed."""
    return compress(b"".join(_field(1, _series(each)) for each in found))


def _series(each: Series) -> bytes:
    labels = b"".join(_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in each.labels)
    return labels + b"".join(_field(2, b"\x09" + _bits(value) + b"\x10" + _varint(time)) for time, value in each.samples)


def _bits(value: float | None) -> bytes:
    if value is STALE:
        return _STALE_BITS
    return _NORMAL_BITS if math.isnan(value) else struct.pack("<d", value)


def read_request(selectors: Sequence[Sequence[Matcher]], start: int, end: int) -> bytes:
    """A ReadRequest for the samples of these selectors from `start` to `end` (milliseconds), compressed."""
    queries = []
    for selector in selectors:
        matchers = b"".join(
            _field(3, b"\x08" + _varint(_SIGNS[sign]) + _field(2, label.encode()) + _field(3, value.encode()))
            for label, sign, value in selector
        )
        queries.append(_field(1, b"\x08" + _varint(start) + b"\x10" + _varint(end) + matchers))
    return compress(b"".join(queries))


def read_response(body: bytes) -> list[Series]:
    """The series of a ReadResponse, each once, however many selectors it answers to. Raises Malformed."""
    found: dict[tuple[tuple[str, str], ...], dict[int, float | None]] = {}
    try:
        for result in _parts(decompress(body), 1):
            for entry in _parts(result, 1):
                labels = tuple(sorted(_label(label) for label in _parts(entry, 1)))
                found.setdefault(labels, {}).update(_sample(sample) for sample in _parts(entry, 2))
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise Malformed(f"a broken answer to a remote read: {error}") from None
    return [
        Series(labels=labels, samples=tuple(sorted(samples.items(), key=lambda each: each[0])))
        for labels, samples in found.items()
    ]


def _label(data: bytes) -> tuple[str, str]:
    fields = dict(_fields(data))
    return bytes(fields.get(1, b"")).decode(), bytes(fields.get(2, b"")).decode()


def _sample(data: bytes) -> Sample:
    fields = dict(_fields(data))
    bits, time = fields.get(1, b"\0" * 8), fields.get(2, 0)
    if not isinstance(bits, bytes) or not isinstance(time, int):
        raise Malformed("a sample without a time or a value")
    return time - (1 << 64 if time >> 63 else 0), STALE if bits == _STALE_BITS else float(struct.unpack("<d", bits)[0])


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _read_varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise Malformed(f"a field of the unknown kind {kind}")
        if at + size > len(data):
            raise Malformed("the message ends in the middle of a field")
        yield key >> 3, data[at : at + size]
        at += size


def _parts(data: bytes, number: int) -> Iterator[bytes]:
    return (value for key, value in _fields(data) if key == number and isinstance(value, bytes))


def compress(data: bytes) -> bytes:
    """Snappy's block format with literals only: a form of it, which every decoder reads; on loopback size matters little."""
    out = bytearray(_varint(len(data)))
    for start in range(0, len(data), _LITERAL_BYTES):
        part = data[start : start + _LITERAL_BYTES]
        out += b"\xf4" + (len(part) - 1).to_bytes(2, "little") + part
    return bytes(out)


def decompress(data: bytes) -> bytes:
    """What a block in snappy's format holds. Raises Malformed."""
    out = bytearray()
    try:
        size, at = _read_varint(data, 0)
        while at < len(data):
            tag = data[at]
            at += 1
            if tag & 3 == 0:
                length, at = _literal_length(data, tag >> 2, at)
                out += data[at : at + length]
                at += length
                continue
            if tag & 3 == 1:
                length, offset = (tag >> 2 & 7) + 4, tag >> 5 << 8 | data[at]
                at += 1
            else:
                wide = 2 if tag & 3 == 2 else 4
                length, offset = (tag >> 2) + 1, int.from_bytes(data[at : at + wide], "little")
                at += wide
            if not 0 < offset <= len(out):
                raise Malformed("a copy from before the beginning")
            for _ in range(length):  # it may overlap what it writes
                out.append(out[-offset])
    except IndexError:
        raise Malformed("the block ends too early") from None
    if len(out) != size:
        raise Malformed(f"{len(out)} bytes where {size} were announced")
    return bytes(out)


def _literal_length(data: bytes, short: int, at: int) -> tuple[int, int]:
    if short < 60:
        return short + 1, at
    wide = short - 59
    return int.from_bytes(data[at : at + wide], "little") + 1, at + wide
