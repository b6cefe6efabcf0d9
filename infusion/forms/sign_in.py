"""The forms of signing in, in this product's words."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.account.forms import ChangePasswordForm, LoginForm, ReauthenticateForm
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.base.forms import ReauthenticateForm as CodeAgainForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from django import forms
from django.contrib.auth.password_validation import validate_password
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.forms import Form

from infusion.models import User

CODE_COUNTS_SECONDS = 120  # longer than the three half minutes in which an app's code can be taken
SHORTEST_PIN, LONGEST_PIN = 6, 8
DIFFERS = "New password again: it differs from the one above. Enter the same in both."
PASSKEY_FAILED = "The passkey was not recognized here. Try again, or take another way."


def in_our_look(form: Form, words: dict[str, tuple[str, str]]) -> None:
    """Label, and what to say when it is left empty, for each field; no grey text inside a field."""
    for name, (label, empty) in words.items():
        field = form.fields[name]
        field.label, field.error_messages["required"], field.help_text = label, empty, ""
        field.widget.attrs.pop("placeholder", None)
        field.widget.attrs.update({"class": "form-control", "aria-describedby": f"id_{name}-note"})


class SignIn(LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        in_our_look(
            self,
            {
                "login": ("Username", "Username: enter the name that you sign in with."),
                "password": ("Password", "Password: enter your password."),
            },
        )
        self.fields["login"].widget.attrs.update({"autocapitalize": "none", "spellcheck": "false"})


NEW_PASSWORDS = {
    "password1": ("New password", "New password: enter at least 12 characters."),
    "password2": ("New password again", "New password again: enter the new password a second time."),
}


class NewPassword(ChangePasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        current = ("Current password", "Current password: enter the password that you signed in with.")
        in_our_look(self, {"oldpassword": current, **NEW_PASSWORDS})

    def clean_oldpassword(self) -> str:
        """Looked at as when signing in: counted, and told where it is wrong."""
        typed: str = self.cleaned_data["oldpassword"]
        if not get_account_adapter().reauthenticate(self.user, typed):
            raise get_account_adapter().validation_error("enter_current_password")
        return typed

    def clean(self) -> dict[str, Any] | None:
        cleaned: dict[str, Any] | None = super().clean()
        if self.has_error("password2") and self.data.get("password2"):
            self.errors["password2"].clear()
            self.add_error("password2", DIFFERS)
        return cleaned


class PasswordAgain(ReauthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        in_our_look(self, {"password": ("Password", "Password: enter the password that you signed in with.")})


# Codes of an app ------------------------------------------------------------------------------------------------------


def spent_key(user: Any, code: str) -> str:
    """The same however the code is written: cut only when what does not count has gone."""
    return f"infusion.code:{user.pk}:{normalize_user_code(code)[:40]}"


class CountsOnce(Form):
    """A code of an app is taken once, although the clock leaves it good for a while."""

    user: Any

    def clean_code(self) -> str:
        key = spent_key(self.user, self.cleaned_data["code"])
        spent = bool(cache.get(key))
        code: str = "" if spent else super().clean_code()  # type: ignore[misc]
        kind = getattr(getattr(self, "authenticator", None), "type", Authenticator.Type.TOTP)
        if spent or (kind == Authenticator.Type.TOTP and not cache.add(key, 1, CODE_COUNTS_SECONDS)):
            raise get_adapter().validation_error("incorrect_code")
        return code


def code_in_our_look(form: Form, label: str) -> None:
    in_our_look(form, {"code": (label, "Code: enter the digits that your app shows.")})
    form.fields["code"].widget.attrs.update({"inputmode": "numeric", "autocomplete": "one-time-code"})


class SecondFactor(CountsOnce, AuthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        code_in_our_look(self, "Code")


class SecondFactorAgain(CountsOnce, CodeAgainForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        code_in_our_look(self, "Code")


class ActivateApp(CountsOnce, ActivateTOTPForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        code_in_our_look(self, "Code that the app shows")


# Passkeys -------------------------------------------------------------------------------------------------------------


class AnyJson(json.JSONDecoder):
    """Numbers of thousands of digits, and a list in a list without end, are as little JSON as half a bracket."""

    def decode(self, text: str, *rest: Any) -> Any:
        try:
            return super().decode(text, *rest)
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as problem:
            raise json.JSONDecodeError(str(problem), text, 0) from None


def credential_field() -> forms.JSONField:
    return forms.JSONField(widget=forms.HiddenInput, decoder=AnyJson, error_messages={"invalid": PASSKEY_FAILED})


class AnyAnswer(Form):
    """Whatever a browser sends in place of a passkey's answer is refused in words."""

    credential = credential_field()

    def clean_credential(self) -> Any:
        try:
            return super().clean_credential()  # type: ignore[misc]
        except DatabaseError:
            raise
        except ValidationError as error:
            raise ValidationError(PASSKEY_FAILED) if error.code == "incorrect_code" else error from None
        except Exception as error:  # the parser of the package raises as many kinds as there are mistakes
            raise ValidationError(PASSKEY_FAILED) from error


