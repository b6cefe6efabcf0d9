"""How much of a drug a payer takes for one dose, over some months, and how soon again.

Earlier doses come in as facts. These findings warn; they never change a line. Units are those given, not those
discarded; a drug that the site did not buy is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from infusion.services.drug import NOTHING, units_up
from infusion.services.facts import PastDose
from infusion.services.findings import Findings
from infusion.services.label import months_after
from infusion.services.record import Given
from infusion.services.reference import Drug
from payers.policy import Rules

LIMITS = ("maximum_units_per_dose", "maximum_units_per_period", "minimum_days_between_doses")
QUOTING = ("units.above_period_limit", "dose.too_soon")
"""The findings that say something of earlier doses."""


def check_dose_limits(
    past_doses: Sequence[PastDose] | None,
    drug: Drug,
    group: Sequence[Given],
    on: date,
    rules: Rules,
    findings: Findings,
) -> None:
    """What was given of one drug against what the payer takes [BAL]."""
    bought = [each.administration for each in group if each.administration.acquired == "purchased"]
    amount = NOTHING
    for each in bought:
        amount += each.administered or NOTHING
    if amount <= NOTHING or rules.asks_nothing(drug.code, LIMITS):
        return
    units = units_up(amount, drug)
    where = {"administration": bought[0].id, "what": drug.name}
    dose = rules.read("maximum_units_per_dose", drug.code)
    if isinstance(dose.value, int) and units > dose.value:
        findings.add(
            "units.above_dose_limit", field="administered", payer=dose.whose, units=units, most=dose.value, **where
        )
    period = rules.read("maximum_units_per_period", drug.code)
    interval = rules.read("minimum_days_between_doses", drug.code)
    if past_doses is None:
        limited = next((reading for reading in (period, interval) if reading.value is not None), None)
        if limited is not None:
            findings.add("dose.history_missing", field="drug", payer=limited.whose, **where)
        past_doses = ()
    earlier = [dose for dose in past_doses if dose.drug == drug.code and dose.on <= on]
    if isinstance(period.value, int):
        months = rules.read("units_period_months", drug.code).minutes
        before = sum(units_up(dose.amount, drug) for dose in earlier if months_after(dose.on, months) > on)
        if before + units > period.value:
            findings.add(
                "units.above_period_limit",
                field="administered",
                payer=period.whose,
                most=period.value,
                months=months,
                before=before,
                units=before + units,
                **where,
            )
    last = max((dose.on for dose in earlier), default=None)
    if isinstance(interval.value, int) and last is not None and (on - last).days < interval.value:
        findings.add(
            "dose.too_soon",
            field="drug",
            payer=interval.whose,
            days=interval.value,
            last=last,
            since=(on - last).days,
            **where,
        )
