"""What two scanners of known vulnerabilities found, against a list of what was looked at and let be for a time. PURE: no I/O.

The scanners are pip-audit and govulncheck; each has a database of its own, which is why they are asked and not we.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """One known vulnerability of one package that is pinned here."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...] = ()
    fixed: str = ""

    def __str__(self) -> str:
        """One line."""
        names = ", ".join((self.id, *self.aliases))
        return f"{self.package} {self.version}: {names}" + (f"; fixed in {self.fixed}" if self.fixed else "; no fix is known")


@dataclass(frozen=True, kw_only=True)
class Exemption:
    """A finding that somebody has looked at: why it does no harm here, and until when that is believed."""

    id: str
    package: str
    reason: str
    until: datetime.date

    def fits(self, finding: Finding) -> bool:
        """Whether it is about this finding, by any of its names."""
        return self.package == finding.package and self.id in (finding.id, *finding.aliases)


class UnreadableReport(ValueError):
    """A scanner's answer, or the list of exceptions, is not what it should be. One line."""


def pip_audit(text: str) -> tuple[Finding, ...]:
    """What `pip-audit --format json` printed. Raises UnreadableReport.

    Where an index has no database behind it, pip-audit skips every distribution and says that no vulnerability is known.
    """
    try:
        distributions = json.loads(text)["dependencies"]
        _nothing_skipped(distributions)
        return tuple(sorted(
            Finding(
                package=each["name"], version=each.get("version", ""), id=vulnerability["id"],
                aliases=tuple(sorted(vulnerability.get("aliases") or ())),
                fixed=", ".join(vulnerability.get("fix_versions") or ()),
            )
            for each in distributions
            for vulnerability in each.get("vulns") or ()
        ))  # fmt: skip
    except UnreadableReport:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableReport(f"pip-audit's answer cannot be read: {type(error).__name__}: {error}") from None


def govulncheck(text: str) -> tuple[Finding, ...]:
    """What `govulncheck -format json` printed: JSON objects, one after the other. Raises UnreadableReport."""
    aliases: dict[str, tuple[str, ...]] = {}
    found: set[tuple[str, str, str, str]] = set()
    try:
        for message in _complete(list(_objects(text))):
            if osv := message.get("osv"):
                aliases[osv["id"]] = tuple(sorted(osv.get("aliases") or ()))
            if finding := message.get("finding"):
                place = finding["trace"][0]
                found.add((place["module"], place.get("version", ""), finding["osv"], finding.get("fixed_version", "")))
    except UnreadableReport:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UnreadableReport(f"govulncheck's answer cannot be read: {type(error).__name__}: {error}") from None
    return tuple(sorted(
        Finding(package=package, version=version, id=name, aliases=aliases.get(name, ()), fixed=fixed)
        for package, version, name, fixed in found
    ))  # fmt: skip


def _nothing_skipped(distributions: Iterable[Mapping[str, Any]]) -> None:
    skipped = [str(each["name"]) for each in distributions if "skip_reason" in each]
    if skipped:
        raise UnreadableReport(f"pip-audit has not looked at {len(skipped)} distributions, such as {skipped[0]}")


def _complete(messages: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if not any("config" in each for each in messages):
        raise UnreadableReport("govulncheck's answer has no beginning: it has not looked at anything")
    return messages


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found, at = decoder.raw_decode(text, at)
        yield found


def exemptions(listed: Any) -> tuple[Exemption, ...]:
    """The list as YAML has it: id, package, reason, until (a date) each. Raises UnreadableReport."""
    made = []
    for each in listed or ():
        if not isinstance(each, Mapping) or set(each) != {"id", "package", "reason", "until"}:
            raise UnreadableReport(f"an exception has id, package, reason and until, and nothing else: {each}")
        if not isinstance(each["until"], datetime.date) or not str(each["reason"]).strip():
            raise UnreadableReport(f"exception {each['id']}: give a date as 2027-01-31 for until, and a reason")
        made.append(Exemption(id=each["id"], package=each["package"], reason=each["reason"], until=each["until"]))
    return tuple(made)


def problems(
    found: Iterable[Finding], allowed: Iterable[Exemption], today: datetime.date, *, partial: bool = False
) -> list[str]:
    """One line for each finding that nobody has let be, and for each exception that has expired or fits nothing.

    `partial`: not everything was looked at, so that nothing can be said of exceptions that fit nothing.
    """
    findings, listed = list(found), list(allowed)
    lines = []
    for finding in sorted(findings):
        mine = [each for each in listed if each.fits(finding)]
        if not mine:
            lines.append(str(finding))
        elif all(each.until < today for each in mine):
            lines.append(f"{finding} (was let be until {mine[0].until}: look again)")
    stale = (each for each in listed if not any(each.fits(finding) for finding in findings))
    told = [f"exception {each.id} of {each.package} fits nothing that was found: remove it" for each in stale]
    return lines if partial else lines + told
