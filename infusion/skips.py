"""Checks that billing set aside for one encounter, told apart by their exact words.

A skip covers one finding as it was worded: when the record or a rule changes what it says, it is a new finding, and
nobody has judged that one yet.
"""

from __future__ import annotations

from collections.abc import Iterable

from infusion import audit
from infusion.models import Encounter, Skip
from infusion.services.findings import Finding, Severity

OF_A_CLAIM = "claim."


def finding_key(finding: Finding) -> str:
    """A short name of one finding with its exact words, as a checkbox or a skip refers to it."""
    return audit.digest(f"{finding.code} {finding.administration} {finding.field} {finding.message}")[:16]


def skip_name(finding: Finding) -> str:
    """What `Skip.finding` holds: the code, and which words of it."""
    return f"{finding.code} {finding_key(finding)}"


def may_skip(finding: Finding) -> bool:
    """Whether billing may set a finding aside. Never one that holds up a line: units need a record."""
    if finding.code.startswith(OF_A_CLAIM):
        return finding.severity is not Severity.INFO
    return finding.severity is Severity.WARNING


def open_skips(encounter: Encounter) -> dict[str, Skip]:
    """The skips in force, by `skip_name`."""
    return {skip.finding: skip for skip in encounter.skips.all() if skip.ended_at is None}


def unskipped(encounter: Encounter, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that nobody has set aside for this encounter."""
    skips = open_skips(encounter)
    return tuple(each for each in findings if not may_skip(each) or skip_name(each) not in skips)
