"""Signing in: nobody signs up, everyone lands where their work is, and nothing of it stays behind in the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import resolve_url
from django.urls import reverse

from infusion import audit
from infusion.access import roles_of

CHANGE_TOLD = "account/messages/password_changed.txt"


class Accounts(DefaultAccountAdapter):
    """What allauth asks: people are added by an administrator, and a changed password leaves its audit row."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": (
            "This username and password do not belong together. Check both; "
            "an administrator can give you a new password."
        ),
        "too_many_login_attempts": "Too many attempts with a wrong password. Wait five minutes, then try again.",
        "enter_current_password": "Current password: this is not it. Enter the password that you signed in with.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return home_of(request.user)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return home_of(request.user)

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Only what would not be noticed otherwise is told: that someone is signed in, the page shows."""
        if message_template == CHANGE_TOLD:
            super().add_message(request, level, message_template, *args, **kwargs)

    def set_password(self, user: Any, password: str) -> None:
        with transaction.atomic():
            super().set_password(user, password)
            audit.record(
                "user.password", by=user, subject="user", subject_id=user.pk, clinic_id=user.clinic_id,
                before={"username": user.username}, after={"username": user.username},
            )  # fmt: skip


def home_of(user: Any) -> str:
    """Where someone lands: at the encounters with a role, at the list of people as a superuser without one."""
    if roles_of(user):
        return resolve_url(settings.LOGIN_REDIRECT_URL)
    return reverse("admin:index") if user.is_superuser else reverse("calculator")


def roles(request: HttpRequest) -> dict[str, object]:
    """Context of every page: the roles of who is signed in, for the navigation."""
    return {"roles": roles_of(request.user) if hasattr(request, "user") else frozenset()}


class NothingStays:
    """Middleware: no page of a signed-in person is kept by the browser, and signing out clears what it holds."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        signed_in = request.user.is_authenticated
        response = self.get_response(request)
        if signed_in or request.user.is_authenticated:
            response["Cache-Control"] = "no-store"
        if signed_in and not request.user.is_authenticated:
            response["Clear-Site-Data"] = '"cache", "storage"'
        return response
