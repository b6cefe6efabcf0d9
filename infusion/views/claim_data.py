"""Pages on which staff record what claims need: the patient, memberships, authorizations, providers, the clinic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from uuid import UUID

from django.contrib import messages
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from infusion import actions
from infusion.access import ADMIN, BILLING, NURSE, allow, roles_of
from infusion.actions.claim_data import shown_digest
from infusion.forms.claims import (
    AuthorizationForm,
    ClaimFactsForm,
    ClinicForm,
    CoverageForm,
    NameForm,
    ProviderForm,
    RowForm,
    WhoForm,
)
from infusion.models import Authorization, Clinic, Coverage, Encounter, Patient, Provider, User
from infusion.reference_now import current_reference
from infusion.selectors import (
    authorization_for,
    coverage_for,
    encounter_for,
    patient_for,
    payers,
    provider_for,
    providers_of,
)
from infusion.services.reference import in_force
from infusion.services.words import plain
from infusion.views.home import clinic_today
from infusion.views.review import person
from payers.models import Payer

DESK = (BILLING, ADMIN)
Found = TypeVar("Found", bound=Model)


@dataclass(slots=True)
class Entry:
    """One form in one request: as it begins, or as it was sent and refused, with nothing of it lost."""

    request: HttpRequest
    form: RowForm
    row: Model | None = None
    refusal: str = ""
    status: int = 200
    apart: list[tuple[str, str]] = field(default_factory=list)

    def write(self, write: Callable[[str, dict[str, Any]], object]) -> bool:
        """Whether what was sent is written now. `write` takes what the form was made of, and what it holds."""
        if self.request.method != "POST":
            return False
        if not self.form.is_valid():
            self.status = 422
            return False
        try:
            write(self.request.POST.get("shown", ""), self.form.values)
        except actions.Changed as changed:
            self.refusal, self.status = str(changed), 409
            self.row, self.apart = changed.current, self.differences(changed.current)
        except actions.Refused as refused:
            self.refusal, self.status = str(refused), 422
        return not self.refusal

    def differences(self, current: Model) -> list[tuple[str, str]]:
        """What is stored now where it is not what was typed, by the field's label."""
        typed = {name: _plain(value) for name, value in self.form.values.items()}
        return [
            (str(self.form.fields[name].label), _plain(getattr(current, name)) or "nothing")
            for name in typed
            if typed[name] != _plain(getattr(current, name))
        ]

    @property
    def context(self) -> dict[str, Any]:
        return {
            "form": self.form,
            "shown": shown_digest(self.row) if self.row is not None and self.row.pk else "",
            "refusal": self.refusal,
            "apart": self.apart,
            "issues": self.form.issues if self.form.is_bound else [],
            "checked": self.form.is_bound,
        }


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def sent(request: HttpRequest) -> Mapping[str, Any] | None:
    """What a form was sent with; None while it is only looked at."""
    return request.POST if request.method == "POST" else None


def clinic_of(request: HttpRequest) -> Clinic:
    return cast(Clinic, person(request).clinic)


def own(find: Callable[[User, UUID], Found | None], request: HttpRequest, public_id: UUID) -> Found:
    """The row of that id in the person's own clinic, or nothing is there."""
    found = find(person(request), public_id)
    if found is None:
        raise Http404
    return found


def known_payers() -> dict[str, Payer]:
    return {payer.slug: payer for payer in payers()}


def drug_names(request: HttpRequest) -> list[str]:
    today = clinic_today(clinic_of(request))
    found = (in_force(rows, today) for rows in current_reference().drugs.values())
    return sorted({row.label for row in found if row})


def page(request: HttpRequest, entry: Entry, title: str, back: str, back_words: str, **more: Any) -> HttpResponse:
    """One form under its title."""
    context = {"title": title, "back": back, "back_words": back_words, "save": "Save", **entry.context, **more}
    return render(request, "infusion/claims/form.html", context, status=entry.status)


def patient_address(patient: Patient) -> str:
    return reverse("patient", args=[patient.public_id])


