"""The only writers of payers and their overrides. Each one leaves an audit row in its transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from infusion import audit
from payers.models import Payer, PolicyOverride
from payers.policy import PARAMETERS, jsonable
from payers.selectors import day_in_words, overlapping

Status = PolicyOverride.Status


class Refused(ValueError):
    """Why something was not written. `field` names the form field that it belongs to, if one does."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """What an override says: one parameter, its scope, its dates and where that is written."""

    parameter: str
    value: object
    effective_from: date
    source_document: str
    source_read_on: date
    setting: str = ""
    drug: str = ""
    effective_until: date | None = None
    source_address: str = ""
    note: str = ""
    review_by: date | None = None


@transaction.atomic
def add_payer(*, by: Any, slug: str, name: str) -> Payer:
    """A new payer, with nothing but the national baseline."""
    payer = Payer.objects.create(slug=slug, name=name)
    audit.record(
        "payer.add", by=by, subject="payer", subject_id=payer.pk, before=None, after={"slug": slug, "name": name}
    )
    return payer


@transaction.atomic
def identify_payer(*, by: Any, payer: Payer, shown: Mapping[str, str], electronic_id: str, filing_code: str) -> Payer:
    """What the payer is called on electronic claims. Refused where it is no longer what was shown."""
    current = Payer.objects.select_for_update(no_key=True).get(pk=payer.pk)
    before = on_claims(current)
    if before != shown:
        raise Refused("Someone else has changed this meanwhile. Look at what is there now, then save yours again.")
    current.electronic_id, current.filing_code = electronic_id, filing_code
    after = on_claims(current)
    if after != before:
        current.save(update_fields=list(after))
        audit.record("payer.identify", by=by, subject="payer", subject_id=current.pk, before=before, after=after)
    return current


def on_claims(payer: Payer) -> dict[str, str]:
    """What stands of a payer on electronic claims."""
    return {"electronic_id": payer.electronic_id, "filing_code": payer.filing_code}


@transaction.atomic
def draft_override(
    *, by: Any, payer: Payer, departure: Departure, replaces: PolicyOverride | None = None
) -> PolicyOverride:
    """A draft, which affects nothing. `replaces` is the draft it is a new wording of, or the rule it would change."""
    if replaces is not None and replaces.status == Status.DRAFT:
        _refuse_while_proposed(replaces)
        return _write(by, payer, departure, Status.DRAFT, replaces, follows=_current_rule(replaces.follows))
    return _write(by, payer, departure, Status.DRAFT, None, follows=replaces and _current(replaces))


@transaction.atomic
def publish_override(
    *,
    by: Any,
    payer: Payer,
    departure: Departure,
    status: str,
    replaces: PolicyOverride | None = None,
    author: Any = None,
) -> PolicyOverride:
    """Put a departure in force from its first day on. Raises Refused where it overlaps another of the same scope.

    People come here through a proposal, which another admin publishes; only what ships with the program does not.
    """
    if status not in (Status.UNVERIFIED, Status.VERIFIED):
        raise Refused("A published rule is either verified or unverified.", "status")
    return _write(by, payer, departure, status, replaces, author=author)


@transaction.atomic
def withdraw_override(*, by: Any, override: PolicyOverride, reason: str) -> None:
    """Take a rule or draft out of what is known now. What was billed under it stays explainable."""
    if override.status == Status.DRAFT:
        _refuse_while_proposed(override)
    _close(_current(override), timezone.now())
    audit.record(
        "override.withdraw", by=by, subject="override", subject_id=override.public_id,
        before=_document(override), after=None, reason=reason,
    )  # fmt: skip


def _write(
    by: Any,
    payer: Payer,
    departure: Departure,
    status: str,
    replaces: PolicyOverride | None,
    *,
    follows: PolicyOverride | None = None,
    author: Any = None,
) -> PolicyOverride:
    now = timezone.now()
    if replaces is not None:
        _close(_current(replaces), now)
    row = _row(payer, departure)
    row.status, row.known_from, row.follows = status, now, follows
    row.author = by if status == Status.DRAFT else author or (replaces and replaces.author) or by
    row.publisher = None if status == Status.DRAFT else by
    if replaces or follows:
        row.thread = (replaces or follows).thread  # type: ignore[union-attr]
    if status != Status.DRAFT:
        _refuse_overlap(row)
    row.save(force_insert=True)
    audit.record(
        "override.draft" if status == Status.DRAFT else "override.publish",
        by=by, subject="override", subject_id=row.public_id,
        before=_document(replaces) if replaces else None, after=_document(row),
    )  # fmt: skip
    return row


def _row(payer: Payer, departure: Departure) -> PolicyOverride:
    parameter = PARAMETERS.get(departure.parameter)
    if parameter is None:
        raise Refused(f"{departure.parameter} is not a policy parameter.", "parameter")
    try:
        value = parameter.clean(departure.value)
    except ValueError as problem:
        raise Refused(str(problem), "value") from None
    if departure.effective_until is not None and departure.effective_until < departure.effective_from:
        raise Refused("The last day lies before the first. Correct one of them.", "effective_until")
    if not departure.source_document.strip():
        raise Refused("A rule needs its source. Enter the document that says so.", "source_document")
    return PolicyOverride(
        payer=payer, parameter=departure.parameter, value=jsonable(value), setting=departure.setting,
        drug=departure.drug, effective_from=departure.effective_from, effective_until=departure.effective_until,
        source_document=departure.source_document.strip(), source_address=departure.source_address.strip(),
        source_read_on=departure.source_read_on, note=departure.note.strip(), review_by=departure.review_by,
    )  # fmt: skip


def _refuse_overlap(row: PolicyOverride) -> None:
    other = overlapping(row)
    if other is not None:
        until = f"until {day_in_words(other.effective_until)}" if other.effective_until else "without an end"
        raise Refused(
            f"{PARAMETERS[row.parameter].label} already has a rule from {day_in_words(other.effective_from)} {until}. "
            "End that one first, or choose days outside it.",
            "effective_from",
        )


def _current(override: PolicyOverride) -> PolicyOverride:
    """The row, locked. Raises Refused when another admin has changed it meanwhile."""
    row = PolicyOverride.objects.select_for_update(no_key=True).get(pk=override.pk)
    if row.known_until is not None:
        raise Refused("Someone else has changed this rule meanwhile. Look at what is there now.")
    return row


@transaction.atomic
def put_away(*, by: Any, draft: PolicyOverride) -> None:
    """A draft goes because its wording is published under the rule that it follows."""
    _close(_current(draft), timezone.now())
    audit.record(
        "override.put_away", by=by, subject="override", subject_id=draft.public_id,
        before=_document(draft), after=None,
    )  # fmt: skip


def _close(row: PolicyOverride, at: datetime) -> None:
    refuse_before(row.known_from, at)
    PolicyOverride.objects.filter(pk=row.pk, known_until__isnull=True).update(known_until=at)


def refuse_before(known_from: datetime, at: datetime) -> None:
    """Nothing ends before it was known: a history written by a clock that was set back could not be read."""
    if at < known_from:
        raise Refused(
            "The server's clock shows an earlier time than when this was written, so nothing was changed. Have the "
            "clock put right, then try again."
        )


def _current_rule(followed: PolicyOverride | None) -> PolicyOverride | None:
    """What stands now in the place of the rule that a draft was to change."""
    if followed is None:
        return None
    rows = PolicyOverride.objects.filter(thread=followed.thread, known_until__isnull=True)
    return rows.exclude(status=Status.DRAFT).first()


def _refuse_while_proposed(row: PolicyOverride) -> None:
    if row.proposals.filter(outcome="").exists():
        raise Refused("This waits for a second admin. Take the proposal back before changing it.")


def _document(row: PolicyOverride) -> dict[str, Any]:
    """The row as the audit keeps it."""
    return {
        "payer": row.payer.slug, "thread": str(row.thread), "parameter": row.parameter, "value": row.value,
        "setting": row.setting, "drug": row.drug, "effective_from": row.effective_from.isoformat(),
        "effective_until": row.effective_until and row.effective_until.isoformat(),
        "source_document": row.source_document, "source_address": row.source_address,
        "source_read_on": row.source_read_on.isoformat(), "status": row.status, "note": row.note,
        "review_by": row.review_by and row.review_by.isoformat(),
    }  # fmt: skip
