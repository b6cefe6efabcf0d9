"""The dated tables: drugs, administration codes, diagnoses, modifiers, places of service, daily limits, sources.

Each row says from when to when it holds and where that is written. A date outside every row of a code is a refusal,
never a guess. The tables are files beside this module; nothing here is read from a database or a network.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

DATA = Path(__file__).with_name("reference_data")
ONE_DAY = timedelta(days=1)


class Dated(Protocol):
    @property
    def first_day(self) -> date: ...
    @property
    def last_day(self) -> date | None: ...


Row = TypeVar("Row", bound=Dated)


def in_force(rows: Iterable[Row], on: date) -> Row | None:
    """The row that holds on that day, or None."""
    for row in rows:
        if row.first_day <= on and (row.last_day is None or on <= row.last_day):
            return row
    return None


@dataclass(frozen=True, slots=True)
class Container:
    """A size in which a drug is sold. `amount` in mg, `volume` in mL."""

    amount: Decimal
    single_dose: bool = True
    volume: Decimal | None = None
    ndc: str = ""


@dataclass(frozen=True, slots=True)
class Drug:
    """A drug code in one stretch of time. `billing_unit` in mg, `concentration` in mg per mL.

    `dosing` is fixed, by weight (or body surface) or variable; empty where nobody has said. `usual_minutes` is how
    long an infusion of it takes by its maker; nothing is billed by it.
    """

    code: str
    name: str
    billing_unit: Decimal
    routes: tuple[str, ...]
    first_day: date
    hospital_packaged: bool
    may_be_complex: bool
    form: str
    containers: tuple[Container, ...]
    source: str
    status: str
    last_day: date | None = None
    brands: tuple[str, ...] = ()
    concentration: Decimal | None = None
    replaced_by: str = ""
    dosing: str = ""
    dosing_source: str = ""
    usual_minutes: int | None = None
    usual_source: str = ""
    note: str = ""
    label_notes: tuple[str, ...] = ()
    # What follows from the columns, worked out once: the name that begins a sentence, whether all containers are
    # single-dose, the sizes in which it is sold, and the NDC of each size that has one alone.
    label: str = field(init=False, repr=False)
    single_dose: bool = field(init=False, repr=False)
    sizes: tuple[Decimal, ...] = field(init=False, repr=False)
    ndcs: Mapping[Decimal, str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        ndcs: dict[Decimal, set[str]] = {}
        for container in self.containers:
            if container.ndc:
                ndcs.setdefault(container.amount, set()).add(eleven_digits(container.ndc))
        derived = {
            "label": self.name[:1].upper() + self.name[1:],
            "single_dose": all(container.single_dose for container in self.containers),
            "sizes": tuple(sorted({container.amount for container in self.containers})),
            "ndcs": {size: one for size, (one, *others) in ndcs.items() if not others},
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class AdministrationCode:
    """A code for giving a drug, with our own short label and the codes it may hang on."""

    code: str
    label: str
    family: str
    role: str
    parents: tuple[str, ...]
    settings: tuple[str, ...]
    first_day: date
    source: str
    status: str
    last_day: date | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    code: str
    label: str
    first_day: date
    source: str
    status: str
    last_day: date | None = None
    replaced_by: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Modifier:
    """A modifier of a code. One that is `pricing` stands before those that only inform."""

    code: str
    label: str
    first_day: date
    source: str
    status: str
    last_day: date | None = None
    required_from: date | None = None
    pricing: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class LookAlike:
    """A code that is taken for another one, and what it really means."""

    code: str
    mistaken_for: str
    means: str
    use_instead: str
    source: str
    status: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class DailyLimit:
    """The most units of a code on one day that pass unasked, for a practitioner and for a hospital."""

    code: str
    practitioner: int
    outpatient: int
    first_day: date
    source: str
    status: str
    last_day: date | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class PaymentLimit:
    """What Medicare pays at most for one unit of a code, in dollars: a yardstick, never a rate."""

    code: str
    dollars: Decimal
    first_day: date
    source: str
    status: str
    last_day: date | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class PlaceOfService:
    code: str
    label: str
    setting: str
    source: str
    status: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    title: str
    address: str
    kind: str
    confidence: str
    read: date | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A settled rule in our words, its source, and where it is open to doubt."""

    title: str
    statement: str
    source: str
    doubt: str


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """All tables by code. `version` changes with any byte of the files, and with any row laid over them."""

    version: str
    drugs: Mapping[str, tuple[Drug, ...]]
    administration: Mapping[str, AdministrationCode]
    diagnoses: Mapping[str, tuple[Diagnosis, ...]]
    diagnosis_families: tuple[str, ...]
    modifiers: Mapping[str, Modifier]
    places: Mapping[str, PlaceOfService]
    look_alikes: tuple[LookAlike, ...]
    daily_limits: Mapping[str, tuple[DailyLimit, ...]]
    payment_limits: Mapping[str, tuple[PaymentLimit, ...]]
    sources: Mapping[str, Source]
    rules: Mapping[str, Rule]
    ndc_owners: Mapping[str, frozenset[str]]

    def drug(self, code: str, on: date) -> Drug | None:
        return in_force(self.drugs.get(code, ()), on)

    def find_drug(self, text: str, on: date) -> Drug | None:
        """The drug a person means by a code, a name or a brand, on that day; the shortest name wins a tie."""
        wanted = " ".join(text.casefold().split())
        hits = [
            row
            for rows in self.drugs.values()
            for row in rows
            if wanted in [name.casefold() for name in (row.code, row.name, *row.brands)]
        ]
        return in_force(hits, on) or (hits[-1] if hits else None)

    def look_alike(self, code: str, mistaken_for: str = "") -> LookAlike | None:
        """What a code that is no drug here means. A drug's own code is a look-alike only beside another drug's name."""
        rows = [row for row in self.look_alikes if row.code == code]
        named = [row for row in rows if row.mistaken_for.casefold() == mistaken_for.casefold()]
        return next(iter(named or (rows if code not in self.drugs else [])), None)

    def carries_jz(self, on: date) -> bool:
        """Whether JZ exists on that day as something a claim has to carry."""
        required_from = self.modifiers["JZ"].required_from
        return required_from is not None and required_from <= on

    def with_drugs(self, rows: Iterable[Drug], sources: Mapping[str, Source] | None = None) -> Reference:
        """The same tables with a site's own drug rows laid over them, and what these are cited by.

        From its first day on an own row stands alone: a row of the code that begins earlier ends the day before, one
        that begins within its days goes. After its last day nothing holds but what begins later.
        """
        rows, sources = tuple(rows), dict(sources or {})
        if not rows:
            return self
        drugs = {**self.drugs}
        for row in rows:
            left = (*_beside(drugs.get(row.code, ()), row), row)
            drugs[row.code] = tuple(sorted(left, key=lambda each: each.first_day))
        said = repr((self.version, rows, sorted(sources.items())))
        return replace(
            self,
            version=hashlib.sha256(said.encode()).hexdigest()[:16],
            drugs=drugs,
            sources={**self.sources, **sources},
            ndc_owners=_ndc_owners(drugs),
        )


