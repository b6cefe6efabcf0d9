"""What billing does with an encounter beside approving it: hold, skip a check, take it up again, make it void."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from infusion import actions
from infusion.access import ADMIN, BILLING, allow
from infusion.models import Encounter
from infusion.reference_now import current_reference
from infusion.selectors import payers
from infusion.services.findings import Finding
from infusion.skips import finding_key
from infusion.views.issues import Around, issues_of, plain_words
from infusion.views.payers_beside import compared
from infusion.views.review import (
    Tried,
    approved_as,
    drawn,
    drugs_of_facts,
    findings_of,
    found,
    person,
    shown_of,
    told_of,
    tried,
    version_of,
)
from infusion.views.was_now import Past, sent_views
from infusion.views.why import whys_of
from payers.models import Payer
from payers.policy import SETTINGS

State = Encounter.State
GONE = "This check no longer says so: the record or a rule has changed. Look again."


def reason_of(request: HttpRequest) -> str:
    return request.POST.get("reason", "")


@require_POST
@allow(BILLING)
def hold(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Let the encounter wait."""

    def write(encounter: Encounter) -> str:
        actions.hold(by=person(request), encounter=encounter, reason=reason_of(request))
        return f"{encounter.patient.reference} is on hold."

    return tried(request, public_id, write, Tried(fold="hold", text=reason_of(request)))


@require_POST
@allow(BILLING)
def release(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """End the hold."""

    def write(encounter: Encounter) -> str:
        actions.release(by=person(request), encounter=encounter, reason=reason_of(request))
        return f"{encounter.patient.reference} is no longer on hold."

    return tried(request, public_id, write, Tried(fold="release", text=reason_of(request)))


@require_POST
@allow(BILLING)
def skip(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Set one check aside for this encounter."""
    key = request.POST.get("finding", "")

    def write(encounter: Encounter) -> str:
        actions.skip_finding(
            by=person(request), encounter=encounter, finding=finding_named(encounter, key), reason=reason_of(request)
        )
        return "The check is set aside for this encounter. The reason stays on the record."

    return tried(request, public_id, write, Tried(fold=f"skip-{key}", text=reason_of(request)))


def finding_named(encounter: Encounter, key: str) -> Finding:
    """The finding of that key as it stands now."""
    findings = findings_of(encounter, shown_of(encounter))
    finding = next((each for each in findings if finding_key(each) == key), None)
    if finding is None:
        raise actions.Refused(GONE)
    return finding


@require_POST
@allow(BILLING)
def end_skip(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Let a check count again."""
    sent = request.POST.get("skip", "")

    def write(encounter: Encounter) -> str:
        row = encounter.skips.filter(pk=int(sent) if sent.isdecimal() and len(sent) < 18 else 0).first()
        if row is None:
            raise actions.Refused("This check counts again already.")
        actions.end_skip(by=person(request), skip=row)
        return "The check counts again."

    return tried(request, public_id, write, Tried(fold="skip"))


@require_POST
@allow(BILLING)
def correct(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Take an approved encounter up again, with the same payer or another one."""
    slug = request.POST.get("payer", "")

    def write(encounter: Encounter) -> str:
        payer: Payer | None = payers().filter(slug=slug).first() if slug else None
        if slug and payer is None:
            raise actions.Refused("This payer is not here any more. Choose another one.")
        actions.correct(
            by=person(request), encounter=encounter, version=version_of(request), reason=reason_of(request), payer=payer
        )
        return f"{encounter.patient.reference} is being corrected. What was approved stays until it is approved anew."

    return tried(request, public_id, write, Tried(fold="correct", text=reason_of(request), about=slug))


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING)
def void(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """What making it void would take back, and the reason that is asked for it."""
    encounter, refusal, status = found(request, public_id), "", 200
    if request.method == "POST":
        try:
            actions.void(
                by=person(request), encounter=encounter, version=version_of(request), reason=reason_of(request)
            )
        except actions.Refused as refused:
            refusal, status = str(refused), 409 if isinstance(refused, actions.Stale) else 422
            encounter = found(request, public_id)
        else:
            messages.success(request, f"{encounter.patient.reference} is void.")
            return redirect("review", public_id)
    shown, past = shown_of(encounter), Past.of(encounter)
    context = {
        **heading_of(encounter),
        "heading": drugs_of_facts(shown.facts, encounter),
        "shown": shown,
        "claims": sent_views(past.claims),
        "refusal": refusal,
        "reason": reason_of(request),
        "may_void": encounter.state == State.APPROVED or past.open_correction is not None,
    }
    return render(request, "infusion/review/void.html", context, status=status)


@require_safe
@allow(BILLING, ADMIN)
def approval(request: HttpRequest, public_id: UUID, number: int) -> HttpResponse:
    """One approval as it was given, whatever came after it."""
    encounter = found(request, public_id)
    past = Past.of(encounter)
    approvals = past.approvals
    if not 1 <= number <= len(approvals):
        raise Http404
    shown = drawn(approved_as(approvals[number - 1]), encounter)
    around = Around(encounter, shown.names, current_reference(), plain_words, frozenset())
    context = {
        **heading_of(encounter),
        "heading": drugs_of_facts(shown.facts, encounter),
        "shown": shown,
        "whys": whys_of(told_of(encounter, shown)),
        "issues": issues_of(shown.statement.findings, around),
        "number": number,
        "total": len(approvals),
        "claims": sent_views(each for each in past.claims if each.approval_id == approvals[number - 1].pk),
    }
    return render(request, "infusion/review/approval.html", context)


@require_safe
@allow(BILLING, ADMIN)
def beside(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The same encounter under every payer, with the rules of its date of service."""
    encounter = found(request, public_id)
    shown = shown_of(encounter)
    columns, rows = compared(encounter, shown.facts, shown.statement)
    context = {
        **heading_of(encounter),
        "heading": drugs_of_facts(shown.facts, encounter),
        "columns": columns,
        "rows": rows,
        "approved": shown.approval is not None,
    }
    return render(request, "infusion/review/payers.html", context)


def heading_of(encounter: Encounter) -> dict[str, object]:
    """What stands at the top of every page about an encounter."""
    return {
        "encounter": encounter,
        "patient": encounter.patient,
        "setting": SETTINGS[encounter.setting].lower(),
        "zone": encounter.clinic.time_zone,
    }
