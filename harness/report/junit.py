"""The report as JUnit XML: a run is a test suite, a check is a test case. PURE: no I/O.

A check that did not pass is a failure where the gate decided wrongly, and an error where the run proves nothing.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from junitparser import TestCase, TestSuite

    from harness.report.model import Report
    from harness.verdict import Check

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped."""


def render_junit(*reports: Report) -> str:
    """The XML of one run, or of several, each a suite of its own."""
    from junitparser import JUnitXml  # noqa: PLC0415 -- only whoever writes it should wait for it

    xml = JUnitXml("gateproof")
    for report in reports:
        xml.add_testsuite(suite(report))
    xml.update_statistics()
    # Afterwards: it sums up the cases' times, and they have none of their own.
    for made, report in zip(xml, reports, strict=True):
        made.time = _duration(report)
    xml.time = round(sum(map(_duration, reports)), 3)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml.tostring().decode()}\n'


def suite(report: Report) -> TestSuite:
    """One run as a test suite."""
    from junitparser import TestSuite as Suite  # noqa: PLC0415

    made = Suite(_clean(f"gateproof {report.scenario.name}"))
    made.timestamp = datetime.fromtimestamp(report.observation.release_started_at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    for name, value in _properties(report):
        made.add_property(_clean(name), _clean(value))
    for check in report.verdict.checks:
        made.add_testcase(_case(report, check))
    return made


def _duration(report: Report) -> float:
    return round(report.observation.ended_at - report.observation.release_started_at, 3)


def _case(report: Report, check: Check) -> TestCase:
    from junitparser import Error, Failure  # noqa: PLC0415
    from junitparser import TestCase as Case  # noqa: PLC0415

    case = Case(_clean(check.name), _clean(f"gateproof.{report.scenario.name}.{check.kind.value}"), 0.0)
    told = [f"expected: {check.expected}", f"actual: {check.actual}", *check.evidence]
    if check.passed:
        case.system_out = _clean("\n".join(told))
        return case
    kind = Failure if report.verdict.outcome is Outcome.OTHER_DECISION else Error
    result = kind(_clean(check.actual), "unknown" if check.passed is None else check.kind.value)
    result.text = _clean("\n".join(told))
    case.result = [result]
    return case


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    observation, verdict = report.observation, report.verdict
    yield "outcome", verdict.outcome.name.lower()
    yield "decision", verdict.taken.value
    yield "summary", verdict.summary
    yield "platform", report.platform.name
    for part, version in sorted(report.platform.versions.items()):
        yield f"version.{part}", version
    yield "image.stable", observation.stable_image
    yield "image.candidate", observation.candidate_image
    yield "seed", str(report.scenario.seed)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