class AnswerWithPasskey(AnyAnswer, AuthenticateWebAuthnForm):
    pass


class PasskeyAgain(AnyAnswer, ReauthenticateWebAuthnForm):
    pass


class SignInWithPasskey(AnyAnswer, LoginWebAuthnForm):
    pass


class AddPasskey(AddWebAuthnForm):
    """Always one that can sign in by itself, so that the device asks for a finger, a face or a PIN of its own."""

    credential = credential_field()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        in_our_look(self, {"name": ("Name of this passkey", "Name: enter where this passkey lives.")})
        self.fields["name"].max_length = 60
        self.fields["passwordless"].widget = forms.HiddenInput()
        self.fields["passwordless"].initial = True

    def clean(self) -> dict[str, Any]:
        self.cleaned_data["passwordless"] = True
        try:
            return super().clean() or {}
        except DatabaseError:
            raise
        except Exception as error:  # as above
            raise ValidationError(PASSKEY_FAILED) from error


# PINs, reasons, emergencies -------------------------------------------------------------------------------------------


def pin_field(label: str) -> forms.CharField:
    attributes = {"class": "form-control", "inputmode": "numeric", "autocomplete": "off", "aria-describedby": ""}
    return forms.CharField(
        label=label, max_length=20, widget=forms.PasswordInput(attrs=attributes),
        error_messages={"required": f"{label}: enter {SHORTEST_PIN} to {LONGEST_PIN} digits.",
                        "max_length": f"{label}: enter {SHORTEST_PIN} to {LONGEST_PIN} digits."},
    )  # fmt: skip


class NewPin(Form):
    pin = pin_field("New PIN")
    again = pin_field("New PIN again")

    def clean_pin(self) -> str:
        pin: str = self.cleaned_data["pin"]
        if not (pin.isascii() and pin.isdigit() and SHORTEST_PIN <= len(pin) <= LONGEST_PIN):
            raise ValidationError(f"New PIN: enter {SHORTEST_PIN} to {LONGEST_PIN} digits, and nothing else.")
        steps = {int(after) - int(before) for before, after in pairwise(pin)}
        if (len(steps) == 1 and steps <= {-1, 0, 1}) or len(set(pin)) < 3:
            raise ValidationError("New PIN: this one is guessed first. Choose digits that do not repeat or count.")
        return pin

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        if cleaned.get("pin") and cleaned.get("again") and cleaned["pin"] != cleaned["again"]:
            self.add_error("again", "New PIN again: it differs from the one above. Enter the same in both.")
        return cleaned


class Pin(Form):
    pin = pin_field("PIN")


class Reason(Form):
    reason = forms.CharField(
        label="Reason", max_length=300, widget=forms.TextInput(attrs={"class": "form-control"}),
        error_messages={"required": "Reason: say why, for the record.", "max_length": "Reason: 300 letters at most."},
    )  # fmt: skip


class Emergency(Form):
    """A name, the sealed code, and the password that holds from now on."""

    username = forms.CharField(max_length=150)
    code = forms.CharField(max_length=60)
    password1 = forms.CharField(max_length=200, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))
    password2 = forms.CharField(max_length=200, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        in_our_look(
            self,
            {
                "username": ("Username", "Username: enter the name that you sign in with."),
                "code": ("Emergency code", "Emergency code: enter the letters and digits of the sealed code."),
                **NEW_PASSWORDS,
            },
        )
        for name in ("username", "code"):
            self.fields[name].widget.attrs.update({"autocapitalize": "none", "spellcheck": "false"})
        self.fields["code"].widget.attrs["autocomplete"] = "off"

    def clean_password1(self) -> str:
        password: str = self.cleaned_data["password1"]
        validate_password(password, User(username=self.cleaned_data.get("username", "")))
        return password

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        if cleaned.get("password1") and cleaned.get("password2") and cleaned["password1"] != cleaned["password2"]:
            self.add_error("password2", DIFFERS)
        return cleaned
