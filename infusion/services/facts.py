"""What was recorded at the chair, as frozen values.

A datetime without an offset is the wall clock of the encounter's time zone; one with an offset is that instant.
Amounts are milligrams.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

ROUTES = {
    "iv_infusion": "IV infusion",
    "iv_push": "IV push",
    "subcutaneous": "Subcutaneous injection",
    "intramuscular": "Intramuscular injection",
    "hydration": "Hydration",
    "oral": "By mouth",
}
PURPOSES = {"ordered": "Ordered hydration", "keep_open": "Keeping the line open", "diluent": "Carrying a drug"}
DEPARTMENTS = {
    "on_campus": "On the campus",
    "off_campus_excepted": "Off the campus, excepted",
    "off_campus_not_excepted": "Off the campus, not excepted",
}
ACQUIRED = {"purchased": "Bought by the site", "supplied": "Supplied, not bought"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A stretch within an infusion in which nothing ran."""

    start: datetime | None = None
    stop: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vial:
    """Opened containers of one size. `amount` is the labelled content of one, in mg."""

    amount: Decimal
    count: int = 1
    single_dose: bool | None = None
    ndc: str = ""
    lot: str = ""
    expires: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """Drug that reached nobody, in mg, and why."""

    amount: Decimal
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """One drug (or fluid) given one way: a bag, a push, an injection, a tablet.

    `bought_340b` says at which price a purchased drug was bought. It is no third way of acquiring it: such a drug has
    its vials, its JW and its JZ like any other that was bought.
    """

    id: str
    route: str
    drug: str = ""
    order: str = ""
    access: str = "1"
    access_reason: str = ""
    purpose: str = ""
    primary: bool = False
    acquired: str = "purchased"
    bought_340b: bool = False
    start: datetime | None = None
    stop: datetime | None = None
    pauses: tuple[Pause, ...] = ()
    ordered: Decimal | None = None
    administered: Decimal | None = None
    vials: tuple[Vial, ...] = ()
    discards: tuple[Discard, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """The nursing visit of a home infusion."""

    start: datetime | None = None
    stop: datetime | None = None


@dataclass(frozen=True, slots=True)
class PastDose:
    """An earlier dose of the same patient, in mg."""

    on: date
    drug: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Encounter:
    """One infusion visit of one patient, with nothing that names the patient.

    `past_doses` are None where nobody said anything of them, and empty where there were none.
    """

    time_zone: str
    setting: str
    id: str = ""
    date_of_service: date | None = None
    diagnoses: tuple[str, ...] = ()
    visit: Visit | None = None
    administrations: tuple[Administration, ...] = ()
    past_doses: tuple[PastDose, ...] | None = None
    hospital_department: str = ""
