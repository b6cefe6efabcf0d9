"""Drugs: those that ship and a site's own, a draft of one, and the second admin's decision on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from infusion.access import ADMIN, BILLING, allow, roles_of
from infusion.actions.drugs import (
    draft_drug,
    may_publish,
    propose_drug,
    publish_drug,
    return_drug,
    take_back_drug,
    withdraw_drug_draft,
)
from infusion.forms.drugs import DrugForm, DrugsOnForm, SendDrugForm, columns_of_drug
from infusion.models import DrugProposal, DrugRow, User
from infusion.reference_now import columns_of, current_reference, drug_of_row, source_key
from infusion.services.drug import DOSINGS
from infusion.services.drug_document import LINE_ROUTES
from infusion.services.reference import Drug, LookAlike, Reference, in_force
from infusion.services.words import plain
from payers.actions import Refused
from payers.forms import PageForm, ReturnForm, WithdrawForm
from payers.pages import days_in_words
from payers.selectors import day_in_words
from payers.views import today_at, zone_of

ACT = "act"
Status, Outcome, Kind = DrugRow.Status, DrugProposal.Outcome, DrugProposal.Kind


@dataclass(frozen=True, slots=True)
class DrugView:
    """One row of a drug in words. `own` is the site's row that it comes from, if it does not ship."""

    drug: Drug
    own: DrugRow | None
    reference: Reference

    @property
    def days(self) -> str:
        return days_in_words(self.drug.first_day, self.drug.last_day)

    @property
    def unit(self) -> str:
        return f"{plain(self.drug.billing_unit)} mg"

    @property
    def brands(self) -> str:
        return ", ".join(self.drug.brands)

    @property
    def routes(self) -> str:
        return ", ".join(LINE_ROUTES[route] for route in self.drug.routes)

    @property
    def form(self) -> str:
        amount = self.drug.concentration
        return f"Liquid, {plain(amount)} mg in one mL" if amount is not None else self.drug.form.capitalize()

    @property
    def sizes(self) -> list[tuple[str, str]]:
        """Each size in words, with its NDC."""
        found = []
        for each in self.drug.containers:
            volume = f" in {plain(each.volume)} mL" if each.volume is not None else ""
            dose = "" if each.single_dose else ", multi-dose"
            found.append((f"{plain(each.amount)} mg{volume}{dose}", each.ndc))
        return found

    @property
    def sizes_in_short(self) -> str:
        return ", ".join(plain(each.amount) for each in self.drug.containers) + " mg"

    @property
    def dosing(self) -> str:
        return DOSINGS.get(self.drug.dosing, "").capitalize()

    @property
    def traits(self) -> list[str]:
        drug = self.drug
        told = ["A hospital is not paid for it apart"] if drug.hospital_packaged else []
        return [*told, *(["Some payers take its infusion as complex"] if drug.may_be_complex else [])]

    @property
    def source(self) -> str:
        if self.own is not None:
            return self.own.source_document
        found = self.reference.sources.get(self.drug.source)
        return found.title if found else self.drug.source

    @property
    def address(self) -> str:
        found = self.reference.sources.get(self.drug.source)
        address = self.own.source_address if self.own is not None else found.address if found else ""
        return address if address.startswith(("https://", "http://")) else ""

    @property
    def read_on(self) -> str:
        found = self.reference.sources.get(self.drug.source)
        day = self.own.source_read_on if self.own is not None else found.read if found else None
        return day_in_words(day) if day else ""

    @property
    def is_draft(self) -> bool:
        return self.own is not None and self.own.status == Status.DRAFT

    @property
    def unverified(self) -> bool:
        return not self.is_draft and self.drug.status == Status.UNVERIFIED


def view_of_row(row: DrugRow) -> DrugView:
    return DrugView(drug_of_row(row), row, current_reference())


def views_of_code(code: str, own: dict[str, DrugRow]) -> list[DrugView]:
    """The rows of a code as they hold, the earliest first."""
    reference = current_reference()
    return [DrugView(drug, own.get(drug.source), reference) for drug in reference.drugs.get(code, ())]


