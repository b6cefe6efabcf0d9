"""Which browser this is, by a signed cookie, and whom it knows: a row for each person who has fully signed in from it.

It proves nothing about a person. It spares someone's own browser from limits that a stranger has used up, and a PIN
counts only together with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from infusion.access import NURSE, roles_of
from infusion.idle import LONGEST_SIGN_IN_SECONDS
from infusion.models import KnownBrowser

SALT = "infusion.browser"
KEPT = timedelta(days=400)
PIN_LASTS = timedelta(seconds=LONGEST_SIGN_IN_SECONDS)
MOST_TRIES = 5


def browser_of(request: HttpRequest) -> UUID | None:
    """The browser that a request comes from; None when it carries no cookie of ours."""
    with suppress(signing.BadSignature, ValueError):
        text = request.COOKIES.get(settings.BROWSER_COOKIE_NAME, "")
        return UUID(signing.Signer(salt=SALT).unsign(text))
    return None


def keep_browser(response: HttpResponseBase, browser: UUID) -> None:
    """Let the browser remember which one it is."""
    response.set_cookie(
        settings.BROWSER_COOKIE_NAME,
        signing.Signer(salt=SALT).sign(browser.hex),
        max_age=KEPT,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )


def knows(browser: UUID | None, username: str) -> bool:
    """Whether a person of this name has fully signed in from this browser."""
    return (
        browser is not None and KnownBrowser.objects.filter(browser=browser, person__username__iexact=username).exists()
    )


def may_have_a_pin(person: Any) -> bool:
    """Nurses, and nobody who may do more than a nurse."""
    return roles_of(person) == {NURSE} and not person.is_superuser


def pins_of(browser: UUID | None) -> Iterator[KnownBrowser]:
    """The rows whose PIN is good now, by name: signed in fully within hours, with the same rights, and tries left."""
    if browser is None:
        return
    rows = KnownBrowser.objects.filter(
        browser=browser, tries__lt=MOST_TRIES, signed_in_at__gt=timezone.now() - PIN_LASTS, person__is_active=True
    ).exclude(pin="")
    for row in rows.select_related("person").order_by("person__last_name", "person__first_name", "person_id"):
        if may_have_a_pin(row.person) and row.bound_to == row.person.get_session_auth_hash():
            yield row
