"""What today's rules would answer to approved encounters: asked for, and seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from infusion.access import ADMIN, BILLING, allow
from infusion.actions import Refused
from infusion.jobs import Shown, jobs_of
from infusion.models import Recheck
from infusion.rechecks import KIND, begin_recheck
from infusion.views.claim_data import clinic_of
from infusion.views.review import person
from payers.forms import DayField, PageForm

ROWS_ON_A_PAGE = 100


class RecheckForm(PageForm):
    since = DayField(label="From")
    until = DayField(label="Until")

    def clean(self) -> dict[str, Any]:
        found = super().clean() or self.cleaned_data
        for name, field in self.fields.items():
            if name not in self.errors and not found.get(name):
                self.add_error(name, f"{field.label}: enter a date of service.")
        if not self.errors and found["until"] < found["since"]:
            self.add_error("until", "Until: this day lies before the first. Correct one of them.")
        return found


@require_http_methods(["GET", "HEAD", "POST"])
@allow(BILLING, ADMIN)
def rechecks(request: HttpRequest) -> HttpResponse:
    form, refusal = RecheckForm(request.POST if request.method == "POST" else None), ""
    if form.is_valid():
        try:
            begun, _ = begin_recheck(by=person(request), **form.cleaned_data)
            return redirect("recheck", begun.public_id)
        except Refused as refused:
            refusal = str(refused)
    context: Mapping[str, Any] = {
        "form": form, "issues": form.issues, "checked": form.is_bound, "refusal": refusal,
        "earlier": Recheck.objects.filter(clinic=clinic_of(request)).select_related("asked_by")[:20],
    }  # fmt: skip
    return render(request, "infusion/rechecks/list.html", context, status=422 if form.is_bound else 200)


@require_safe
@allow(BILLING, ADMIN)
def recheck(request: HttpRequest, public_id: UUID) -> HttpResponse:
    found = get_object_or_404(Recheck, clinic=clinic_of(request), public_id=public_id)
    job = get_object_or_404(jobs_of(person(request)), kind=KIND, subject=str(public_id))
    differences = found.differences.select_related("approval__encounter", "approval__encounter__payer")
    page = Paginator(differences, ROWS_ON_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "infusion/rechecks/recheck.html", {"recheck": found, "shown": Shown(job), "page": page})
