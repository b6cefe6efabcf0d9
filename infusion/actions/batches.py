"""Writers of batches: one is made of approved lines, written in a format, and its claims get the payer's numbers.

A line leaves once. The clinic's row is locked while claims are put into a batch, and the database refuses a second
charge or credit of a line whoever made it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from infusion import audit, jobs
from infusion.actions.encounters import Refused
from infusion.batches import (
    NO_DATABASE,
    Candidate,
    Standing,
    claims_of,
    failed_at,
    formats_for,
    sender_of,
    standing_of,
    waiting,
)
from infusion.exchange import Unwritable
from infusion.exchange.claim import Claim, ClaimLine, claim_document
from infusion.models import (
    Approval,
    Batch,
    BatchClaim,
    BatchFile,
    BatchFilling,
    BatchLine,
    Clinic,
    Encounter,
    Job,
    PayerReference,
    User,
)

BATCH = "batch"
FILLED_AT_ONCE = 50
MOST_CLAIMS = 5000
LONGEST_REFERENCE = 50
GONE = (
    "Some of these are not ready any more: {names}. Someone else has put them in a batch, or something about them has "
    "changed. Nothing was made. Look at what is ready now."
)
OTHER_CHOICE = (
    "This page has made batch {number} already, of another choice. That batch stands and nothing more was made. Open "
    "it below, then choose again from what is ready now."
)


@transaction.atomic
def make_batch(*, by: User, clinic: Clinic, client_id: UUID, encounters: Iterable[Encounter]) -> Batch:
    """A batch of all that stands of these encounters. The same `client_id` twice is one batch, of the same choice.

    All of them or none: refused where one is not ready any more.
    """
    locked, wanted = _locked(clinic), list(encounters)
    existing = Batch.objects.filter(clinic=locked, client_id=client_id).first()
    if existing is not None:
        if {each.pk for each in wanted} != set(existing.claims.values_list("encounter", flat=True)):
            raise Refused(OTHER_CHOICE.format(number=existing.number))
        return existing
    chosen = _chosen(locked, wanted)
    batch = _next_batch(by, locked, client_id)
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


def _senders(clinic: Clinic) -> QuerySet[Clinic]:
    """The clinic and those that send under its number: who receives the files takes the number of a batch once."""
    own = Q(pk=clinic.pk)
    return Clinic.objects.filter(own | Q(sender_id=clinic.sender_id) if clinic.sender_id else own)


def _locked(clinic: Clinic) -> Clinic:
    """The clinic as it is stored, locked with those that number their batches together with it."""
    return next(each for each in _senders(clinic).select_for_update(no_key=True).order_by("pk") if each == clinic)


def _next_batch(by: User, clinic: Clinic, client_id: UUID) -> Batch:
    last = Batch.objects.filter(clinic__in=_senders(clinic)).order_by("-number").first()
    number = last.number + 1 if last else 1
    return Batch(clinic=clinic, client_id=client_id, number=number, made_by=by, made_at=timezone.now())


def _chosen(clinic: Clinic, encounters: Iterable[Encounter]) -> list[Candidate]:
    wanted = {each.pk: each for each in encounters}
    if not wanted:
        raise Refused("Nothing is chosen. Tick what the batch should hold.")
    _lock(clinic, wanted)
    standing = standing_of(clinic, waiting(clinic).filter(pk__in=wanted))
    there = {each.encounter.pk for each in standing if each.ready}
    gone = [each.patient.reference for pk, each in wanted.items() if pk not in there]
    if gone:
        raise Refused(GONE.format(names=", ".join(sorted(gone))))
    chosen = [candidate for each in standing for candidate in each.candidates]
    if len(chosen) > MOST_CLAIMS:
        raise Refused(f"One batch takes {MOST_CLAIMS:,} claims, and these are {len(chosen):,}. Make two of them.")
    return chosen


def _lock(clinic: Clinic, encounters: Iterable[int]) -> None:
    """Approvals, corrections and voids lock the encounter too, so none of them comes in between."""
    list(
        Encounter.objects.select_for_update(no_key=True)
        .filter(clinic=clinic, pk__in=encounters)
        .order_by("pk")
        .values_list("pk")
    )


def _left(batch: Batch, there: int, ready: Iterable[Standing]) -> list[dict[str, Any]]:
    """Write what stands of each encounter. One at which the program fails stays where it is, and the others leave."""
    claims: list[dict[str, Any]] = []
    for standing in ready:
        try:
            with transaction.atomic():
                first = there + len(claims) + 1
                claims += [_leave(batch, at, each) for at, each in enumerate(standing.candidates, start=first)]
        except NO_DATABASE:
            raise
        except Exception as problem:
            failed_at(standing.encounter, problem)
    return claims


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


# Everything that is ready --------------------------------------------------------------------------------------------


@transaction.atomic
def begin_batch(*, by: User, clinic: Clinic, client_id: UUID) -> Batch:
    """A batch of everything that is ready, filled behind the pages. The same `client_id` twice is one batch.

    What is not ready when its turn comes stays where it is, and so does what is more than a batch takes.
    """
    locked = _locked(clinic)
    existing = Batch.objects.filter(clinic=locked, client_id=client_id).first()
    if existing is not None:
        if not BatchFilling.objects.filter(batch=existing).exists():
            raise Refused(OTHER_CHOICE.format(number=existing.number))
        return existing
    unfinished = Batch.objects.filter(clinic=locked, public_id__in=being_made(locked)).first()
    if unfinished is not None:
        raise Refused(f"Batch {unfinished.number} is still being made. Open it, and make the next one once it is.")
    rows = waiting(locked).order_by("pk").values_list("pk", flat=True)
    total, last = rows.count(), rows.last()
    if last is None:
        raise Refused("Nothing waits to leave.")
    batch = _next_batch(by, locked, client_id)
    batch.save(force_insert=True)
    BatchFilling.objects.create(batch=batch, until=last)
    audit.record(
        "batch.make", by=by, subject="batch", subject_id=batch.public_id, clinic_id=locked.pk, before=None,
        after={"number": batch.number, "claims": []},
    )  # fmt: skip
    jobs.begin(BATCH, batch.public_id, total, by)
    return batch


def job_of(batch: Batch) -> Job | None:
    """The work that fills a batch, or has filled it."""
    job = Job.objects.filter(clinic=batch.clinic_id, kind=BATCH, subject=str(batch.public_id))
    return job.select_related("clinic", "begun_by").first()


def being_made(clinic: Clinic) -> set[UUID]:
    """The ids of batches that are not full yet."""
    unfinished = Job.objects.filter(clinic=clinic, kind=BATCH).exclude(state=Job.State.DONE)
    return {UUID(subject) for subject in unfinished.values_list("subject", flat=True)}


@jobs.kind(BATCH, title="Making a batch", page=lambda job: reverse("batch", args=[job.subject]))
def portion(job: Job) -> int:
    """Put the claims of the next encounters into the batch, in the transaction that keeps how far it is."""
    clinic = Clinic.objects.select_for_update(no_key=True).get(pk=job.clinic_id)
    filling = BatchFilling.objects.select_related("batch").get(batch__public_id=job.subject)
    batch = filling.batch
    rows = waiting(clinic).filter(pk__gt=filling.after, pk__lte=filling.until).order_by("pk")
    part = list(rows.values_list("pk", flat=True)[:FILLED_AT_ONCE])
    _lock(clinic, part)
    standing = standing_of(clinic, waiting(clinic).filter(pk__in=part))
    ready = [each for each in standing if each.ready]
    there = batch.claims.count()
    is_full = there + sum(len(each.candidates) for each in ready) > MOST_CLAIMS
    claims = [] if is_full else _left(batch, there, ready)
    if claims:  # filed under the job, so that the record of an encounter says once that it was put in a batch
        audit.record(
            "batch.fill", by=job.begun_by, subject="job", subject_id=job.public_id, clinic_id=clinic.pk, before=None,
            after={"batch": batch.number, "claims": claims},
        )  # fmt: skip
    if is_full or len(part) < FILLED_AT_ONCE:
        return job.total
    filling.after = part[-1]
    filling.save(update_fields=["after"])
    return min(job.position + len(part), job.total)


# Files and numbers ---------------------------------------------------------------------------------------------------


def write_file(*, by: User | None, batch: Batch, format: str) -> BatchFile:
    """The batch in one format. Written once: the bytes of the first time are what is downloaded ever after.

    A large one takes a while to write, so it is written before anything is locked for it.
    """
    existing = BatchFile.objects.filter(batch=batch, format=format).first()
    if existing is not None:
        return existing
    if batch.public_id in being_made(batch.clinic):
        raise Refused(f"Batch {batch.number} is still being made. Write its files once it is.")
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
    return _kept(by, batch, format, content, now)


@transaction.atomic
def _kept(by: User | None, batch: Batch, format: str, content: bytes, now: datetime) -> BatchFile:
    """The file as it is kept, or the one that somebody else has written meanwhile."""
    Batch.objects.select_for_update(no_key=True).get(pk=batch.pk)
    existing = BatchFile.objects.filter(batch=batch, format=format).first()
    if existing is not None:
        return existing
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
    BatchClaim.objects.select_for_update(no_key=True).get(pk=claim.pk)
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
