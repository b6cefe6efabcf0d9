"""Who can sign in how: an admin resets a lost second factor, and answers for the use of an emergency code."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from infusion.access import ADMIN, allow
from infusion.actions import Refused
from infusion.actions.sign_in import answer_alarm, reset_second_factor, use_emergency_code
from infusion.emergency import alarms_for, may_answer
from infusion.forms.sign_in import Emergency, Reason
from infusion.models import User

KINDS = {"totp": "app", "webauthn": "passkey"}


def people_for(admin: User) -> QuerySet[User]:
    """The people of the admin's clinic; of every clinic for a superuser."""
    found = User.objects.filter(is_active=True).select_related("clinic").prefetch_related("groups")
    found = found if admin.is_superuser else found.filter(clinic=admin.clinic_id)
    return found.order_by("clinic__name", "last_name", "first_name", "username")


@require_safe
@allow(ADMIN, superusers=True)
def people(request: HttpRequest) -> HttpResponse:
    admin = cast(User, request.user)
    kinds: dict[int, set[str]] = {}
    for person_id, kind in Authenticator.objects.filter(type__in=KINDS).values_list("user_id", "type"):
        kinds.setdefault(person_id, set()).add(KINDS[kind])
    rows: list[dict[str, Any]] = [
        {
            "person": person,
            "roles": ", ".join(sorted(group.name for group in person.groups.all())) or "no role",
            "factors": " and ".join(sorted(kinds.get(person.pk, ()))),
            "can_reset": person.pk != admin.pk and (admin.is_superuser or not person.is_superuser),
        }
        for person in people_for(admin)
    ]
    told = {"rows": rows, "many_clinics": len({row["person"].clinic_id for row in rows}) > 1}
    return render(request, "infusion/sign_in/people.html", told)


@require_http_methods(["GET", "HEAD", "POST"])
@allow(ADMIN, superusers=True)
def reset_factor(request: HttpRequest, public_id: UUID) -> HttpResponse:
    admin = cast(User, request.user)
    person = get_object_or_404(people_for(admin), public_id=public_id)
    form = Reason(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            reset_second_factor(by=admin, person=person, reason=form.cleaned_data["reason"])
        except Refused as refused:
            form.add_error(None, str(refused))
        else:
            messages.success(request, f"The second factor of {person.signature} is reset, and every sign-in ended.")
            return redirect("people")
    return render(request, "infusion/sign_in/reset.html", {"person": person, "form": form})


@require_http_methods(["GET", "HEAD", "POST"])
@allow(ADMIN, superusers=True)
def alarm(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Answer for an emergency sign-in, so that its banner goes."""
    admin = cast(User, request.user)
    code = get_object_or_404(alarms_for(admin), public_id=public_id)
    can = may_answer(admin, code)
    form = Reason(request.POST if request.method == "POST" and can else None)
    form.fields["reason"].label = "What happened"
    form.fields["reason"].error_messages["required"] = "What happened: say why the code was used, for the record."
    if request.method == "POST" and can and form.is_valid():
        answer_alarm(by=admin, code=code, reason=form.cleaned_data["reason"])
        messages.success(request, "Your answer is on the record, and the alarm is off.")
        return redirect("people")
    return render(request, "infusion/sign_in/alarm.html", {"code": code, "form": form, "can": can})


@require_http_methods(["GET", "HEAD", "POST"])
@login_not_required
@never_cache
def emergency(request: HttpRequest) -> HttpResponse:
    """The way in by a sealed code, limited for each address."""
    if request.user.is_authenticated:
        return redirect("mfa_index")
    form = Emergency(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            return come_in(request, form.cleaned_data)
        except Refused as refused:
            form.add_error("code", str(refused))
        except ValidationError as limited:
            form.add_error("code", limited)
    return render(request, "infusion/sign_in/emergency.html", {"form": form})


def come_in(request: HttpRequest, typed: dict[str, Any]) -> HttpResponse:
    adapter = get_adapter(request)
    adapter.count(request, typed["username"], "emergency_failed")
    try:
        person = use_emergency_code(username=typed["username"], code=typed["code"], password=typed["password1"])
    except Refused:
        adapter.authentication_failed(request, username=typed["username"])
        raise
    adapter.spare()
    record_authentication(request, person, "emergency code")
    adapter.login(request, person)
    response: HttpResponse = adapter.post_login(
        request, person, email_verification="none", signal_kwargs=None, email=None, signup=False,
        redirect_url=reverse("mfa_index"),
    )  # fmt: skip
    return response
