"""A tablet that several nurses share: one leaves it, the next enters a PIN, a passkey or a password."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth import login, logout
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from infusion.access import NURSE, allow, roles_of
from infusion.actions import Refused
from infusion.actions.sign_in import choose_pin, drop_pin, enter_pin, tell
from infusion.forms.sign_in import NewPin, Pin
from infusion.idle import BEGAN, page_of
from infusion.known_browsers import browser_of, may_have_a_pin, pins_of
from infusion.models import KnownBrowser, User
from infusion.sign_in import home_of

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
LEFT_AT = "switch_left_at"
BY_PIN = "signed_in_by_pin"
SAME_FOR_ALL = ("chair", "chairs", "orders", "encounters")
"""Pages that the next nurse may go on with; no page on which the one before was typing."""


@require_http_methods(["GET", "HEAD", "POST"])
@login_not_required
@never_cache
def switch(request: HttpRequest) -> HttpResponse:
    """Leave the tablet to the next person, and then ask who that is."""
    if request.method == "POST" and NURSE in roles_of(request.user):
        left_at, clinic = page_of(request), cast(User, request.user).clinic_id
        tell("sign_in.switch", cast(User, request.user), by=cast(User, request.user))
        logout(request)
        request.session[LEFT_AT] = [left_at, clinic]
        return redirect("switch")
    if request.user.is_authenticated and NURSE not in roles_of(request.user):
        return redirect(home_of(request.user))
    return asked(request, Pin())


def asked(request: HttpRequest, form: Pin, chosen: str = "", wrong: str = "") -> HttpResponse:
    people = [] if request.user.is_authenticated else [row.person for row in pins_of(browser_of(request))]
    person = next((each for each in people if str(each.public_id) == chosen), None)
    told = {"people": people, "person": person, "form": form, "wrong": wrong}
    return render(request, "infusion/sign_in/switch.html", told)


@require_http_methods(["GET", "HEAD", "POST"])
@login_not_required
@never_cache
def enter(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """One of the tablet's people enters the PIN."""
    if request.user.is_authenticated:
        return redirect("switch")
    if request.method != "POST":
        return asked(request, Pin(), str(public_id))
    form = Pin(request.POST)
    if not form.is_valid():
        return asked(request, form, str(public_id))
    try:
        known = enter_pin(browser=browser_of(request), public_id=public_id, pin=form.cleaned_data["pin"])
    except Refused as refused:
        form.add_error("pin", str(refused))
        return asked(request, form, str(public_id), str(refused))
    return let_in(request, known)


def let_in(request: HttpRequest, known: KnownBrowser) -> HttpResponse:
    """The sign-in goes on until twelve hours after the full one that it rests on."""
    person = known.person
    left_at, clinic = request.session.pop(LEFT_AT, ["", None])
    with transaction.atomic():
        login(request, person, backend=BACKEND)
        request.session[BEGAN] = known.signed_in_at.timestamp()
        request.session[BY_PIN] = True
        tell("sign_in.in", person, by=person, after={"with": ["pin"]})
    return redirect(left_at if clinic == person.clinic_id and goes_on(left_at) else home_of(person))


def goes_on(address: str) -> bool:
    """Whether the next person goes on with the page that the tablet showed."""
    try:
        return bool(address) and resolve(address.partition("?")[0]).view_name in SAME_FOR_ALL
    except Resolver404:
        return False


@require_http_methods(["GET", "HEAD", "POST"])
@allow(NURSE)
@reauthentication_required(app="infusion")
def pin(request: HttpRequest) -> HttpResponse:
    """Set one's own PIN for this tablet, after a full sign-in on it."""
    person, browser = cast(User, request.user), browser_of(request)
    row = KnownBrowser.objects.filter(person=person, browser=browser).first() if browser else None
    can = may_have_a_pin(person) and row is not None and not request.session.get(BY_PIN)
    form = NewPin(request.POST if request.method == "POST" and can else None)
    if request.method == "POST" and can and browser and form.is_valid():
        choose_pin(by=person, browser=browser, pin=form.cleaned_data["pin"])
        messages.success(request, "Your PIN is set on this tablet. It counts until twelve hours after you signed in.")
        return redirect("mfa_index")
    told = {"form": form, "can": can, "only_nurses": not may_have_a_pin(person), "has_pin": bool(row and row.pin)}
    return render(request, "infusion/sign_in/pin.html", told)


@require_POST
@allow(NURSE)
def forget_pin(request: HttpRequest) -> HttpResponse:
    browser = browser_of(request)
    if browser:
        drop_pin(by=cast(User, request.user), browser=browser)
    messages.success(request, "There is no PIN of yours on this tablet any more.")
    return redirect("mfa_index")
