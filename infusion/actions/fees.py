"""Writers of fee schedules: one loaded whole, the one before it ended, one withdrawn. None is ever changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone

from infusion import audit
from infusion.actions.encounters import Refused
from infusion.models import Clinic, Fee, FeeSchedule, User
from infusion.money import CHARGES, before, day_before, sharing_days
from infusion.services.payment import Rate, why_implausible
from infusion.services.reference import shipped_reference
from infusion.services.words import counted, plain
from payers.models import Payer
from payers.selectors import day_in_words

FEES_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFees:
    """A schedule before it is loaded. Without a payer it holds what the clinic charges."""

    payer: Payer | None
    name: str
    source: str
    effective_from: date
    effective_until: date | None
    checksum: str
    rates: tuple[Rate, ...]
    public_id: UUID | None = None

    @property
    def whose(self) -> str:
        return self.payer.name if self.payer else CHARGES

    @property
    def judged(self) -> tuple[Rate, ...]:
        """The rates, each with why it cannot be believed."""
        return judged(self.rates, self.effective_from)


class FeesInTheWay(Refused):
    """Another schedule holds on the same days. `schedule` can be ended the day before, if that is agreed to."""

    def __init__(self, message: str, schedule: FeeSchedule) -> None:
        super().__init__(message)
        self.schedule = schedule


def judged(rates: Sequence[Rate], on: date) -> tuple[Rate, ...]:
    """The rates, each with why it cannot be believed."""
    limits = shipped_reference().payment_limits
    return tuple(
        replace(rate, implausible=why_implausible(rate, limits.get(rate.code, ()), on)[:200]) for rate in rates
    )


def check_fees(clinic: Clinic, fees: NewFees) -> FeeSchedule | None:
    """The schedule that would have to be ended for this one, or None. Raises Refused for what cannot be loaded."""
    if fees.effective_until is not None and fees.effective_until < fees.effective_from:
        raise Refused("The last day lies before the first. Correct one of them.")
    if not fees.rates:
        raise Refused("There is no rate in it, so nothing would be loaded.")
    sharing = list(sharing_days(clinic, fees.payer, fees.effective_from, fees.effective_until))
    twin = next((each for each in sharing if each.checksum == fees.checksum), None)
    if twin is not None:
        raise Refused(
            f"This very file was loaded on {day_in_words(twin.loaded_at.date())}: {twin.name}, for {fees.whose} from "
            f"{day_in_words(twin.effective_from)}. Nothing has to be done."
        )
    later = next((each for each in sharing if each.effective_from >= fees.effective_from), None)
    if later is not None:
        raise Refused(
            f"{later.name} holds for {fees.whose} from {day_in_words(later.effective_from)}, {until_in_words(later)}, "
            "and two schedules cannot hold on one day. Choose days outside it, or withdraw it first."
        )
    return sharing[0] if sharing else None


@transaction.atomic
def load_fees(*, by: User | None, clinic: Clinic, fees: NewFees, end_previous: bool = False) -> FeeSchedule:
    """Put a schedule in force. Raises FeesInTheWay for one that holds on the same days, unless it may be ended."""
    Clinic.objects.select_for_update(no_key=True).get(pk=clinic.pk)
    again = FeeSchedule.objects.filter(clinic=clinic, public_id=fees.public_id).first() if fees.public_id else None
    if again is not None:
        return again
    previous = check_fees(clinic, fees)
    if previous is not None:
        if not end_previous:
            raise FeesInTheWay(
                f"{previous.name} holds for {fees.whose} from {day_in_words(previous.effective_from)}, "
                f"{until_in_words(previous)}. It has to end on {day_in_words(day_before(fees.effective_from))} before "
                "this one begins; agree to that, or choose other days.",
                previous,
            )
        _end(by, previous, day_before(fees.effective_from))
    return _write(by, clinic, fees)


@transaction.atomic
def withdraw_fees(*, by: User, schedule: FeeSchedule, reason: str) -> FeeSchedule:
    """Take a schedule out of force for every day. What was exported under it stays as it was written."""
    current = FeeSchedule.objects.select_for_update(no_key=True).get(pk=schedule.pk)
    if current.withdrawn_at is not None:
        raise Refused("This schedule is withdrawn already.")
    if not reason.strip():
        raise Refused("Say why, for whoever reads the history later.")
    told = fees_document(current)
    current.withdrawn_at = timezone.now()
    current.save(update_fields=["withdrawn_at"])
    _tell("fees.withdraw", by, current, told, reason.strip())
    return current


def _write(by: User | None, clinic: Clinic, fees: NewFees) -> FeeSchedule:
    schedule = FeeSchedule(
        clinic=clinic, payer=fees.payer, name=fees.name.strip(), source=fees.source.strip(), checksum=fees.checksum,
        effective_from=fees.effective_from, effective_until=fees.effective_until, loaded_by=by,
        loaded_at=timezone.now(), public_id=fees.public_id or uuid4(),
    )  # fmt: skip
    schedule.save(force_insert=True)
    rows = [
        Fee(
            schedule=schedule, code=rate.code, rate=rate.rate, lower_quartile=rate.lower_quartile, median=rate.median,
            upper_quartile=rate.upper_quartile, implausible=rate.implausible,
        )
        for rate in fees.judged
    ]  # fmt: skip
    Fee.objects.bulk_create(rows, batch_size=FEES_AT_A_TIME)
    _tell("fees.load", by, schedule, None)
    return schedule


def _end(by: User | None, schedule: FeeSchedule, last_day: date) -> None:
    told = fees_document(schedule)
    schedule.effective_until = last_day
    schedule.save(update_fields=["effective_until"])
    _tell("fees.end", by, schedule, told)


def _tell(action: str, by: Any, schedule: FeeSchedule, earlier: dict[str, Any] | None, reason: str = "") -> None:
    audit.record(
        action, by=by, subject="fees", subject_id=schedule.public_id, clinic_id=schedule.clinic_id, before=earlier,
        after=fees_document(schedule), reason=reason,
    )  # fmt: skip


def fees_document(schedule: FeeSchedule) -> dict[str, Any]:
    """A schedule as the audit keeps it; its fees as their number and one hash, so that a changed one would show."""
    fees = [
        [fee.code, *(None if each is None else plain(each) for each in figures_of(fee)), fee.implausible]
        for fee in schedule.fees.order_by("code")
    ]
    return {
        "payer": schedule.payer and schedule.payer.slug,
        "name": schedule.name,
        "source": schedule.source,
        "effective_from": schedule.effective_from.isoformat(),
        "effective_until": schedule.effective_until and schedule.effective_until.isoformat(),
        "checksum": schedule.checksum,
        "fees": counted(len(fees), "code"),
        "fees_hash": audit.digest(audit.canonical(fees)),
        "withdrawn": schedule.withdrawn_at is not None,
    }


def figures_of(fee: Fee | Rate) -> tuple[Any, Any, Any, Any]:
    return fee.rate, fee.lower_quartile, fee.median, fee.upper_quartile


def until_in_words(schedule: FeeSchedule) -> str:
    return f"until {day_in_words(schedule.effective_until)}" if schedule.effective_until else "without an end"


@dataclass(frozen=True, slots=True)
class Difference:
    """A code that a schedule would pay otherwise than the one it follows; None where it is not in one of them."""

    code: str
    was: Rate | Fee | None
    now: Rate | None


def differences(clinic: Clinic, fees: NewFees) -> tuple[FeeSchedule | None, list[Difference]]:
    """The schedule that this one would follow, and every code whose figures differ from it."""
    previous = before(clinic, fees.payer, fees.effective_from)
    if previous is None:
        return None, []
    old: dict[str, Fee] = {fee.code: fee for fee in previous.fees.all()}
    new = {rate.code: rate for rate in fees.rates}
    found = [Difference(code, old.get(code), new.get(code)) for code in sorted({**old, **new})]
    return previous, [
        each for each in found if each.was is None or each.now is None or figures_of(each.was) != figures_of(each.now)
    ]
