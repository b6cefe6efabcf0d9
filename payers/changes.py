"""What an admin means by a change, told in the actions that write it: one change is one transaction.

A rule that becomes another one later is ended, and the new one begins the day after; the days before stay as they
were billed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from payers import actions
from payers.actions import Departure, Refused
from payers.models import Payer, PolicyOverride
from payers.policy import PARAMETERS

Status = PolicyOverride.Status
ONE_DAY = timedelta(days=1)


def departure_of(row: PolicyOverride) -> Departure:
    """What a row says, to be said again with a difference."""
    return Departure(
        parameter=row.parameter,
        value=row.value,
        setting=row.setting,
        drug=row.drug,
        effective_from=row.effective_from,
        effective_until=row.effective_until,
        source_document=row.source_document,
        source_address=row.source_address,
        source_read_on=row.source_read_on,
        note=row.note,
    )


def begins_later(override: PolicyOverride | None, departure: Departure) -> bool:
    """Whether a new wording of a published rule leaves its first days as they are."""
    return (
        override is not None and override.status != Status.DRAFT and departure.effective_from > override.effective_from
    )


@transaction.atomic
def publish(
    *, by: Any, payer: Payer, departure: Departure, status: str, override: PolicyOverride | None
) -> PolicyOverride:
    """Put a rule in force. A published rule that it follows ends the day before; one it corrects is replaced."""
    if override is not None and begins_later(override, departure):
        end(by=by, override=override, last_day=departure.effective_from - ONE_DAY)
        override = None
    return _publish(by, payer, departure, status, override)


@transaction.atomic
def take_over(
    *, by: Any, payer: Payer, departure: Departure, status: str, override: PolicyOverride | None, other: PolicyOverride
) -> PolicyOverride:
    """Publish where another rule of the same scope stands: that one ends the day before, or goes if it began later."""
    if other.effective_from < departure.effective_from:
        end(by=by, override=other, last_day=departure.effective_from - ONE_DAY)
    else:
        actions.withdraw_override(by=by, override=other, reason="Another rule of the same scope took its place.")
    return publish(by=by, payer=payer, departure=departure, status=status, override=override)


@transaction.atomic
def end(*, by: Any, override: PolicyOverride, last_day: date) -> PolicyOverride:
    """The same rule with a last day; afterwards the payer inherits again."""
    if override.effective_until is not None and last_day > override.effective_until:
        raise Refused("The rule ends before that day already. Enter an earlier one.", "last_day")
    if last_day < override.effective_from:
        raise Refused("The last day lies before the first. Withdraw the rule if it never held.", "last_day")
    departure = replace(departure_of(override), effective_until=last_day)
    return _publish(by, override.payer, departure, override.status, override)


@transaction.atomic
def inherit(*, by: Any, override: PolicyOverride, first_day: date | None, today: date) -> PolicyOverride | None:
    """An emptied value: what never held goes, what has held ends before the first day given."""
    if override.status == Status.DRAFT or override.effective_from > today:
        actions.withdraw_override(by=by, override=override, reason="Left blank, so that it inherits.")
        return None
    if first_day is None or first_day <= override.effective_from:
        label = PARAMETERS[override.parameter].label
        raise Refused(
            f"From which day does {label.lower()} inherit again? Enter a day after the first one, "
            "or withdraw the rule if it never held.",
            "effective_from",
        )
    return end(by=by, override=override, last_day=first_day - ONE_DAY)


def _publish(
    by: Any, payer: Payer, departure: Departure, status: str, override: PolicyOverride | None
) -> PolicyOverride:
    try:
        with transaction.atomic():
            return actions.publish_override(by=by, payer=payer, departure=departure, status=status, replaces=override)
    except IntegrityError as problem:
        raise Refused(
            "Someone else has published a rule for these days meanwhile. Look at what is there now.", "effective_from"
        ) from problem
