"""One encounter under every payer: who would be billed which lines, why, and where that is not what it is here.

Each payer's rules are those of the date of service. An encounter that is approved keeps its own lines as they were
approved; the others are read under the rules known now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from infusion.models import Encounter
from infusion.reference_now import current_reference
from infusion.selectors import payers
from infusion.services import facts
from infusion.services.away import LineKey, units_of
from infusion.services.calculate import calculate
from infusion.services.findings import Severity
from infusion.services.lines import Statement
from infusion.views.few_words import ACKNOWLEDGED
from infusion.views.why import answer_of
from payers.policy import PARAMETERS, PayerPolicy, national_baseline
from payers.selectors import policy_for


@dataclass(frozen=True, slots=True)
class Column:
    """One code with its modifiers, as it heads a column."""

    code: str
    modifiers: str


@dataclass(frozen=True, slots=True)
class Cell:
    """The units of one line under one payer, why, and how that differs from the encounter's own payer."""

    units: int
    difference: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class PayerRow:
    """One payer's lines. `remarks` are what would be warned of, in a few words each."""

    name: str
    slug: str
    own: bool
    same: bool
    blocked: tuple[str, ...]
    remarks: tuple[str, ...]
    unverified: int
    cells: tuple[tuple[Column, Cell], ...]


@dataclass(frozen=True, slots=True)
class Read:
    """The encounter read under one payer."""

    name: str
    slug: str
    statement: Statement


def read_under_all(encounter: Encounter, recorded: facts.Encounter, statement: Statement) -> list[Read]:
    """The own payer first, then the baseline, then everyone by name."""
    reference, own = current_reference(), encounter.payer

    def under(name: str, slug: str, policy: PayerPolicy) -> Read:
        return Read(name, slug, calculate(recorded, policy, reference))

    others = [under(each.name, each.slug, policy_for(each)) for each in payers() if each.pk != own.pk]
    return [Read(own.name, own.slug, statement), under("National baseline", "", national_baseline()), *others]


def keys_of(reads: Iterable[Read]) -> list[LineKey]:
    """Every line that anyone would have: administration before drugs, a code's lines beside each other."""
    found: dict[LineKey, str] = {}
    for read in reads:
        for line in read.statement.lines:
            found.setdefault((line.code, line.modifiers), line.kind)
    order = list(dict.fromkeys(code for code, _ in found))
    return sorted(found, key=lambda key: (found[key] == "drug", order.index(key[0]), key[1] == ("JW",)))


def compared(
    encounter: Encounter, recorded: facts.Encounter, statement: Statement
) -> tuple[list[Column], list[PayerRow]]:
    """The table: its columns, and a row for each payer."""
    reads = read_under_all(encounter, recorded, statement)
    keys = keys_of(reads)
    columns = [Column(code, ", ".join(modifiers)) for code, modifiers in keys]
    return columns, [row_of(read, reads[0], keys, columns) for read in reads]


def row_of(read: Read, own: Read, keys: list[LineKey], columns: list[Column]) -> PayerRow:
    cells = tuple((column, cell_of(read, own, key)) for column, key in zip(columns, keys, strict=True))
    warned = [each for each in read.statement.warnings if each.code != "policy.unverified"]
    return PayerRow(
        name=read.name,
        slug=read.slug,
        own=read is own,
        same=not any(cell.difference for _, cell in cells),
        blocked=tuple(each.message for each in read.statement.findings if each.severity is Severity.ERROR),
        remarks=tuple(dict.fromkeys(ACKNOWLEDGED.get(each.code, (each.message, ""))[0] for each in warned)),
        unverified=sum(each.code == "policy.unverified" for each in read.statement.warnings),
        cells=cells,
    )


def cell_of(read: Read, own: Read, key: LineKey) -> Cell:
    units, here = units_of(read.statement.lines).get(key, 0), units_of(own.statement.lines).get(key, 0)
    difference = ""
    if units != here:
        difference = f"instead of {here}" if units and here else "no line" if here else "instead of none"
    line = next((each for each in read.statement.lines if (each.code, each.modifiers) == key), None)
    return Cell(units, difference, rule_apart(read, own, key) if difference else "", answer_of(line) if line else "")


def rule_apart(read: Read, own: Read, key: LineKey) -> str:
    """The values that make the difference: "Minutes that earn another hour: 30 minutes instead of 31 minutes"."""
    lines = [line for each in (read, own) for line in each.statement.lines if line.code == key[0]]
    readings = {
        because.reading.name: because.reading.drug for line in lines for because in line.because if because.reading
    }
    words = []
    for name, drug in readings.items():
        mine, theirs = (each.statement.policy.get((name, drug)) for each in (read, own))
        if mine is not None and theirs is not None and mine.value != theirs.value:
            words.append(f"{PARAMETERS[name].label}: {mine.words} instead of {theirs.words}")
    return "; ".join(words) or ("; ".join(each.message for each in read.statement.errors))
