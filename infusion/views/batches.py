"""Batches: what is ready to leave, what is not and why, what has left, and in which files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID, uuid4

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from infusion import actions
from infusion.access import ADMIN, BILLING, allow, roles_of
from infusion.actions.batches import being_made, job_of
from infusion.audit import AuditEvent
from infusion.batches import (
    Candidate,
    Frequency,
    Standing,
    batches_of,
    claims_of,
    formats_for,
    reference_of,
    standing_of,
    total_of,
    waiting,
)
from infusion.exchange.claim import Claim, ClaimLine, Missing
from infusion.exchange.formats import FORMATS
from infusion.jobs import Shown
from infusion.models import Batch, BatchClaim, BatchFile, BatchFilling, Encounter, Job
from infusion.readings import holding
from infusion.selectors import batch_for, encounters_of
from infusion.services.words import counted, dollars
from infusion.views.claim_data import clinic_of
from infusion.views.review import person

WAITING_ON_A_PAGE, BATCHES_ON_A_PAGE, CLAIMS_ON_A_PAGE = 100, 20, 50
MADE_AT_ONCE = 100
NOT_READY = "Nothing was made: {count} of the encounters that were ticked can no longer be found here."


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is not ready, and where that is put right; no address where somebody else has to."""

    text: str
    address: str
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """What stands of one encounter, in words."""

    encounter: Encounter
    claims: tuple[tuple[str, str, str], ...]
    total: str
    reasons: tuple[Reason, ...]
    ticked: bool

    @property
    def ready(self) -> bool:
        return not self.reasons


