"""What a drug's label says about giving it, as cautions for whoever gives it. They hold up nothing and bill nothing.

Each caution names its source in the tables. So far the label of ocrelizumab is here: two products, one drug; doses,
intervals and premedication of the infused one [OCRDOSE], the way of the injected one [ZUN].
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from infusion.services.clock import ClockChange, instant, zone_named
from infusion.services.facts import Administration, Encounter, PastDose

INTRAVENOUS, SUBCUTANEOUS = "J2350", "J2351"
OCRELIZUMAB = (INTRAVENOUS, SUBCUTANEOUS)
DOSING, SUBCUTANEOUS_LABEL = "OCRDOSE", "ZUN"
LEAST_MONTHS = 5  # the maker's page now says 20 weeks [OCRDOSE]; the longer one warns earlier
HALF_OF_THE_FIRST_DOSE = Decimal(300)
BETWEEN_THE_HALVES = timedelta(days=14)
BEFORE_THE_INFUSION = timedelta(minutes=30)
PUSHED_BEFORE = {
    "J2919": "Methylprednisolone",
    "J2930": "Methylprednisolone",
    "J2920": "Methylprednisolone",
    "J1200": "Diphenhydramine",
}
INTO_A_VEIN, BY_INJECTION = ("iv_infusion", "iv_push"), ("subcutaneous", "intramuscular")


@dataclass(frozen=True, slots=True)
class Caution:
    """A sentence for the nurse. `source` is a key of the tables; `field` belongs to the administration."""

    code: str
    message: str
    source: str
    administration: str
    field: str


def cautions(encounter: Encounter, past: Iterable[PastDose]) -> tuple[Caution, ...]:
    """What the label has to say about an encounter, given or planned, after the patient's earlier doses."""
    earlier = sorted((dose for dose in past if dose.drug in OCRELIZUMAB), key=lambda dose: dose.on)
    found: list[Caution] = []
    for each in encounter.administrations:
        if each.drug in OCRELIZUMAB:
            found += _route(each)
            found += _interval(each, encounter.date_of_service, earlier)
            found += _first_dose(each, earlier)
            found += _premedication(each, encounter)
    return tuple(found)


def _route(each: Administration) -> list[Caution]:
    if each.drug == SUBCUTANEOUS and each.route in INTO_A_VEIN:
        message = (
            "Ocrevus Zunovo is made for injection under the skin, never into a vein. Check the product and the route."
        )
        return [Caution("label.route", message, SUBCUTANEOUS_LABEL, each.id, "route")]
    if each.drug == INTRAVENOUS and each.route in BY_INJECTION:
        message = "Ocrevus is diluted and infused into a vein, never injected. Check the product and the route."
        return [Caution("label.route", message, DOSING, each.id, "route")]
    return []


def _interval(each: Administration, on: date | None, earlier: Sequence[PastDose]) -> list[Caution]:
    if on is None or not earlier:
        return []
    last = earlier[-1]
    if on >= months_after(last.on, LEAST_MONTHS) or _is_second_half(each, on, earlier):
        return []
    days = (on - last.on).days
    when = "earlier on this day" if days == 0 else "1 day before" if days == 1 else f"{days} days before"
    message = (
        f"The last dose of ocrelizumab was given on {last.on:%B} {last.on.day}, {last.on.year}, {when}. The label "
        f"asks for at least {LEAST_MONTHS} months between doses. Check the date with the prescriber."
    )
    return [Caution("label.interval", message, DOSING, each.id, "drug")]


def _is_second_half(each: Administration, on: date, earlier: Sequence[PastDose]) -> bool:
    """Whether this is the second 300 mg of the first dose, which comes two weeks after the first."""
    first, *more = earlier
    half = (first.drug, first.amount) == (INTRAVENOUS, HALF_OF_THE_FIRST_DOSE)
    same = each.drug == INTRAVENOUS and _dose(each) in (None, HALF_OF_THE_FIRST_DOSE)
    return not more and half and same and on - first.on >= BETWEEN_THE_HALVES


def _first_dose(each: Administration, earlier: Sequence[PastDose]) -> list[Caution]:
    dose = _dose(each)
    if earlier or each.drug != INTRAVENOUS or dose is None or dose <= HALF_OF_THE_FIRST_DOSE:
        return []
    message = (
        "No earlier dose of ocrelizumab is on record here. The label splits the first dose: 300 mg, then 300 mg two "
        "weeks later. If the patient had earlier doses elsewhere, this is a later one."
    )
    return [Caution("label.first_dose", message, DOSING, each.id, "ordered")]


def _premedication(each: Administration, encounter: Encounter) -> list[Caution]:
    start = _instant(each.start, encounter)
    if start is None or each.route != "iv_infusion":
        return []
    found = []
    for push in encounter.administrations:
        pushed = _instant(push.start, encounter)
        if push.route != "iv_push" or push.drug not in PUSHED_BEFORE or pushed is None:
            continue
        if timedelta(0) <= start - pushed < BEFORE_THE_INFUSION:
            minutes = (start - pushed) // timedelta(minutes=1)
            message = (
                f"{PUSHED_BEFORE[push.drug]} was pushed {minutes} minute{'' if minutes == 1 else 's'} before the "
                "infusion started. The label asks for about 30 minutes between them."
            )
            found.append(Caution("label.premedication", message, DOSING, push.id, "start"))
    return found


def _dose(each: Administration) -> Decimal | None:
    return each.ordered if each.administered is None else each.administered


def _instant(moment: datetime | None, encounter: Encounter) -> datetime | None:
    if moment is None:
        return None
    try:
        return instant(moment, zone_named(encounter.time_zone))
    except ClockChange:
        return None


def months_after(day: date, months: int) -> date:
    """The same day some months later, or the last day of a shorter month.

    >>> months_after(date(2025, 9, 30), 5)
    datetime.date(2026, 2, 28)
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