def known_rows() -> list[DrugRow]:
    return list(DrugRow.objects.filter(known_until__isnull=True).select_related("author", "publisher"))


def published(rows: list[DrugRow]) -> dict[str, DrugRow]:
    """The site's rows in force by the key under which the tables cite them."""
    return {source_key(row): row for row in rows if row.status != Status.DRAFT}


@dataclass(frozen=True, slots=True)
class ListedDrug:
    """A code on the list: what holds on the day, or what there is of it, and how many drafts wait."""

    view: DrugView
    holds: bool
    drafts: int


@require_safe
@allow(BILLING, ADMIN)
def drugs(request: HttpRequest) -> HttpResponse:
    """Every drug on a day, shipped and own."""
    form = DrugsOnForm(request.GET)
    on = (form.cleaned_data.get("on") if form.is_valid() else None) or today_at(request)
    rows = known_rows()
    listed = listed_drugs(on, rows)
    open_proposals = DrugProposal.objects.filter(outcome=Outcome.OPEN).select_related("row", "proposed_by")
    context = {
        "form": form if form.is_bound and form.errors else DrugsOnForm({"on": on.isoformat()}),
        "on": on,
        "listed": [each for each in listed if each.holds],
        "others": [each for each in listed if not each.holds],
        "proposals": [proposal_view(each, request) for each in open_proposals],
        "can_edit": ADMIN in roles_of(request.user),
    }
    return render(request, "infusion/drugs/list.html", context)


def listed_drugs(on: date, rows: list[DrugRow]) -> list[ListedDrug]:
    own, reference = published(rows), current_reference()
    drafts: dict[str, list[DrugRow]] = {}
    for row in rows:
        if row.status == Status.DRAFT:
            drafts.setdefault(row.code, []).append(row)
    found = []
    for code, drugs in reference.drugs.items():
        drug = in_force(drugs, on)
        shown = drug or drugs[-1]
        view = DrugView(shown, own.get(shown.source), reference)
        found.append(ListedDrug(view, drug is not None, len(drafts.pop(code, ()))))
    found += [ListedDrug(view_of_row(each[0]), False, len(each)) for each in drafts.values()]
    return sorted(found, key=lambda each: (each.view.drug.label, each.view.drug.code))


@require_safe
@allow(BILLING, ADMIN)
def drug(request: HttpRequest, code: str) -> HttpResponse:
    """One code: its rows through time, what waits, what it is taken for, and how it came about."""
    everything = DrugRow.objects.filter(code=code).select_related("author", "publisher").order_by("-known_from")
    rows = list(everything)
    known = [row for row in rows if row.known_until is None]
    views = views_of_code(code, published(known))
    drafts = [view_of_row(row) for row in known if row.status == Status.DRAFT]
    if not views and not rows:
        raise Http404
    on = today_at(request)
    shown = views or drafts or [view_of_row(rows[0])]
    now = next((view for view in views if in_force([view.drug], on)), shown[-1])
    context = {
        "code": code,
        "now": now,
        "on": on,
        "views": list(reversed(views)),
        "drafts": drafts,
        "look_alikes": look_alikes_of(code, now.drug.name),
        "history": [life_of(row, request) for row in rows],
        "can_edit": ADMIN in roles_of(request.user),
    }
    return render(request, "infusion/drugs/drug.html", context)


def look_alikes_of(code: str, name: str) -> list[LookAlike]:
    """Codes that are taken for this drug, and what this code is wrongly taken for."""
    return [
        each
        for each in current_reference().look_alikes
        if code in (each.code, each.use_instead) or each.mistaken_for.casefold() == name.casefold()
    ]


@dataclass(frozen=True, slots=True)
class Life:
    """One own row in the history of a drug."""

    view: DrugView
    begun: str
    gone: str


def life_of(row: DrugRow, request: HttpRequest) -> Life:
    deed = "Drafted" if row.status == Status.DRAFT else f"Published as {row.status}"
    person = row.author if row.status == Status.DRAFT else row.publisher
    begun = f"{deed} by {name_of(person)}, {at_words(row.known_from, request)}"
    return Life(view_of_row(row), begun, at_words(row.known_until, request) if row.known_until else "")