@dataclass(frozen=True, slots=True)
class LineRow:
    """One line of a claim that has left. Of a credit, units and charge are below zero."""

    credit: bool
    code: str
    modifiers: str
    description: str
    units: str
    charge: str


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One claim of a batch in words."""

    row: BatchClaim
    claim: Claim
    kind: str
    other_batch: Batch | None
    lines: tuple[LineRow, ...]
    total: str
    reference: str
    typed: str
    refusal: str


# What is ready --------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING, ADMIN)
def batches(request: HttpRequest) -> HttpResponse:
    """What is ready and what is not, and the batches that were made. Billing makes them."""
    if request.method != "POST":
        return ready_page(request)
    if BILLING not in roles_of(request.user):
        raise PermissionDenied
    return make(request)


def make(request: HttpRequest) -> HttpResponse:
    """Make a batch of what is ticked, or of everything that is ready."""
    clinic, sent = clinic_of(request), frozenset(request.POST.getlist("encounter"))
    client_id = uuid_of(request.POST.get("client_id", "")) or uuid4()
    try:
        begun = BatchFilling.objects.filter(batch__client_id=client_id, batch__clinic=clinic).exists()
        if request.POST.get("all") and (begun or waiting(clinic).count() > MADE_AT_ONCE):
            return redirect(
                "batch", actions.begin_batch(by=person(request), clinic=clinic, client_id=client_id).public_id
            )
        if request.POST.get("all"):
            # Sent again, everything is what has left with it and whatever is ready by now.
            left = encounters_of(clinic).filter(claims__batch__client_id=client_id).distinct()
            chosen = [*left, *(each.encounter for each in standing_of(clinic, waiting(clinic)) if each.ready)]
        else:
            chosen = list(encounters_of(clinic).filter(public_id__in=[each for each in map(uuid_of, sent) if each]))
            if len(chosen) < len(sent):
                raise actions.Refused(NOT_READY.format(count=len(sent) - len(chosen)))
        batch = actions.make_batch(by=person(request), clinic=clinic, client_id=client_id, encounters=chosen)
    except actions.Refused as refused:
        return ready_page(request, refusal=str(refused), ticked=sent)
    messages.success(request, f"Batch {batch.number} is made.")
    return redirect("batch", batch.public_id)


def uuid_of(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def ready_page(request: HttpRequest, refusal: str = "", ticked: frozenset[str] | None = None) -> HttpResponse:
    clinic = clinic_of(request)
    found = Paginator(waiting(clinic).values_list("pk", flat=True), WAITING_ON_A_PAGE).get_page(request.GET.get("page"))
    shown = encounters_of(clinic).filter(pk__in=list(found.object_list)).order_by("date_of_service", "pk")
    rows = [row_of(each, request, ticked) for each in standing_of(clinic, shown)]
    context = {
        "refusal": refusal,
        "page": found,
        "ready": [row for row in rows if row.ready],
        "not_ready": [row for row in rows if not row.ready],
        "client_id": uuid4(),
        "may_make": BILLING in roles_of(request.user),
        "made": made(request),
        "being_made": being_made(clinic),
        "more_pages": found.paginator.num_pages > 1,
    }
    return render(request, "infusion/batches/list.html", context, status=422 if refusal else 200)


def row_of(standing: Standing, request: HttpRequest, ticked: frozenset[str] | None) -> Row:
    encounter = standing.encounter
    reasons = dict.fromkeys(
        reason for each in standing.candidates for reason in reasons_of(each, ADMIN in roles_of(request.user))
    )
    if standing.fault:
        reasons[Reason(standing.fault, reverse("review", args=[encounter.public_id]), "Open the encounter")] = None
    return Row(
        encounter=encounter,
        claims=tuple((words_of(each), each.payer.name, codes_of(each.claim)) for each in standing.candidates),
        total=dollars(sum((each.total for each in standing.candidates), Decimal(0))),
        reasons=tuple(reasons),
        ticked=ticked is None or str(encounter.public_id) in ticked,
    )


def words_of(candidate: Candidate) -> str:
    return f"{candidate.kind_words} of {candidate.replaces.number}" if candidate.replaces else candidate.kind_words


def codes_of(claim: Claim) -> str:
    """The lines in one: "96365 ×1, J2350-JZ ×600", credits with a minus."""
    parts = [f"{line} ×−{line.units}" for line in claim.credits]
    return ", ".join(parts + [f"{line} ×{line.units}" for line in claim.charges])


def reasons_of(candidate: Candidate, admin: bool) -> Iterator[Reason]:
    encounter = candidate.encounter
    review = reverse("review", args=[encounter.public_id])
    if candidate.hold:
        yield Reason(f"On hold: {candidate.hold}", review, "Open the encounter")
    for each in candidate.missing:
        yield Reason(each.item, *mended_at(each, candidate, admin))
    for finding in candidate.findings:
        yield Reason(finding.message, review, "Open the encounter")


def mended_at(lack: Missing, candidate: Candidate, admin: bool) -> tuple[str, str]:
    """Where something is put right, and the words of the link; no address where the person may not."""
    encounter, earlier = candidate.encounter, candidate.replaces
    patient = reverse("patient", args=[encounter.patient.public_id])
    places = {
        "patient": (patient, "Open the patient"),
        "coverage": (f"{patient}#coverages", "Open the coverages"),
        "authorization": (f"{patient}#authorizations", "Open the authorizations"),
        "provider": (reverse("claim-facts", args=[encounter.public_id]), "Choose who treated"),
        "charges": (reverse("fees"), "Open the fees"),
        "encounter": (reverse("review", args=[encounter.public_id]), "Open the encounter"),
    }
    if lack.where == "batch" and earlier is not None:
        address = reverse("batch", args=[earlier.batch.public_id])
        return f"{address}?claim={earlier.number}#claim-{earlier.number}", "Open that batch"
    if lack.where in ("clinic", "payer"):
        address = (
            reverse("clinic-claims")
            if lack.where == "clinic"
            else reverse("payers:identity", args=[candidate.payer.slug])
        )
        return (address, f"Open the {lack.where}") if admin else ("", "An admin enters it")
    return places[lack.where]


def made(request: HttpRequest) -> Page[Batch]:
    return Paginator(batches_of(clinic_of(request)), BATCHES_ON_A_PAGE).get_page(request.GET.get("made"))


# One batch ------------------------------------------------------------------------------------------------------------


@require_safe
@allow(BILLING, ADMIN)
def batch(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The claims of a batch with their lines, and its files."""
    return batch_page(request, found(request, public_id))


def found(request: HttpRequest, public_id: UUID) -> Batch:
    row = batch_for(request.user, public_id)
    if row is None:
        raise Http404
    return row


def written_events(row: Batch) -> dict[str, AuditEvent]:
    """By format, where the record ended when the file was written: kept elsewhere, it shows a record cut off since."""
    events = AuditEvent.objects.filter(action="batch.write", subject="batch", subject_id=str(row.public_id))
    return {each.after["format"]: each for each in events if each.after}


