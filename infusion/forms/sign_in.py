"""The forms of signing in, in this product's words."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ChangePasswordForm, LoginForm
from django.forms import Form


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


class NewPassword(ChangePasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        in_our_look(
            self,
            {
                "oldpassword": ("Current password", "Current password: enter the password that you signed in with."),
                "password1": ("New password", "New password: enter at least 12 characters."),
                "password2": ("New password again", "New password again: enter the new password a second time."),
            },
        )

    def clean(self) -> dict[str, Any] | None:
        cleaned: dict[str, Any] | None = super().clean()
        if self.has_error("password2") and self.data.get("password2"):
            self.errors["password2"].clear()
            self.add_error("password2", "New password again: it differs from the one above. Enter the same in both.")
        return cleaned
