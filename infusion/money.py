"""Which fees are in force on a date of service: what the clinic charges, and what a payer is expected to pay.

A schedule without a payer holds the clinic's own charges. Lists are read with a fixed number of queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from django.db.models import Count, F, Q, QuerySet

from infusion.models import Clinic, Encounter, Fee, FeeSchedule
from infusion.services.lines import Statement
from infusion.services.payment import Expected, Rate, expected_payment
from payers.models import Payer

CHARGES = "What the clinic charges"


def schedules_of(clinic: Clinic) -> QuerySet[FeeSchedule]:
    """Every schedule that a clinic ever had, the withdrawn ones among them, the clinic's own charges first."""
    return (
        FeeSchedule.objects.filter(clinic=clinic)
        .select_related("payer", "loaded_by")
        .annotate(codes=Count("fees"), doubted=Count("fees", filter=~Q(fees__implausible="")))
        .order_by(F("payer__name").asc(nulls_first=True), "-effective_from", "-loaded_at")
    )


def in_force(clinic: Clinic, first: date, last: date | None) -> QuerySet[FeeSchedule]:
    """The schedules that hold on any day from `first` to `last`; no last day is no end."""
    rows = FeeSchedule.objects.filter(clinic=clinic, withdrawn_at__isnull=True)
    rows = rows.filter(Q(effective_until__isnull=True) | Q(effective_until__gte=first))
    return rows if last is None else rows.filter(effective_from__lte=last)


def sharing_days(clinic: Clinic, payer: Payer | None, first: date, last: date | None) -> QuerySet[FeeSchedule]:
    """The payer's schedules that share a day with those days, oldest first. There are never two for one day."""
    return in_force(clinic, first, last).filter(payer=payer).order_by("effective_from")


def before(clinic: Clinic, payer: Payer | None, first: date) -> FeeSchedule | None:
    """The schedule that one from that day on would follow, or None."""
    rows = FeeSchedule.objects.filter(clinic=clinic, payer=payer, withdrawn_at__isnull=True, effective_from__lt=first)
    return rows.order_by("-effective_from").first()


def charges_for(clinic: Clinic, on: date) -> dict[str, Fee]:
    """The clinic's own charge for one unit of each code, on a date of service. One query."""
    rows = Fee.objects.filter(schedule__in=in_force(clinic, on, on).filter(payer=None))
    return {fee.code: fee for fee in rows}


def expected_of(encounter: Encounter, statement: Statement) -> Expected:
    """What an encounter's lines should bring, under its payer's schedule on the date of service. Two queries."""
    return expected_of_many(encounter.clinic, [(encounter, statement)])[0]


def expected_of_many(clinic: Clinic, pairs: Sequence[tuple[Encounter, Statement]]) -> list[Expected]:
    """The same for a list of one clinic's encounters, in its order. Two queries, however long it is."""
    days = {day for pair in pairs for day in days_of(*pair)}
    if not days:
        return []
    book = FeeBook(clinic, days)
    return [book.expected(*pair) for pair in pairs]


def charges_for_many(clinic: Clinic, days: Iterable[date]) -> dict[date, dict[str, Fee]]:
    """The clinic's own charges on each of these days, by code. Two queries."""
    wanted = set(days)
    book = FeeBook(clinic, wanted) if wanted else None
    return {day: book.fees(None, day) for day in wanted} if book else {}


def day_of(encounter: Encounter, statement: Statement) -> date:
    """The date of service of the lines; they carry their own once they are approved."""
    return statement.date_of_service or encounter.date_of_service


def days_of(encounter: Encounter, statement: Statement) -> set[date]:
    """Every day that a line is dated by: past midnight some carry another one."""
    day = day_of(encounter, statement)
    return {day, *(line.date_of_service or day for line in statement.lines)}


class FeeBook:
    """The schedules of a clinic that hold on some days, with their fees, read once."""

    def __init__(self, clinic: Clinic, days: Iterable[date]) -> None:
        wanted = list(days)
        self.schedules = list(in_force(clinic, min(wanted), max(wanted)))
        self._rates: dict[int, dict[str, Rate]] = {}
        self._fees: dict[int, dict[str, Fee]] = {schedule.pk: {} for schedule in self.schedules}
        for fee in Fee.objects.filter(schedule__in=self._fees):
            self._fees[fee.schedule_id][fee.code] = fee

    def schedule(self, payer_id: int | None, on: date) -> FeeSchedule | None:
        """The one in force for a payer on a day; for None, the clinic's own charges."""
        return next((each for each in self.schedules if each.payer_id == payer_id and holds(each, on)), None)

    def fees(self, payer_id: int | None, on: date) -> dict[str, Fee]:
        found = self.schedule(payer_id, on)
        return self._fees[found.pk] if found else {}

    def rates(self, payer_id: int | None, on: date) -> Mapping[str, Rate]:
        found = self.schedule(payer_id, on)
        if found is None:
            return {}
        if found.pk not in self._rates:
            self._rates[found.pk] = {code: rate_of(fee) for code, fee in self._fees[found.pk].items()}
        return self._rates[found.pk]

    def expected(self, encounter: Encounter, statement: Statement) -> Expected:
        """What each line should bring on its own day."""
        day = day_of(encounter, statement)
        found = (
            expected_payment([line], self.rates(encounter.payer_id, line.date_of_service or day))
            for line in statement.lines
        )
        return Expected(tuple(each for one in found for each in one.lines))


def holds(schedule: FeeSchedule, on: date) -> bool:
    return schedule.effective_from <= on and (schedule.effective_until is None or on <= schedule.effective_until)


def rate_of(fee: Fee) -> Rate:
    """A row as the rules read it."""
    return Rate(
        code=fee.code, rate=fee.rate, lower_quartile=fee.lower_quartile, median=fee.median,
        upper_quartile=fee.upper_quartile, implausible=fee.implausible,
    )  # fmt: skip


def day_before(day: date) -> date:
    return day - timedelta(days=1)