def _beside(rows: Iterable[Drug], own: Drug) -> Iterator[Drug]:
    """What is left of a code's rows beside one that is laid over them."""
    for row in rows:
        if row.last_day is not None and row.last_day < own.first_day:
            yield row
        elif row.first_day < own.first_day:
            yield replace(row, last_day=own.first_day - ONE_DAY)
        elif own.last_day is not None and row.first_day > own.last_day:
            yield row


def diagnosis_code(text: str) -> str:
    """A diagnosis code as the tables write it.

    >>> diagnosis_code(" g35a "), diagnosis_code("G35")
    ('G35.A', 'G35')
    """
    code = " ".join(text.upper().split())
    return f"{code[:3]}.{code[3:]}" if len(code) > 3 and "." not in code else code


def eleven_digits(ndc: str) -> str:
    """An NDC as 11 digits (5-4-2). Raises ValueError when it is not certain which digits are meant.

    >>> eleven_digits("50242-150-01")
    '50242015001'
    """
    text = ndc.strip()
    if re.fullmatch(r"[0-9]{11}", text):
        return text
    parts = text.split("-")
    if not re.fullmatch(r"[0-9]+-[0-9]+-[0-9]+", text) or [len(part) for part in parts] not in (
        [4, 4, 2],
        [5, 3, 2],
        [5, 4, 1],
        [5, 4, 2],
    ):
        raise ValueError(ndc)
    return parts[0].zfill(5) + parts[1].zfill(4) + parts[2].zfill(2)


