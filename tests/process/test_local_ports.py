"""Which ports a local platform takes: its own, so that what starts beside it never meets them before they are bound."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.platforms.local.binaries import Binaries
from harness.platforms.local.config import Ports
from harness.platforms.local.paths import RunPaths
from harness.platforms.local.plan import claimed_addresses, configure

EPHEMERAL = 32768
"""From here on systems give ports to whoever asks for any (Linux; others begin higher)."""


@pytest.fixture
def claim() -> Iterator[str]:
    with claimed_addresses() as claimed:
        yield claimed


def drawn(claimed: str | None, tmp_path: Path, **known: int) -> Ports:
    return configure(RunPaths(root=tmp_path), Binaries(folder=tmp_path), claimed=claimed, **known).ports


def free(ports: Ports) -> list[int]:
    return [getattr(ports, name) for name in Ports.free_names()]


def test_they_are_beyond_what_others_are_given(claim: str, tmp_path: Path) -> None:
    numbers = free(drawn(claim, tmp_path))
    assert len(set(numbers)) == len(Ports.free_names())
    assert max(numbers) < EPHEMERAL


def test_two_platforms_never_draw_the_same(claim: str, tmp_path: Path) -> None:
    with claimed_addresses() as other:
        assert other != claim
        assert set(free(drawn(claim, tmp_path))).isdisjoint(free(drawn(other, tmp_path)))


def test_what_the_user_named_and_what_is_taken_is_left_out(claim: str, tmp_path: Path) -> None:
    before = free(drawn(claim, tmp_path))
    with contextlib.closing(socket.create_server(("127.0.0.1", before[2]))):
        after = free(drawn(claim, tmp_path, gateway_port=before[0], registry_port=before[1]))
    assert set(after).isdisjoint(before[:3])
    assert len(set(after)) == len(before)


def test_without_a_claim_any_free_ones_will_do(tmp_path: Path) -> None:
    numbers = free(drawn(None, tmp_path))
    assert len(set(numbers)) == len(Ports.free_names())