def name_of(person: User | None) -> str:
    return (person.get_full_name() or person.get_username()) if person else "nobody"


def at_words(at: datetime, request: HttpRequest) -> str:
    local = at.astimezone(zone_of(request))
    return f"{day_in_words(local.date())}, {local:%H:%M}"


# Drafts ------------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@allow(ADMIN)
def add_drug(request: HttpRequest) -> HttpResponse:
    """A draft of a code that is not here yet."""
    return draft_page(request, None, {"title": "Add a drug"})


@require_http_methods(["GET", "HEAD", "POST"])
@allow(ADMIN)
def change_drug(request: HttpRequest, code: str) -> HttpResponse:
    """A draft that begins as a row of the code that is there: the one that the address names, else the newest."""
    rows = current_reference().drugs.get(code)
    if not rows:
        raise Http404
    found = next((row for row in rows if row.first_day.isoformat() == request.GET.get("from")), rows[-1])
    # From when the change holds, and where it is written, is for the person to say.
    begin = {**columns_of_drug(found), "first_day": None, "note": ""}
    return draft_page(request, begin, {"title": f"Change {found.label} ({code})", "code": code})


def draft_page(request: HttpRequest, begin: dict[str, Any] | None, about: dict[str, Any]) -> HttpResponse:
    form = DrugForm(request.POST if request.method == "POST" else None, drug=begin)
    refusal = ""
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(save_draft(request, form, None))
        except Refused as problem:
            refusal = take_refusal(form, problem)
    context = {
        **about, "form": form, "issues": form.issues, "refusal": refusal, "checked": bool(refusal or form.issues),
    }  # fmt: skip
    return render(request, "infusion/drugs/row.html", context)


def save_draft(request: HttpRequest, form: DrugForm, replaces: DrugRow | None) -> str:
    row = draft_drug(by=cast(User, request.user), entry=form.entry(), replaces=replaces)
    messages.success(request, f"Draft saved: {row.code}. It changes nothing until published.")
    return reverse("drug-row", args=[row.public_id])


def take_refusal(form: PageForm, problem: Refused) -> str:
    """Say at its field why nothing was written; what belongs to none is handed back."""
    if problem.field in form.fields:
        form.is_valid()
        form.add_error(problem.field, problem.message)
        return ""
    return problem.message