def batch_page(
    request: HttpRequest, row: Batch, refusal: str = "", number: str = "", typed: str = "", status: int = 200
) -> HttpResponse:
    every, job = claims_of(row), job_of(row)
    pages = Paginator(every, CLAIMS_ON_A_PAGE)
    wanted = number or request.GET.get("claim", "")
    at = next((n for n, (each, _) in enumerate(every) if each.number == wanted), None)
    page = pages.get_page(at // CLAIMS_ON_A_PAGE + 1 if at is not None else request.GET.get("page"))
    claims = [claim for _, claim in every]
    files = {each.format: each for each in BatchFile.objects.filter(batch=row).select_related("written_by")}
    offered, recorded = formats_for(claims), written_events(row)
    context = {
        "batch": row,
        "zone": row.clinic.time_zone,
        "shown": Shown(job) if job and job.state != Job.State.DONE else None,
        "page": page,
        "claims": [claim_row(each, claim, refusal if each.number == number else "", typed) for each, claim in page],
        "count": counted(len(every), "claim"),
        "total": dollars(sum((total_of(claim) for claim in claims), Decimal(0))),
        "formats": [
            (name, each, files.get(name), recorded.get(name))
            for name, each in FORMATS.items()
            if name in offered or name in files
        ],
        "refusal": "" if number else refusal,
        "wrong": refusal,
        "may_write": BILLING in roles_of(request.user),
    }
    return render(request, "infusion/batches/batch.html", context, status=status)


def claim_row(row: BatchClaim, claim: Claim, refusal: str, typed: str) -> ClaimRow:
    after = getattr(row, "replaced_by", None)
    kind = Frequency(row.frequency).label
    return ClaimRow(
        row=row,
        claim=claim,
        kind=f"{kind} of {row.replaces.number}" if row.replaces else kind,
        other_batch=after.batch if after else None,
        lines=(
            *(line_row(line, credit=True) for line in claim.credits),
            *(line_row(line, credit=False) for line in claim.charges),
        ),
        total=dollars(total_of(claim)),
        reference=reference_of(row),
        typed=typed if refusal else reference_of(row),
        refusal=refusal,
    )


def line_row(line: ClaimLine, *, credit: bool) -> LineRow:
    sign = -1 if credit else 1
    return LineRow(
        credit=credit,
        code=line.code,
        modifiers=" ".join(line.modifiers),
        description=line.description,
        units=f"{'−' if credit else ''}{line.units:,}",
        charge=dollars(sign * line.charge) if line.charge is not None else "no charge",
    )


@require_POST
@allow(BILLING)
def write(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Write a batch in one format, or find it written."""
    row, name = found(request, public_id), request.POST.get("format", "")
    try:
        actions.write_file(by=person(request), batch=row, format=name[:16])
    except actions.Refused as refused:
        return batch_page(request, row, refusal=str(refused), status=422)
    messages.success(request, f"{FORMATS[name].label}: written. These bytes stay as they are.")
    return redirect(f"{reverse('batch', args=[public_id])}#files")


@require_safe
@allow(BILLING, ADMIN)
def download(request: HttpRequest, public_id: UUID, format: str) -> HttpResponse:
    """The file as it was written first, byte for byte."""
    file = BatchFile.objects.filter(batch=found(request, public_id), format=format).first()
    if file is None:
        raise Http404
    known = FORMATS[format]
    name = f"batch-{file.batch.number}-{format}.{known.extension}"
    response = HttpResponse(
        bytes(file.content),
        content_type=known.media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Checksum-SHA256": file.checksum},
    )
    return holding(response, file.batch.claims.count())


@require_POST
@allow(BILLING)
def reference(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Record the number that the payer gave a claim of the batch."""
    row = found(request, public_id)
    claim = BatchClaim.objects.filter(batch=row, number=request.POST.get("claim", "")).select_related("payer").first()
    if claim is None:
        raise Http404
    typed = request.POST.get("number", "")[:200]
    try:
        actions.record_payer_reference(
            by=person(request), claim=claim, number=typed, shown=request.POST.get("shown", "")
        )
    except actions.Refused as refused:
        return batch_page(request, row, str(refused), claim.number, typed, status=422)
    messages.success(request, f"Claim {claim.number} has its number at {claim.payer.name}.")
    return redirect(f"{reverse('batch', args=[public_id])}?claim={claim.number}#claim-{claim.number}")
