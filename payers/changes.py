"""What admins mean by a change, told in the actions that write it: one change is one transaction.

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
        review_by=row.review_by,
    )


def begins_later(override: PolicyOverride | None, departure: Departure) -> bool:
    """Whether a new wording of a published rule leaves its first days as they are."""
    return (
        override is not None and override.status != Status.DRAFT and departure.effective_from > override.effective_from
    )


@transaction.atomic
def publish(*, by: Any, draft: PolicyOverride, status: str, review_by: date | None = None) -> PolicyOverride:
    """Put a draft in force. A published rule that it follows ends the day before; one it corrects is replaced."""
    departure = replace(departure_of(draft), review_by=review_by)
    followed = draft.follows
    if followed is not None and followed.known_until is not None:
        raise Refused("The rule that this draft changes has been changed meanwhile. Look at what is there now.")
    replaced: PolicyOverride | None = draft
    if followed is not None:
        actions.put_away(by=by, draft=draft)
        replaced = followed
        if begins_later(followed, departure):
            end(by=by, override=followed, last_day=departure.effective_from - ONE_DAY)
            replaced = None
    return _publish(by, draft.payer, departure, status, replaced, draft.author)


@transaction.atomic
def make_room(*, by: Any, draft: PolicyOverride, other: PolicyOverride) -> None:
    """Another rule of the draft's scope ends the day before it, or goes if it began later."""
    if other.effective_from < draft.effective_from:
        end(by=by, override=other, last_day=draft.effective_from - ONE_DAY)
    else:
        actions.withdraw_override(by=by, override=other, reason="Another rule of the same scope took its place.")


@transaction.atomic
def end(*, by: Any, override: PolicyOverride, last_day: date) -> PolicyOverride:
    """The same rule with a last day; afterwards the payer inherits again."""
    if override.effective_until is not None and last_day > override.effective_until:
        raise Refused("The rule ends before that day already. Enter an earlier one.", "last_day")
    if last_day < override.effective_from:
        raise Refused("The last day lies before the first. Withdraw the rule if it never held.", "last_day")
    departure = replace(departure_of(override), effective_until=last_day)
    return _publish(by, override.payer, departure, override.status, override)


def _publish(
    by: Any, payer: Payer, departure: Departure, status: str, override: PolicyOverride | None, author: Any = None
) -> PolicyOverride:
    try:
        with transaction.atomic():
            return actions.publish_override(
                by=by, payer=payer, departure=departure, status=status, replaces=override, author=author
            )
    except IntegrityError as problem:
        raise Refused(
            "Someone else has published a rule for these days meanwhile. Look at what is there now.", "effective_from"
        ) from problem
