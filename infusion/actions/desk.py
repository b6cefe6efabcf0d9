"""Writers of the billing desk: holds, skipped checks, corrections of what was approved, voids.

None of them changes an approval or a batch: those rows stay as they are, and what replaces them comes after them.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from infusion import audit
from infusion.actions.encounters import Refused, State, current_encounter, document_of, told
from infusion.models import Correction, Encounter, Hold, Skip, User
from infusion.selectors import review_of
from infusion.services.findings import Finding
from infusion.skips import OF_A_CLAIM, may_skip, skip_name
from payers.models import Payer

LONGEST_REASON = 300
NOT_APPROVED = "Only an approved encounter can be {done}. This one can still be changed as it is."


@transaction.atomic
def hold(*, by: User, encounter: Encounter, reason: str) -> Hold:
    """Let an encounter wait. It is neither approved nor put in a batch until it is released."""
    current, why = current_encounter(encounter), _reason(reason, "Write why this encounter has to wait.")
    if current.state == State.VOID:
        raise Refused("This encounter is void, so there is nothing to hold.")
    if current.holds.filter(released_at__isnull=True).exists():
        raise Refused("This encounter is on hold already.")
    held = Hold.objects.create(encounter=current, reason=why, placed_by=by, placed_at=timezone.now())
    _tell("hold.place", by, current, "hold", None, _hold_document(held), why)
    return held


@transaction.atomic
def release(*, by: User, encounter: Encounter, reason: str) -> Hold:
    """End the hold of an encounter, and say what became of it."""
    current, why = current_encounter(encounter), _reason(reason, "Write what became of the hold.")
    held = _released(by, current, why)
    if held is None:
        raise Refused("This encounter is not on hold.")
    return held


def _released(by: User, encounter: Encounter, why: str) -> Hold | None:
    """End the hold of an encounter where there is one."""
    held = encounter.holds.filter(released_at__isnull=True).first()
    if held is not None:
        before = _hold_document(held)
        held.released_by, held.released_at, held.release_reason = by, timezone.now(), why
        held.save()
        _tell("hold.release", by, encounter, "hold", before, _hold_document(held), why)
    return held


@transaction.atomic
def skip_finding(*, by: User, encounter: Encounter, finding: Finding, reason: str) -> Skip:
    """Set one finding aside for one encounter. Refused for one that holds up a line, and for one that is not there."""
    current = current_encounter(encounter)
    why = _reason(reason, "Write why this check does not apply here. The reason stays on the record.")
    _check_not_approved(current, finding.code)
    if not may_skip(finding):
        raise Refused("This holds up a line because the record does not support it, so it cannot be skipped.")
    if not finding.code.startswith(OF_A_CLAIM) and finding not in review_of(current).statement.findings:
        raise Refused("This check no longer says so: the record or a rule has changed. Look again.")
    if current.skips.filter(finding=skip_name(finding), ended_at__isnull=True).exists():
        raise Refused("This check is skipped already.")
    skip = Skip.objects.create(
        encounter=current, finding=skip_name(finding), message=finding.message, reason=why, by=by, at=timezone.now()
    )
    _tell("skip.add", by, current, "skip", None, _skip_document(skip), why)
    return skip


@transaction.atomic
def end_skip(*, by: User, skip: Skip) -> Skip:
    """Let a skipped check count again. The skip and its reason stay on the record."""
    current = current_encounter(skip.encounter)
    stored = current.skips.get(pk=skip.pk)
    if stored.ended_at is not None:
        raise Refused("This check counts again already.")
    _check_not_approved(current, stored.finding)
    before = _skip_document(stored)
    stored.ended_by, stored.ended_at = by, timezone.now()
    stored.save()
    _tell("skip.end", by, current, "skip", before, _skip_document(stored))
    return stored


@transaction.atomic
def correct(*, by: User, encounter: Encounter, version: int, reason: str, payer: Payer | None = None) -> Correction:
    """Take an approved encounter up again: back to a draft, or to billing where only the payer was another.

    Its approvals stay. What was sent is credited and sent anew once it is approved anew.
    """
    current = current_encounter(encounter, version)
    why = _reason(reason, "Write what was wrong. The reason stays beside the old and the new lines.")
    if current.state != State.APPROVED:
        raise Refused(NOT_APPROVED.format(done="corrected"))
    if payer is not None and payer.pk == current.payer_id:
        raise Refused(f"This encounter is billed to {payer.name} already. Choose another payer, or leave it as it is.")
    before = document_of(current)
    correction = Correction.objects.create(
        encounter=current, approval=current.approvals.latest("encounter_version"), reason=why, opened_by=by,
        opened_at=timezone.now(),
    )  # fmt: skip
    current.state, current.version = State.DRAFT, current.version + 1
    if payer is not None:
        current.payer, current.state = payer, State.WITH_BILLING
    current.save()
    told("encounter.correct", by, current, before, reason=why)
    return correction


@transaction.atomic
def void(*, by: User, encounter: Encounter, version: int, reason: str) -> Encounter:
    """Say that an approved encounter should never have been billed. What was sent of it is taken back, hold or not."""
    current = current_encounter(encounter, version)
    why = _reason(reason, "Write why this encounter should not have been billed.")
    correction = current.corrections.filter(closed_at__isnull=True).first()
    if current.state == State.VOID:
        raise Refused("This encounter is void already.")
    if current.state != State.APPROVED and correction is None:
        raise Refused(NOT_APPROVED.format(done="made void"))
    before = document_of(current)
    current.state, current.version = State.VOID, current.version + 1
    current.save()
    if correction is not None:
        correction.closed_at = timezone.now()
        correction.save()
    _released(by, current, why)
    return told("encounter.void", by, current, before, reason=why)


def _check_not_approved(encounter: Encounter, finding: str) -> None:
    if encounter.state in (State.APPROVED, State.VOID) and not finding.startswith(OF_A_CLAIM):
        raise Refused("What was approved stays as it was approved. Open a correction first.")


# Audit ----------------------------------------------------------------------------------------------------------------


def _reason(text: str, asked: str) -> str:
    reason = " ".join(text.split())
    if not reason:
        raise Refused(asked)
    if len(reason) > LONGEST_REASON:
        raise Refused(f"The reason has {len(reason)} characters and there is room for {LONGEST_REASON}. Shorten it.")
    return reason


def _tell(
    action: str, by: User, encounter: Encounter, subject: str, before: dict[str, Any] | None, after: dict[str, Any],
    reason: str = "",
) -> None:  # fmt: skip
    audit.record(
        action, by=by, subject=subject, subject_id=encounter.public_id, clinic_id=encounter.clinic_id, reason=reason,
        before=before, after=after,
    )  # fmt: skip


def _hold_document(held: Hold) -> dict[str, Any]:
    return {
        "reason": held.reason,
        "placed_by": held.placed_by_id,
        "placed_at": held.placed_at.isoformat(),
        "released_by": held.released_by_id,
        "released_at": held.released_at and held.released_at.isoformat(),
        "release_reason": held.release_reason,
    }


def _skip_document(skip: Skip) -> dict[str, Any]:
    return {
        "finding": skip.finding,
        "message": skip.message,
        "reason": skip.reason,
        "by": skip.by_id,
        "at": skip.at.isoformat(),
        "ended_by": skip.ended_by_id,
        "ended_at": skip.ended_at and skip.ended_at.isoformat(),
    }
