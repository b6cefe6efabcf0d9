"""The end of a sign-in: after minutes without a key or a tap, and after twelve hours in any case.

The server keeps the time. A request that a timer sends says so with the header `X-Idle: 1`; it is refused like any
other when the sign-in has ended, and it never makes one last longer. Nothing else in a request is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from infusion import audit
from infusion.access import NURSE, roles_of

BEGAN, TOUCHED = "sign_in_began", "sign_in_touched"
LONGEST_SIGN_IN_SECONDS = 12 * 3600
WRITTEN_EVERY_SECONDS = 5
"""A touch is written down at most this often, so that not every request writes."""
ENDED = "X-Sign-In-Ended"


def idle_limit_seconds(user: Any) -> int:
    """A nurse's tablet is shared and stands beside a patient; a desk is not."""
    minutes = settings.INFUSION_IDLE_MINUTES_SHARED if NURSE in roles_of(user) else settings.INFUSION_IDLE_MINUTES
    return int(minutes) * 60


def seconds_left(request: HttpRequest) -> float:
    """How long the sign-in of a request lasts without another touch."""
    now, session = timezone.now().timestamp(), request.session
    idle = session.get(TOUCHED, now) + idle_limit_seconds(request.user) - now
    longest = session.get(BEGAN, now) + LONGEST_SIGN_IN_SECONDS - now
    return float(min(idle, longest))


def is_sent_by_a_timer(request: HttpRequest) -> bool:
    return request.headers.get("X-Idle") == "1"


def touch(request: HttpRequest) -> None:
    """Someone is there."""
    now, session = timezone.now().timestamp(), request.session
    session.setdefault(BEGAN, now)
    if TOUCHED not in session or abs(now - session[TOUCHED]) >= WRITTEN_EVERY_SECONDS:
        session[TOUCHED] = now


@receiver(user_logged_in)
def begin(sender: object, request: HttpRequest, **_: object) -> None:
    """A sign-in begins with its own clocks."""
    request.session[BEGAN] = request.session[TOUCHED] = timezone.now().timestamp()


class EndsWhenIdle:
    """Middleware: ends a sign-in that is over before a view sees the request, and keeps what was being sent."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        if request.user.is_authenticated:
            if seconds_left(request) > 0:
                if not is_sent_by_a_timer(request):
                    touch(request)
                return None
            keep = getattr(view, "keep_typed", None)
            back = keep(request, **kwargs) if keep and request.method == "POST" else ""
            tell_of_the_end(request.user)
            logout(request)
            if getattr(view, "login_required", True):
                return ended(request, back)
        elif getattr(view, "login_required", True) and (is_sent_by_a_script(request) or request.method == "POST"):
            return ended(request, "")
        return None


def tell_of_the_end(user: Any) -> None:
    with transaction.atomic():
        audit.record(
            "sign_in.ended", by=user, subject="user", subject_id=user.pk, clinic_id=user.clinic_id, before=None,
            after=None,
        )  # fmt: skip


def is_sent_by_a_script(request: HttpRequest) -> bool:
    """Its answer goes into a page, where a sign-in form would be out of place."""
    return "HX-Request" in request.headers or "X-Idle" in request.headers


def ended(request: HttpRequest, back: str) -> HttpResponseBase:
    """The way to the sign-in page, and from there back to where someone was."""
    if is_sent_by_a_script(request):
        return HttpResponse(status=401, headers={ENDED: "1"})
    here = page_of(request)
    where = {"ended": "1", **({"next": back or here} if back or here else {})}
    return redirect(f"{reverse('account_login')}?{urlencode(where)}")


def page_of(request: HttpRequest) -> str:
    """The page someone was on: the one asked for, or the one whose button was pressed. Empty when nobody can tell."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    came_from = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(came_from, {request.get_host()}, require_https=request.is_secure()):
        return ""
    return urlsplit(came_from)._replace(scheme="", netloc="", fragment="").geturl()


def context(request: HttpRequest) -> dict[str, object]:
    """Context of every page: after how many seconds without a touch the sign-in ends."""
    user = getattr(request, "user", None)
    return {"idle_seconds": idle_limit_seconds(user) if user is not None and roles_of(user) else 0}
