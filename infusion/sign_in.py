"""Signing in: nobody signs up, everyone lands where their work is, and nothing of it stays behind in the browser.

Guessing is limited before a password is hashed: five wrong ones in five minutes for a name, whoever sends them, and
three hundred from an address. A browser that a person has signed in from before has five tries of its own and is not
counted with its address, so that nobody locks out a person or a clinic by guessing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from allauth.account import app_settings as account_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.core import context
from allauth.core.internal import ratelimit
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from infusion.access import roles_of
from infusion.actions.sign_in import remember_browser, tell
from infusion.known_browsers import browser_of, keep_browser, knows
from infusion.models import User
from infusion.second_factor import is_unanswered

FULL = ("password", "mfa", "emergency code")
CHANGE_TOLD = "account/messages/password_changed.txt"
WORDS = {
    "account_reauthenticate": "Enter your password",
    "mfa_reauthenticate": "Enter a code from your app",
    "mfa_reauthenticate_webauthn": "Use a passkey",
}


class Accounts(DefaultAccountAdapter):
    """What allauth asks: people are added by an administrator, and what happens at the door leaves its audit row."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": (
            "This username and password do not belong together. Check both; "
            "an administrator can give you a new password."
        ),
        "too_many_login_attempts": "Too many attempts that did not fit. Wait five minutes, then try again.",
        "rate_limited": "Too many attempts that did not fit. Wait five minutes, then try again.",
        "enter_current_password": "Current password: this is not it. Enter the password that you signed in with.",
        "incorrect_password": "Password: this is not it. Enter the password that you signed in with.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return home_of(request.user)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return home_of(request.user)

    def is_safe_url(self, url: str) -> bool:
        """Only this host: neither another that the site answers to, nor any that it trusts for forms."""
        request = context.request
        return url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure())

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Only what would not be noticed otherwise is told: that someone is signed in, the page shows."""
        if message_template == CHANGE_TOLD or kwargs.get("message"):
            super().add_message(request, level, message_template, *args, **kwargs)

    def set_password(self, user: Any, password: str) -> None:
        with transaction.atomic():
            super().set_password(user, password)
            named = {"username": user.username}
            tell("user.password", user, by=user, before=named, after=named)

    # Limits ----------------------------------------------------------------------------------------------------------

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        name, browser = name_in(credentials), browser_of(request)
        own = browser if knows(browser, name) else None
        limits = ["login_failed"] if own else ["login_failed_from_address", "login_failed"]
        self.count(request, name, *limits, key=key_of(name, own))

    def count(self, request: HttpRequest, name: str, *actions: str, key: str | None = None) -> None:
        """Counts one try, and refuses it where it is one too many, which is told once for each limit.

        The address comes first: who makes up names without end leaves no trace for each of them.
        """
        usage = ratelimit.RateLimitUsage([])
        for action in actions:
            one = ratelimit.consume(request, app="allauth.account", action=action, key=key)
            if one is None:
                usage.rollback()
                if ratelimit.consume(request, app="allauth.account", action=f"{action}_told", key=key):
                    self.tell_refused(request, name, limit=True)
                raise self.validation_error("too_many_login_attempts")
            usage.usage.extend(one.usage)
        self._login_failed_rl_usage = usage

    def spare(self) -> None:
        """What turned out right is not counted."""
        self._rollback_login_failed_rl_usage()

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        self.tell_refused(request, name_in(credentials))

    def tell_refused(self, request: HttpRequest, name: str, **more: Any) -> None:
        """A name that nobody has is not written down: people type passwords there."""
        person = User.objects.filter(username__iexact=name).first()
        tell("sign_in.refused", person, by=None, after={"with": ["password"], **self.whence(request), **more})

    def whence(self, request: HttpRequest) -> dict[str, str]:
        return {"address": self.get_client_ip(request)}

    # In and out -------------------------------------------------------------------------------------------------------

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> Any:
        """A full sign-in: audited, and the browser remembers it."""
        response = super().post_login(request, user, **kwargs)
        browser = browser_of(request) or uuid4()
        methods = [each.get("type", each["method"]) for each in get_authentication_records(request, user)]
        with transaction.atomic():
            remember_browser(person=user, browser=browser)
            tell("sign_in.in", user, by=user, after={"with": methods, **self.whence(request)})
        keep_browser(response, browser)
        return response

    def logout(self, request: HttpRequest) -> None:
        tell("sign_in.out", request.user, by=request.user)  # type: ignore[arg-type]
        super().logout(request)

    # Asking again -----------------------------------------------------------------------------------------------------

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Not of someone who has signed in within the last minutes, and not by a PIN."""
        return not signed_in_just_now(context.request)

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        words = {reverse(name): told for name, told in WORDS.items()}
        shut = {reverse("account_reauthenticate")} if is_unanswered(context.request) else set()
        return [{**each, "description": words[each["url"]]} for each in methods if each["url"] not in shut]


def name_in(credentials: dict[str, Any]) -> str:
    return str(credentials.get("username", "")).strip()


def key_of(name: str, browser: UUID | None) -> str:
    """What the tries for a name are counted under, in a browser of the person's own or anywhere else.

    Letters that are one as capitals are one to the database, so they are one here.
    The words before it keep it apart from the keys of the package, which counts codes under the same action.
    """
    letters = name.upper().lower()
    return f"browser:{browser}:name:{letters}" if browser else f"name:{letters}"


def signed_in_just_now(request: HttpRequest) -> bool:
    records = get_authentication_records(request, request.user)
    since = time.time() - account_settings.REAUTHENTICATION_TIMEOUT
    return any(each["method"] in FULL and each["at"] > since for each in records)


def home_of(user: Any) -> str:
    """Where someone lands: at the encounters with a role, at the list of people as a superuser without one."""
    if roles_of(user):
        return resolve_url(settings.LOGIN_REDIRECT_URL)
    return reverse("admin:index") if user.is_superuser else reverse("calculator")


def roles(request: HttpRequest) -> dict[str, object]:
    """Context of every page: the roles of who is signed in, for the navigation."""
    return {"roles": roles_of(request.user) if hasattr(request, "user") else frozenset()}


class NothingStays:
    """Middleware: no page of a signed-in person is kept by the browser, and signing out clears what it holds.

    A session of someone who has been switched off is ended here, so that it does not come back with the person.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        signed_in = request.user.is_authenticated
        if not signed_in and SESSION_KEY in request.session:
            request.session.flush()
        response = self.get_response(request)
        if signed_in or request.user.is_authenticated:
            response["Cache-Control"] = "no-store"
        if signed_in and not request.user.is_authenticated:
            response["Clear-Site-Data"] = '"cache", "storage"'
        return response