@require_http_methods(["GET", "HEAD", "POST"])
@allow(ADMIN)
def drug_row(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A draft, or a row of the site that is published: change it, send it, withdraw it."""
    row = get_object_or_404(DrugRow.objects.select_related("follows"), public_id=public_id)
    if row.known_until is not None and request.method != "POST":
        return redirect("drug", row.code)
    act = request.POST.get(ACT, "") if request.method == "POST" else ""
    begin = {
        **columns_of(row), "source_document": row.source_document, "source_address": row.source_address,
        "source_read_on": row.source_read_on,
    }  # fmt: skip
    if row.status != Status.DRAFT:
        begin["first_day"] = None
    forms: dict[str, PageForm] = {
        "draft": DrugForm(request.POST if act == "draft" else None, drug=begin),
        "send": SendDrugForm(request.POST if act == "send" else None),
        "withdraw": WithdrawForm(request.POST if act == "withdraw" else None),
    }
    refusal = "" if not act or act in forms else "That button is not known here. Choose one of those on the page."
    if act in forms and forms[act].is_valid():
        try:
            return redirect(carry_out(request, act, forms[act], row))
        except Refused as problem:
            refusal = take_refusal(forms[act], problem)
    issues, view = [issue for form in forms.values() for issue in form.issues], view_of_row(row)
    context = {
        "title": f"{'Draft of' if row.status == Status.DRAFT else 'Change'} {view.drug.label} ({row.code})",
        "code": row.code if row.code in current_reference().drugs else "",
        "row": row, "view": view, "form": forms["draft"], "forms": forms, "refusal": refusal,
        "issues": issues, "checked": bool(refusal or issues),
        "proposal": row.proposals.filter(outcome=Outcome.OPEN).first(),
    }  # fmt: skip
    return render(request, "infusion/drugs/row.html", context)


def carry_out(request: HttpRequest, act: str, form: PageForm, row: DrugRow) -> str:
    """Do what the button says; where to go then."""
    by, typed = cast(User, request.user), form.cleaned_data
    if act == "draft":
        return save_draft(request, cast(DrugForm, form), row)
    if act == "withdraw" and row.status == Status.DRAFT:
        withdraw_drug_draft(by=by, draft=row, reason=typed["reason"])
        messages.success(request, f"The draft is withdrawn: {row.code}.")
        return reverse("drugs")
    proposal = propose_drug(
        by=by, row=row, today=today_at(request), status=typed.get("status", ""), reason=typed["reason"]
    )
    messages.success(request, "Sent to a second admin. Until it is published, everything stays as it is.")
    return reverse("drug-proposal", args=[proposal.public_id])


# The second admin ----------------------------------------------------------------------------------------------------


def proposal_view(row: DrugProposal, request: HttpRequest) -> dict[str, Any]:
    """A proposal in words."""
    decided = f"{name_of(row.decided_by)}, {at_words(row.decided_at, request)}" if row.decided_at else ""
    verb, view = "Withdraw: " if row.kind == Kind.WITHDRAW else "", view_of_row(row.row)
    return {
        "row": row,
        "view": view,
        "title": f"{verb}{view.drug.label} ({row.row.code})",
        "proposed": f"{name_of(row.proposed_by)}, {at_words(row.proposed_at, request)}",
        "decided": decided,
        "open": row.outcome == Outcome.OPEN,
        "moved_on": row.outcome == Outcome.OPEN and row.row.known_until is not None,
    }


@require_http_methods(["GET", "HEAD", "POST"])
@allow(ADMIN)
def drug_proposal(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """What one admin wants, for another to publish or return."""
    rows = DrugProposal.objects.select_related("row", "row__follows", "proposed_by", "decided_by")
    found = get_object_or_404(rows, public_id=public_id)
    form = ReturnForm(request.POST if request.POST.get(ACT) == "return" else None)
    refusal = ""
    if request.method == "POST":
        try:
            messages.success(request, decide(request, found, form))
            return redirect("drug-proposal", public_id)
        except Refused as problem:
            refusal = take_refusal(form, problem)
            found = rows.get(pk=found.pk)
    now = in_force(current_reference().drugs.get(found.row.code, ()), max(found.row.first_day, today_at(request)))
    own = published(known_rows())
    context = {
        "proposal": proposal_view(found, request),
        "now": DrugView(now, own.get(now.source), current_reference()) if now else None,
        "may_publish": may_publish(request.user, found),
        "mine": found.proposed_by_id == request.user.pk,
        "form": form,
        "issues": form.issues,
        "refusal": refusal,
        "checked": bool(refusal or form.issues),
    }
    return render(request, "infusion/drugs/proposal.html", context)


def decide(request: HttpRequest, found: DrugProposal, form: ReturnForm) -> str:
    """Do what the button says; the sentence for the person."""
    act, by = request.POST.get(ACT, ""), cast(User, request.user)
    if act == "publish":
        publish_drug(by=by, proposal=found)
        if found.kind == Kind.WITHDRAW:
            return f"Withdrawn: {found.row.code}. What was approved with it stays as it was."
        told = f"Published as {found.status}: {found.row.code} from {day_in_words(found.row.first_day)}."
        return told + (" Until then everything stays as it is." if found.row.first_day > today_at(request) else "")
    if act == "return":
        form.is_valid()
        return_drug(by=by, proposal=found, reason=form.cleaned_data.get("reason", ""))
        return "Returned. Nothing has changed."
    if act == "take_back":
        take_back_drug(by=by, proposal=found)
        return "Taken back. Nothing has changed."
    raise Refused("That button is not known here. Choose one of those on the page.")
