"""The live page's data: promises read from the installed gate, figures by version, and nothing that JSON could not hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dashboard_world as world
import promql_parser
import pytest

from harness.dashboard.logs import LINE_CHARACTERS, TAIL_LINES, plain, tail
from harness.dashboard.model import Measured, Objects, page
from harness.dashboard.promises import queries, read_gate, share_query
from harness.platforms import Part


def made(
    objects: Objects | None = None, measured: Measured | None = None, parts: tuple[Part, ...] = world.PARTS
) -> dict[str, Any]:
    found = objects or world.objects()
    data = page(found, measured or world.measured(), read_gate(found.templates), parts, ["b", "a"], now=world.NOW)
    copied: dict[str, Any] = json.loads(json.dumps(data, allow_nan=False))
    return copied


def test_a_release_in_its_second_step() -> None:
    data = made()
    release = data["release"]
    assert (release["phase"], release["stable_weight"], release["canary_weight"]) == ("Progressing", 70, 30)
    assert (release["step"], release["steps"], release["elapsed"], release["window_seconds"]) == (3, 6, 45, 60)
    assert [(each["number"], each["role"]) for each in release["revisions"]] == [(2, "canary"), (1, "stable")]
    (analysis,) = release["revisions"][0]["analyses"]
    assert analysis["metrics"] == [{"name": "success-rate", "phase": "Successful", "value": "0.9978"}]
    assert data["tags"] == {world.STABLE: "v1.0", world.CANARY: "v1.1"}
    assert data["well"] is True
    assert data["logs"] == ["a", "b"]


def test_each_version_is_held_against_the_installed_gate() -> None:
    stable, canary = made()["versions"]
    assert (stable["role"], canary["role"]) == ("stable", "canary")
    assert (stable["share"], canary["share"]) == (0.7, 0.3)
    assert [(each["name"], each["kept"]) for each in stable["promises"]] == [
        ("success-rate", True), ("error-rate", True), ("latency-p95", True),
    ]  # fmt: skip
    assert [each["kept"] for each in canary["promises"]] == [False, False, True]
    assert [each["limit"] for each in canary["promises"]] == [">= 0.99", "< 0.01", ">= 0.95"]
    assert canary["p95_seconds"] is None  # NaN: nothing was answered in the window


def test_another_gate_has_other_limits() -> None:
    canary = made(replace(world.objects(), templates=(world.template("0.9"),)))["versions"][1]
    assert canary["promises"][0]["limit"] == ">= 0.9"
    assert canary["promises"][0]["kept"] is True


def test_without_a_gate_nothing_is_judged() -> None:
    data = made(replace(world.objects(), templates=()))
    assert data["gate"]["conditions"] == {}
    assert [each["kept"] for each in data["versions"][1]["promises"]] == [None, None, None]


@pytest.mark.parametrize("value", ["NaN", "+Inf"])
def test_a_figure_that_is_no_number_keeps_and_breaks_nothing(value: str) -> None:
    canary = made(measured=world.measured(errors=value))["versions"][1]
    assert [each["kept"] for each in canary["promises"]][:2] == [None, None]
    assert canary["promises"][0]["value"] is None


def test_a_version_that_nobody_asks_any_more_is_left_out() -> None:
    measured = world.measured()
    idle = {**measured.instant, "requests": (world.sample(world.STABLE, "v1.0", 50), world.sample(world.CANARY, "v1.1", 0))}
    assert [row["version"] for row in made(measured=replace(measured, instant=idle))["versions"]] == ["v1.0"]


def test_nothing_installed_and_nothing_measured_is_a_page_too() -> None:
    data = made(Objects(rollout=None), Measured(instant={}), (Part(name="prometheus", well=False, told="it died"),))
    assert (data["release"], data["versions"], data["shares"], data["well"]) == (None, [], [], False)


def test_the_bound_and_the_window_are_the_gates() -> None:
    template = world.template()
    template["spec"]["metrics"][3]["provider"]["prometheus"]["query"] = (
        'a / b{x="http_server_request_duration_seconds_bucket",le="0.5"}[20s]'
    )
    gate = read_gate([template])
    assert gate.bound == "0.5"
    assert 'le="0.5"' in queries("webapp", gate.bound)["fast"]
    assert gate.window_seconds == 60


def test_the_pages_queries_parse() -> None:
    for query in (*queries("webapp", "0.3").values(), share_query("webapp")):
        promql_parser.parse(query)


def test_the_tail_of_a_log_is_plain_and_short(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"".join(b"line %d\n" % i for i in range(100_000)) + b"\x1b[31mred\x1b[0m \x00\xff<b>alert(1)</b>\n")
    lines = tail(log)
    assert len(lines) == TAIL_LINES
    assert lines[0].startswith("line ")
    assert lines[-1] == "red \N{REPLACEMENT CHARACTER}<b>alert(1)</b>"
    assert len(plain("x" * 10 * LINE_CHARACTERS)) < LINE_CHARACTERS + 10
    (tmp_path / "empty").touch()
    assert tail(tmp_path / "empty") == []
