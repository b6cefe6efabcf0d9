"""What comes out: service lines, each with its reasons, and the statement that holds them.

All of it is named tuples, which are made several times quicker than frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Literal, NamedTuple

from infusion.services.findings import Finding, Severity
from payers.policy import Reading


class Because(NamedTuple):
    """One reason for a line. `rule` is a policy parameter or a rule of docs/rules.md; `source` a key or a citation.

    `said` is the sentence, or what makes it of values that do not change: most reasons are never read.
    """

    rule: str
    said: str | Callable[[], str]
    source: str
    reading: Reading | None = None

    @property
    def text(self) -> str:
        return self.said if isinstance(self.said, str) else self.said()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Because):
            return False
        mine, theirs = (self.rule, self.source, self.reading), (other.rule, other.source, other.reading)
        return mine == theirs and self.text == other.text

    def __ne__(self, other: object) -> bool:  # a tuple has one of its own
        return not self == other

    def __hash__(self) -> int:
        return hash((self.rule, self.source))


class NdcQuantity(NamedTuple):
    """An 11-digit NDC and how much of it, in mL (`ML`) or vials (`UN`)."""

    ndc: str
    quantity: Decimal
    unit: str


class ServiceLine(NamedTuple):
    """One line of a claim. `minutes` are the running minutes that it rests on.

    `date_of_service` is None on the encounter's own day.
    """

    code: str
    units: int
    kind: Literal["administration", "drug", "visit"]
    administrations: tuple[str, ...]
    because: tuple[Because, ...]
    modifiers: tuple[str, ...] = ()
    minutes: int | None = None
    ndcs: tuple[NdcQuantity, ...] = ()
    charge: Decimal | None = None
    date_of_service: date | None = None


class Statement(NamedTuple):
    """The answer to one encounter. Blocked while anything that a line depends on is missing or wrong."""

    encounter_id: str
    date_of_service: date | None
    lines: tuple[ServiceLine, ...]
    findings: tuple[Finding, ...]
    policy: Mapping[tuple[str, str], Reading]
    reference_version: str

    @property
    def status(self) -> Literal["ready", "blocked"]:
        return "blocked" if self.errors else "ready"

    @property
    def errors(self) -> tuple[Finding, ...]:
        return self._of(Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return self._of(Severity.WARNING)

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is severity)
