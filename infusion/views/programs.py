"""The programs that may ask: an admin makes each its token, which is shown once, and revokes it."""

from __future__ import annotations

from typing import cast
from uuid import UUID, uuid4

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from infusion.access import ADMIN, allow
from infusion.actions import Refused
from infusion.actions.programs import make_program, revoke_program
from infusion.forms.programs import NewProgram
from infusion.forms.sign_in import Reason
from infusion.models import ApiClient, User
from infusion.models.programs import SCOPES

SHOWN_BEFORE = "This program was made by the same form before, and its token was shown then. Revoke it if it is lost."


def programs_for(admin: User) -> QuerySet[ApiClient]:
    return ApiClient.objects.filter(clinic=admin.clinic_id).select_related("made_by", "revoked_by", "clinic")


@require_http_methods(["GET", "HEAD", "POST"])
@allow(ADMIN)
def programs(request: HttpRequest) -> HttpResponse:
    """The list, and the form for another one. The token stands on the reply to the form alone."""
    admin = cast(User, request.user)
    form = NewProgram(request.POST) if request.method == "POST" else NewProgram(initial={"public_id": uuid4()})
    made, token = None, ""
    if request.method == "POST" and form.is_valid():
        try:
            made, token = make_program(by=admin, **form.cleaned_data)
        except Refused as refused:
            form.add_error("scopes", str(refused))
        else:
            if not token:
                messages.warning(request, SHOWN_BEFORE)
                return redirect("programs")
            form = NewProgram(initial={"public_id": uuid4()})
    rows = [
        {"program": each, "may": [SCOPES[scope] for scope in each.scopes if scope in SCOPES]}
        for each in programs_for(admin)
    ]
    told = {"rows": rows, "form": form, "made": made, "token": token, "address": request.build_absolute_uri("/api/v1/")}
    return render(request, "infusion/programs/page.html", told)


@require_http_methods(["GET", "HEAD", "POST"])
@allow(ADMIN)
def revoke(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """End a token, with the reason on record."""
    admin = cast(User, request.user)
    program = get_object_or_404(programs_for(admin), public_id=public_id)
    if program.revoked_at is not None and request.method != "POST":
        raise Http404
    form = Reason(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        revoke_program(by=admin, client=program, reason=form.cleaned_data["reason"])
        messages.success(request, f"The token of {program.name} opens nothing any more.")
        return redirect("programs")
    return render(request, "infusion/programs/revoke.html", {"program": program, "form": form})
