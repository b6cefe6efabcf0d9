"""The second factor: asked of everyone whose role needs one before any page opens, and audited whenever it changes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authentication_failed, authenticator_used
from allauth.mfa.totp.internal.auth import generate_totp_secret
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse

from infusion.access import ADMIN, BILLING, roles_of
from infusion.actions.sign_in import end_sign_ins, tell

ANSWERED = "second_factor_of"
WRONG = "Code: this is not the one that counts now. Each code counts once; take the next one that your app shows."
# What a sign-in without its second factor may open: the pages that ask for it, and the way out; while its person has
# none yet, also the pages to set one up.
ANSWER = {"mfa_index", "mfa_reauthenticate", "mfa_reauthenticate_webauthn", "account_logout", "session"}
SET_UP = {*ANSWER, "mfa_activate_totp", "mfa_add_webauthn", "account_reauthenticate"}


class Factors(DefaultMFAAdapter):
    """What allauth asks: words, and secrets that a copy of the database alone does not give away."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": WRONG,
        "cannot_delete_authenticator": "Set up another second factor first: your role needs one.",
        "cannot_generate_recovery_codes": "Set up an app or a passkey first: recovery codes stand in for it.",
    }

    def encrypt(self, text: str) -> str:
        return keys().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """A secret of a key that is gone fits no code that anybody could work out, and its owner sets up a new one."""
        try:
            return keys().decrypt(encrypted_text).decode()
        except InvalidToken:
            return generate_totp_secret()

    def generate_authenticator_name(self, user: Any, type: str) -> str:
        return f"Passkey {Authenticator.objects.filter(user_id=user.pk, type=type).count() + 1}"

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        return {**super().get_public_key_credential_rp_entity(), "name": settings.MFA_TOTP_ISSUER}

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        others = factors_of(authenticator.user).exclude(pk=authenticator.pk)
        return not needs_one(authenticator.user) or others.exists()


def keys() -> MultiFernet:
    secrets: list[Any] = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    derived = [hashlib.sha256(f"infusion.second_factor {each}".encode()).digest() for each in secrets]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(each)) for each in derived])


def factors_of(user: Any) -> QuerySet[Authenticator]:
    """What a person answers with; recovery codes only stand in for it."""
    return Authenticator.objects.filter(user_id=user.pk).exclude(type=Authenticator.Type.RECOVERY_CODES)


def needs_one(user: Any) -> bool:
    """Whether the role of a person opens nothing without a second factor."""
    return settings.SECOND_FACTOR_NEEDED and (user.is_superuser or bool(roles_of(user) & {BILLING, ADMIN}))


def is_missing(request: HttpRequest) -> bool:
    """Whether a sign-in lacks a second factor that its role needs."""
    user = request.user
    return user.is_authenticated and request.session.get(ANSWERED) != user.pk and needs_one(user)


def is_unanswered(request: HttpRequest) -> bool:
    """Whether what a sign-in lacks is the answer to a second factor that its person has. The password is none."""
    return is_missing(request) and factors_of(request.user).exists()


def context_of(request: HttpRequest) -> dict[str, object]:
    """Context of every page; looked up only where a page asks for it."""
    return {
        "factor_missing": lambda: hasattr(request, "user") and is_missing(request),
        "factor_unanswered": lambda: hasattr(request, "user") and is_unanswered(request),
    }


class AskedFor:
    """Middleware: without the second factor that a role needs, nothing opens that a visitor could not open."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        name = request.resolver_match.view_name if request.resolver_match else ""
        if name in ANSWER or not getattr(view, "login_required", True) or not is_missing(request):
            return None
        return None if name in SET_UP and not is_unanswered(request) else redirect("mfa_index")


def keeps_one(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Refuses to remove the last second factor of someone who needs one."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if factors_of(request.user).count() == 1 and needs_one(request.user):
            messages.warning(request, Factors.error_messages["cannot_delete_authenticator"])
            return redirect(reverse("mfa_index"))
        return view(request, *args, **kwargs)

    return checked


# What changes is told in the transaction of the change ---------------------------------------------------------------


def acting() -> Any:
    """Who is signed in at the request that is being answered; None in a command."""
    user = getattr(context.request, "user", None)
    return user if user is not None and user.is_authenticated else None


@receiver(post_save, sender=Authenticator)
@transaction.atomic
def tell_added(sender: object, instance: Authenticator, created: bool, **_: object) -> None:
    if not created:
        return
    person, factor = acting(), instance.type != Authenticator.Type.RECOVERY_CODES
    if factor and not factors_of(instance.user).exclude(pk=instance.pk).exists():
        end_sign_ins(instance.user)  # whoever else knows the password has signed in with no more than that
    tell("second_factor.add", instance.user, by=person, after={"kind": instance.type})
    if factor and person == instance.user:
        update_session_auth_hash(context.request, instance.user)
        answered(context.request, person)


@receiver(post_delete, sender=Authenticator)
def tell_removed(sender: object, instance: Authenticator, **_: object) -> None:
    tell("second_factor.remove", instance.user, by=acting(), before={"kind": instance.type})


@receiver(authenticator_used)
def used(sender: object, request: HttpRequest, user: Any, authenticator: Authenticator, **_: object) -> None:
    answered(request, user)
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        authenticator.refresh_from_db()
        left = len(authenticator.wrap().get_unused_codes())
        tell("second_factor.recovery_code", user, by=user, after={"left": left})


def answered(request: HttpRequest, user: Any) -> None:
    """The sign-in has its second factor now, under a new id."""
    request.session[ANSWERED] = user.pk
    request.session.cycle_key()


@receiver(authentication_failed)
def tell_refused(sender: object, user: Any, authenticator: Authenticator, **_: object) -> None:
    tell("sign_in.refused", user, by=None, after={"with": [authenticator.type]})
