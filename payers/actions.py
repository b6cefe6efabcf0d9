"""The only writers of payers and their overrides. Each one leaves an audit row in its transaction."""

from __future__ import annotations

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


@transaction.atomic
def add_payer(*, by: Any, slug: str, name: str) -> Payer:
    """A new payer, with nothing but the national baseline."""
    payer = Payer.objects.create(slug=slug, name=name)
    audit.record(
        "payer.add", by=by, subject="payer", subject_id=payer.pk, before=None, after={"slug": slug, "name": name}
    )
    return payer


@transaction.atomic
def draft_override(
    *, by: Any, payer: Payer, departure: Departure, replaces: PolicyOverride | None = None
) -> PolicyOverride:
    """A draft, which affects nothing. `replaces` is the draft or rule that it is a new wording of."""
    return _write(by, payer, departure, Status.DRAFT, replaces if replaces and _is_draft(replaces) else None)


@transaction.atomic
def publish_override(
    *, by: Any, payer: Payer, departure: Departure, status: str, replaces: PolicyOverride | None = None
) -> PolicyOverride:
    """Put a departure in force from its first day on. Raises Refused where it overlaps another of the same scope."""
    if status not in (Status.UNVERIFIED, Status.VERIFIED):
        raise Refused("A published rule is either verified or unverified.", "status")
    return _write(by, payer, departure, status, replaces)


@transaction.atomic
def withdraw_override(*, by: Any, override: PolicyOverride, reason: str) -> None:
    """Take a rule or draft out of what is known now. What was billed under it stays explainable."""
    _close(_current(override), timezone.now())
    audit.record(
        "override.withdraw", by=by, subject="override", subject_id=override.public_id,
        before=_document(override), after=None, reason=reason,
    )  # fmt: skip


def _write(by: Any, payer: Payer, departure: Departure, status: str, replaces: PolicyOverride | None) -> PolicyOverride:
    now = timezone.now()
    if replaces is not None:
        _close(_current(replaces), now)
    row = _row(payer, departure)
    row.status, row.known_from = status, now
    row.author = replaces.author if replaces and replaces.author else by
    row.publisher = None if status == Status.DRAFT else by
    if replaces is not None:
        row.thread = replaces.thread
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
        source_read_on=departure.source_read_on, note=departure.note.strip(),
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
    row = PolicyOverride.objects.select_for_update().get(pk=override.pk)
    if row.known_until is not None:
        raise Refused("Someone else has changed this rule meanwhile. Look at what is there now.")
    return row


def _close(row: PolicyOverride, at: datetime) -> None:
    PolicyOverride.objects.filter(pk=row.pk, known_until__isnull=True).update(known_until=at)


def _is_draft(row: PolicyOverride) -> bool:
    return row.status == Status.DRAFT


def _document(row: PolicyOverride) -> dict[str, Any]:
    """The row as the audit keeps it."""
    return {
        "payer": row.payer.slug, "thread": str(row.thread), "parameter": row.parameter, "value": row.value,
        "setting": row.setting, "drug": row.drug, "effective_from": row.effective_from.isoformat(),
        "effective_until": row.effective_until and row.effective_until.isoformat(),
        "source_document": row.source_document, "source_address": row.source_address,
        "source_read_on": row.source_read_on.isoformat(), "status": row.status, "note": row.note,
    }  # fmt: skip
