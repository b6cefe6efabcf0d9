"""Writers of batches: one is made of approved lines, written in a format, and its claims get the payer's numbers.

A line leaves once. The clinic's row is locked while a batch is made, and the database refuses a line's second charge or
credit whoever made it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from infusion import audit
from infusion.actions.encounters import Refused
from infusion.batches import Candidate, claims_of, formats_for, sender_of, standing_of, waiting
from infusion.exchange import Unwritable
from infusion.exchange.claim import Claim, ClaimLine, claim_document
from infusion.models import (
    Approval,
    Batch,
    BatchClaim,
    BatchFile,
    BatchLine,
    Clinic,
    Encounter,
    PayerReference,
    User,
)

MOST_CLAIMS = 5000
LONGEST_REFERENCE = 50
GONE = (
    "Some of these are not ready any more: {names}. Someone else has put them in a batch, or something about them has "
    "changed. Nothing was made. Look at what is ready now."
)


@transaction.atomic
def make_batch(*, by: User, clinic: Clinic, client_id: UUID, encounters: Iterable[Encounter]) -> Batch:
    """A batch of all that stands of these encounters. The same `client_id` twice is one batch.

    All of them or none: refused where one is not ready any more.
    """
    locked = Clinic.objects.select_for_update().get(pk=clinic.pk)
    existing = Batch.objects.filter(clinic=locked, client_id=client_id).first()
    if existing is not None:
        return existing
    chosen = _chosen(locked, encounters)
    last = Batch.objects.filter(clinic=locked).order_by("-number").first()
    batch = Batch(
        clinic=locked, client_id=client_id, number=last.number + 1 if last else 1, made_by=by, made_at=timezone.now()
    )
    try:
        with transaction.atomic():
            batch.save(force_insert=True)
            claims = [_leave(batch, position, each) for position, each in enumerate(chosen, start=1)]
    except IntegrityError:
        # The database is the last to say so; whoever was first has the lines.
        names = ", ".join(sorted({each.encounter.patient.reference for each in chosen}))
        raise Refused(GONE.format(names=names)) from None
    audit.record(
        "batch.make", by=by, subject="batch", subject_id=batch.public_id, clinic_id=locked.pk, before=None,
        after={"number": batch.number, "claims": claims},
    )  # fmt: skip
    return batch


def _chosen(clinic: Clinic, encounters: Iterable[Encounter]) -> list[Candidate]:
    wanted = {each.pk: each for each in encounters}
    if not wanted:
        raise Refused("Nothing is chosen. Tick what the batch should hold.")
    # Approvals, corrections and voids lock the encounter too, so none of them comes in between.
    list(Encounter.objects.select_for_update().filter(clinic=clinic, pk__in=wanted).order_by("pk").values_list("pk"))
    standing = standing_of(clinic, waiting(clinic).filter(pk__in=wanted))
    there = {each.encounter.pk for each in standing if each.ready}
    gone = [each.patient.reference for pk, each in wanted.items() if pk not in there]
    if gone:
        raise Refused(GONE.format(names=", ".join(sorted(gone))))
    chosen = [candidate for each in standing for candidate in each.candidates]
    if len(chosen) > MOST_CLAIMS:
        raise Refused(f"One batch takes {MOST_CLAIMS:,} claims, and these are {len(chosen):,}. Make two of them.")
    return chosen


def _leave(batch: Batch, position: int, candidate: Candidate) -> dict[str, Any]:
    """Write one claim and its lines, and answer with what the audit keeps of it."""
    claim: Claim = replace(candidate.claim, number=f"{batch.clinic_id}-{batch.number}-{position:04d}")
    content = audit.canonical(claim_document(claim))
    row = BatchClaim.objects.create(
        batch=batch, encounter=candidate.encounter, approval=candidate.approval, payer=candidate.payer,
        number=claim.number, frequency=claim.frequency, replaces=candidate.replaces, content=content,
        content_hash=audit.digest(content),
    )  # fmt: skip
    credited = candidate.replaces.approval if candidate.replaces else candidate.approval
    rows = [_line(row, credited, BatchLine.Kind.CREDIT, line) for line in claim.credits]
    rows += [_line(row, candidate.approval, BatchLine.Kind.CHARGE, line) for line in claim.charges]
    BatchLine.objects.bulk_create(rows)
    return {
        "number": claim.number, "frequency": claim.frequency, "encounter": str(candidate.encounter.public_id),
        "approval": candidate.approval.content_hash, "content": row.content_hash,
    }  # fmt: skip


def _line(claim: BatchClaim, approval: Approval, kind: str, line: ClaimLine) -> BatchLine:
    return BatchLine(
        claim=claim, approval=approval, position=line.position, kind=kind, code=line.code,
        modifiers=" ".join(line.modifiers), units=line.units, charge=line.charge,
    )  # fmt: skip


@transaction.atomic
def write_file(*, by: User | None, batch: Batch, format: str) -> BatchFile:
    """The batch in one format. Written once: the bytes of the first time are what is downloaded ever after."""
    Batch.objects.select_for_update().get(pk=batch.pk)
    existing = BatchFile.objects.filter(batch=batch, format=format).first()
    if existing is not None:
        return existing
    claims = [claim for _, claim in claims_of(batch)]
    chosen = formats_for(claims).get(format)
    if chosen is None:
        raise Refused(
            f"Batch {batch.number} does not leave as {format}. Choose one of the formats that its page offers."
        )
    now = timezone.now()
    try:
        content = chosen.write(claims, sender_of(batch.clinic), batch.number, now)
    except Unwritable as problem:
        raise Refused(" ".join(problem.sentences)) from None
    checksum = hashlib.sha256(content).hexdigest()
    file = BatchFile.objects.create(
        batch=batch, format=format, content=content, checksum=checksum, written_by=by, written_at=now
    )
    audit.record(
        "batch.write", by=by, subject="batch", subject_id=batch.public_id, clinic_id=batch.clinic_id, before=None,
        after={"format": format, "checksum": checksum, "bytes": len(content)},
    )  # fmt: skip
    return file


@transaction.atomic
def record_payer_reference(*, by: User, claim: BatchClaim, number: str, shown: str = "") -> PayerReference:
    """The number that the payer gave a claim. `shown` is what stood there, so that nobody's entry is lost."""
    BatchClaim.objects.select_for_update().get(pk=claim.pk)
    text = " ".join(number.split()).upper()
    if not text:
        raise Refused(f"Enter the number that {claim.payer.name} gave claim {claim.number}.")
    if len(text) > LONGEST_REFERENCE or not text.isascii() or not text.isprintable() or set(text) & set("*~:^"):
        raise Refused(f"{text[:60]} is no payer's number: up to {LONGEST_REFERENCE} plain letters, digits and hyphens.")
    stored = PayerReference.objects.filter(claim=claim).first()
    before = stored.number if stored else ""
    if before == text and stored is not None:
        return stored
    if before != shown:
        raise Refused(f"Someone else has recorded {before} for claim {claim.number} meanwhile. Nothing was changed.")
    row, _ = PayerReference.objects.update_or_create(
        claim=claim, defaults={"number": text, "recorded_by": by, "recorded_at": timezone.now()}
    )
    audit.record(
        "claim.reference", by=by, subject="claim", subject_id=claim.number, clinic_id=claim.batch.clinic_id,
        before={"number": before} if before else None, after={"number": text},
    )  # fmt: skip
    return row
