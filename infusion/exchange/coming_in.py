"""What a file says of encounters, whatever its kind: each as the JSON contract writes it, beside its patient and payer.

Nothing is guessed and nothing is dropped in silence. What cannot be read stands as a `Problem` at its place, and keeps
its encounter out; what is understood and has no place here is told as well, and keeps nothing out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

from infusion.exchange.incoming import LONGEST
from infusion.services.clock import ClockChange, instant, zone_named
from infusion.services.reference import Reference, eleven_digits
from infusion.services.wire import exact_amount
from infusion.services.words import plain

MOST_BYTES = 80_000_000
MOST_VALUE = 80
IN_MILLIGRAMS = {"mg": Decimal(1), "g": Decimal(1000), "ug": Decimal("0.001"), "mcg": Decimal("0.001")}
SEXES = {"f": "F", "female": "F", "m": "M", "male": "M", "u": "U", "unknown": "U", "o": "U", "other": "U"}
NO_PLACE = "This is understood and has no place here"
INPATIENT = "This is a stay in a hospital, and the service lines made here are for outpatients and homes."


@dataclass(frozen=True, slots=True)
class Problem:
    """What is the matter with one value: the row (entry, message) it stands in, its column or path, and why.

    One that is only `told` keeps nothing out: the rest of its encounter can be brought in without it.
    """

    row: int
    column: str
    value: str
    reason: str
    told: bool = False


@dataclass(slots=True)
class Arrived:
    """One encounter of a file. `rows` are where its administrations stand, in their order.

    `document` is an encounter of the contract without payer, zone and policy: every time in it has its offset.
    `patient` has reference, name, birth_date and sex, and `payer` is what the file says, by whatever name.
    """

    source: str
    number: str
    row: int
    patient: dict[str, str]
    payer: str = ""
    place_of_service: str = ""
    document: dict[str, Any] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def identity(self) -> str:
        """What is the same whenever this encounter comes again, whatever has been put right in it."""
        return json.dumps([self.source, self.patient["reference"], self.number], ensure_ascii=False)

    def close(self) -> Arrived:
        """The encounter once all of it is read. Without an administration there is nothing to bring in."""
        if not self.document.get("administrations"):
            At(self.row, self.problems).problem("", "", "No administration is left of this encounter.")
        return self

    @property
    def is_ready(self) -> bool:
        return all(each.told for each in self.problems)


@dataclass(slots=True)
class FileRead:
    """What is in a file: its encounters one after the other, how many rows, entries or messages, and its digest.

    `columns` says what a field of an administration is called there, `not_read` names the columns that were not read,
    and `problems` what belongs to no encounter.
    """

    encounters: Iterator[Arrived]
    rows: int
    checksum: str
    columns: Mapping[str, str]
    not_read: tuple[str, ...] = ()
    problems: list[Problem] = field(default_factory=list)

    def place(self, arrived: Arrived, path: str) -> tuple[int, str]:
        """The row of a field of the document and what it is called there, such as vial_1_mg."""
        first, _, rest = path.partition(".")
        number, _, field_name = rest.partition(".")
        if first != "administrations" or not number.isdecimal() or int(number) >= len(arrived.rows):
            return arrived.row, self.columns.get(path, path)
        row = arrived.rows[int(number)]
        found = re.fullmatch(r"(pauses|vials|discards)\.([0-9]+)\.(\w+)", field_name)
        if found is None:
            return row, self.columns.get(field_name, field_name)
        last = self.columns.get(f"{found[1]}.{found[3]}", f"{found[1][:-1]}_{{}}_{found[3]}")
        return row, last.format(int(found[2]) + 1)


@dataclass(slots=True)
class At:
    """A place in a file, where problems are told."""

    row: int
    problems: list[Problem]

    def problem(self, column: str, value: object, reason: str) -> None:
        self.problems.append(Problem(self.row, column, _shown(value), reason))

    def told(self, column: str, value: object, reason: str) -> None:
        self.problems.append(Problem(self.row, column, _shown(value), reason, told=True))


def _shown(value: object) -> str:
    return str(value).replace("\x00", "")[:MOST_VALUE]


# Values that every kind of file has ---------------------------------------------------------------------------------


def milligrams(at: At, column: str, amount: str, unit: str) -> str | None:
    """An amount with its unit as exact milligrams; None where it cannot be known."""
    try:
        number = exact_amount(amount.strip())
        if number < 0:
            raise ValueError("An amount starts at 0.")
    except ValueError as problem:
        at.problem(column, amount, str(problem))
        return None
    factor = IN_MILLIGRAMS.get(unit.strip().lower().replace("µ", "u").replace("μ", "u"))
    if factor is None:
        said = f"{unit} cannot be turned into milligrams without knowing the product" if unit else "The unit is missing"
        at.problem(column, f"{amount} {unit}".strip(), f"{said}. Send the amount in mg, g or ug.")
        return None
    return plain(number * factor)


def kept_time(at: At, column: str, moment: datetime, shown: str, zone: str) -> str | None:
    """A time with its offset; None for a wall clock that the zone skips or shows twice."""
    try:
        return instant(moment, zone_named(zone)).astimezone(zone_named(zone)).isoformat()
    except ClockChange as change:
        often = "twice" if change.code == "time.ambiguous" else "never"
        at.problem(
            column, shown, f"The clocks change that night, and this time happens {often}. Send it with its zone."
        )
        return None


def known_zone(at: At, column: str, name: str, default: str) -> str:
    """The zone of an encounter, or the clinic's where nothing or nothing known is said."""
    try:
        zone_named(name or default)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        at.problem(column, name, "This is not a time zone such as America/New_York.")
        return default
    return name or default


def patient_of(
    at: At, columns: Mapping[str, str], *, reference: str, name: str, birth_date: str, sex: str
) -> dict[str, str]:
    """The patient, each text within what a record holds. `columns` says what each is called in the file."""
    for key, text in (("reference", reference), ("name", name)):
        if len(text) > LONGEST[key]:
            at.problem(columns[key], text, f"This is longer than the {LONGEST[key]} characters that a record holds.")
    if not reference:
        at.problem(columns["reference"], "", "The patient’s record number is missing, so nobody knows whose this is.")
    chosen = SEXES.get(sex.strip().lower(), "")
    if sex.strip() and not chosen:
        at.problem(columns["sex"], sex, "This is not one of F, M and U.")
    return {"reference": reference, "name": name, "birth_date": birth_date, "sex": chosen}


def drug_with_ndc(reference: Reference, ndc: str, on: date | None) -> str | None:
    """The drug code whose container has that NDC, where the tables know exactly one in force that day."""
    try:
        owners = reference.ndc_owners.get(eleven_digits(ndc), frozenset())
    except ValueError:
        return None
    held = [code for code in owners if on is None or reference.drug(code, on)]
    return held[0] if len(held) == 1 else None


def lettered(orders: Iterable[tuple[str, str]]) -> list[str]:
    """Order numbers of another system, by drug, as letters: A and B where one drug has two, and nothing otherwise.

    >>> lettered([("J2350", "881"), ("J2350", "882"), ("J1200", "883")])
    ['A', 'B', '']
    """
    pairs = list(orders)
    of_drug: dict[str, list[str]] = {}
    for drug, order in pairs:
        if order not in of_drug.setdefault(drug, []):
            of_drug[drug].append(order)
    return [chr(ord("A") + of_drug[drug].index(order)) if len(of_drug[drug]) > 1 else "" for drug, order in pairs]