# Patients -------------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@allow(NURSE, BILLING, ADMIN)
def patient(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Who a patient is; for the desk also memberships and authorizations."""
    row = own(patient_for, request, public_id)
    desk = bool(roles_of(request.user) & set(DESK))
    today = clinic_today(clinic_of(request))
    entry = Entry(request, (WhoForm if desk else NameForm)(sent(request), row=row, today=today), row)
    if entry.write(
        lambda shown, values: actions.correct_patient(by=person(request), patient=row, shown=shown, values=values)
    ):
        messages.success(request, "Saved.")
        return redirect("patient", public_id)
    context = {**entry.context, "patient": Patient.objects.get(pk=row.pk), "desk": desk, "today": today}
    if desk:
        context["coverages"] = row.coverages.select_related("payer")
        context["authorizations"] = [
            (each, drug_words(each), "" if each.dose_limit is None else plain(each.dose_limit))
            for each in row.authorizations.select_related("payer")
        ]
    return render(request, "infusion/claims/patient.html", context, status=entry.status)


def drug_words(authorization: Authorization) -> str:
    rows = current_reference().drugs.get(authorization.drug, ())
    row = in_force(rows, authorization.effective_from) or (rows[-1] if rows else None)
    return row.label if row else authorization.drug


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING, ADMIN)
def add_coverage(request: HttpRequest, public_id: UUID) -> HttpResponse:
    row = own(patient_for, request, public_id)
    today = clinic_today(clinic_of(request))
    entry = Entry(request, CoverageForm(sent(request), payers=known_payers(), today=today))
    if entry.write(lambda _, values: actions.add_coverage(by=person(request), patient=row, values=values)):
        messages.success(request, "The coverage is recorded.")
        return redirect("patient", public_id)
    return page(request, entry, "Add a coverage", patient_address(row), "The patient", patient=row)


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING, ADMIN)
def coverage(request: HttpRequest, public_id: UUID) -> HttpResponse:
    row: Coverage = own(coverage_for, request, public_id)
    today = clinic_today(clinic_of(request))
    entry = Entry(request, CoverageForm(sent(request), row=row, payers=known_payers(), today=today), row)
    if entry.write(
        lambda shown, values: actions.change_coverage(by=person(request), coverage=row, shown=shown, values=values)
    ):
        messages.success(request, "The coverage is saved.")
        return redirect("patient", row.patient.public_id)
    title = "Change or end a coverage"
    return page(request, entry, title, patient_address(row.patient), "The patient", patient=row.patient)


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING, ADMIN)
def add_authorization(request: HttpRequest, public_id: UUID) -> HttpResponse:
    row = own(patient_for, request, public_id)
    today = clinic_today(clinic_of(request))
    entry = Entry(request, AuthorizationForm(sent(request), payers=known_payers(), today=today))
    if entry.write(lambda _, values: actions.add_authorization(by=person(request), patient=row, values=values)):
        messages.success(request, "The authorization is recorded.")
        return redirect("patient", public_id)
    return page(
        request, entry, "Add an authorization", patient_address(row), "The patient", patient=row,
        drugs=drug_names(request),
    )  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING, ADMIN)
def authorization(request: HttpRequest, public_id: UUID) -> HttpResponse:
    row: Authorization = own(authorization_for, request, public_id)
    today = clinic_today(clinic_of(request))
    entry = Entry(request, AuthorizationForm(sent(request), row=row, payers=known_payers(), today=today), row)
    if entry.write(
        lambda shown, values: actions.change_authorization(
            by=person(request), authorization=row, shown=shown, values=values
        )
    ):
        messages.success(request, "The authorization is saved.")
        return redirect("patient", row.patient.public_id)
    return page(
        request, entry, "Change or end an authorization", patient_address(row.patient), "The patient",
        patient=row.patient, drugs=drug_names(request),
    )  # fmt: skip


# The clinic -----------------------------------------------------------------------------------------------------------


@require_safe
@allow(BILLING, ADMIN)
def providers(request: HttpRequest) -> HttpResponse:
    """Whose numbers stand on the clinic's claims."""
    found: QuerySet[Provider] = providers_of(clinic_of(request))
    return render(request, "infusion/claims/providers.html", {"providers": found, "may_admin": is_admin(request)})


def is_admin(request: HttpRequest) -> bool:
    return ADMIN in roles_of(request.user)


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING, ADMIN)
def add_provider(request: HttpRequest) -> HttpResponse:
    entry = Entry(request, ProviderForm(sent(request)))
    if entry.write(
        lambda _, values: actions.add_provider(by=person(request), clinic=clinic_of(request), values=values)
    ):
        messages.success(request, "The provider is recorded.")
        return redirect("providers")
    return page(request, entry, "Add a provider", reverse("providers"), "All providers")


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING, ADMIN)
def provider(request: HttpRequest, public_id: UUID) -> HttpResponse:
    row: Provider = own(provider_for, request, public_id)
    entry = Entry(request, ProviderForm(sent(request), row=row), row)
    if entry.write(
        lambda shown, values: actions.change_provider(by=person(request), provider=row, shown=shown, values=values)
    ):
        messages.success(request, "The provider is saved.")
        return redirect("providers")
    return page(request, entry, "Change a provider", reverse("providers"), "All providers")


@require_http_methods(["GET", "HEAD", "POST"])
@allow(ADMIN)
def clinic_claims(request: HttpRequest) -> HttpResponse:
    """Who sends the clinic's claims, and to whom."""
    row = clinic_of(request)
    entry = Entry(request, ClinicForm(sent(request), row=row), row)
    if entry.write(
        lambda shown, values: actions.change_clinic_claims(by=person(request), clinic=row, shown=shown, values=values)
    ):
        messages.success(request, "Saved.")
        return redirect("clinic-claims")
    return page(request, entry, "The clinic on claims", reverse("providers"), "Providers", lede=CLINIC_LEDE)


CLINIC_LEDE = "Batches made from now on carry this. What has left stays as it was sent."


# One encounter --------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING, ADMIN)
def claim_facts(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Who treated at an encounter, and for which trial."""
    row: Encounter = own(encounter_for, request, public_id)
    choices = [each for each in providers_of(row.clinic) if here_on(each, row)]
    entry = Entry(request, ClaimFactsForm(sent(request), row=row, providers=choices), row)
    if entry.write(
        lambda shown, values: actions.keep_claim_facts(by=person(request), encounter=row, shown=shown, values=values)
    ):
        messages.success(request, "Saved.")
        return redirect("claim-facts", public_id)
    return page(
        request, entry, "On the claim of this encounter", reverse("review", args=[public_id]), "The encounter",
        patient=row.patient, encounter=row, without_providers=not choices,
    )  # fmt: skip


def here_on(provider: Provider, encounter: Encounter) -> bool:
    """Whether someone worked here on the day, or is chosen already."""
    gone = provider.left_on is not None and provider.left_on < encounter.date_of_service
    return not gone or provider.pk == encounter.attending_id