def _ndc_owners(drugs: Mapping[str, tuple[Drug, ...]]) -> dict[str, frozenset[str]]:
    owners: dict[str, frozenset[str]] = {}
    for code, rows in drugs.items():
        for container in (container for row in rows for container in row.containers if container.ndc):
            ndc = eleven_digits(container.ndc)
            owners[ndc] = owners.get(ndc, frozenset()) | {code}
    return owners


@cache
def shipped_reference() -> Reference:
    """The tables that ship with the product, read once."""
    return load_reference(DATA)


def load_reference(folder: Path) -> Reference:
    """Read the tables of a folder. Raises KeyError or TypeError naming what a row lacks or has too much."""
    files = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.toml"))}
    tables = {name: tomllib.loads(content.decode()) for name, content in files.items()}
    drugs = _by_code(drug_row(row) for row in tables["drugs"]["drug"])
    return Reference(
        version=hashlib.sha256(b"\0".join(files.values())).hexdigest()[:16],
        drugs=drugs,
        administration={row["code"]: AdministrationCode(**_frozen(row)) for row in tables["administration"]["code"]},
        diagnoses=_by_code(Diagnosis(**_frozen(row)) for row in tables["diagnoses"]["diagnosis"]),
        diagnosis_families=tuple(row["prefix"] for row in tables["diagnoses"]["family"] if row["complete"]),
        modifiers={row["code"]: Modifier(**_frozen(row)) for row in tables["modifiers"]["modifier"]},
        places={row["code"]: PlaceOfService(**_frozen(row)) for row in tables["places_of_service"]["place"]},
        look_alikes=tuple(LookAlike(**_frozen(row)) for row in tables["look_alikes"]["look_alike"]),
        daily_limits=_by_code(DailyLimit(**_frozen(row)) for row in tables["mue"]["mue"]),
        payment_limits=_by_code(
            PaymentLimit(**{**_frozen(row), "dollars": Decimal(row["dollars"])})
            for row in tables["payment_limits"]["limit"]
        ),
        sources={key: Source(**row) for key, row in tables["sources"].items()},
        rules={key: Rule(**row) for key, row in tables["rules"].items()},
        ndc_owners=_ndc_owners(drugs),
    )


class _Coded(Protocol):
    @property
    def code(self) -> str: ...


CodedRow = TypeVar("CodedRow", bound=_Coded)


def _by_code(rows: Iterable[CodedRow]) -> dict[str, tuple[CodedRow, ...]]:
    table: dict[str, tuple[CodedRow, ...]] = {}
    for row in rows:
        table[row.code] = (*table.get(row.code, ()), row)
    return table


def drug_row(row: Mapping[str, Any]) -> Drug:
    """A drug of its columns as the file has them: amounts as texts, lists, days as days."""
    columns = _frozen(row)
    for name in ("billing_unit", "concentration"):
        if name in columns:
            columns[name] = Decimal(columns[name])
    columns["containers"] = tuple(
        Container(**{**each, **{name: Decimal(each[name]) for name in ("amount", "volume") if name in each}})
        for each in row["containers"]
    )
    return Drug(**columns)


def _frozen(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
