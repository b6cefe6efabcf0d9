"""What is said when a page cannot be shown."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pytest
from django.conf import settings
from django.forms import PasswordInput
from django.forms.forms import BaseForm
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.views.defaults import bad_request

import infusion
import payers
from infusion.models import User
from infusion.views.errors import server_error
from infusion.views.expired import NEVER_KEPT

UNKIND = ("invalid", "please", "sorry", "required", "forbidden", "unauthorized")


@pytest.mark.parametrize("name", ["400", "403", "403_csrf", "404", "429", "500", "503"])
def test_the_words_are_plain(name: str) -> None:
    text = (Path(settings.BASE_DIR) / "templates" / f"{name}.html").read_text().lower()
    assert "<h1>" in text
    assert not [word for word in UNKIND if word in text]


def test_an_unknown_address(client: Client, nurse: User) -> None:
    client.force_login(nurse)
    reply = client.get("/nowhere/")
    assert reply.status_code == 404
    assert "There is nothing at this address" in reply.content.decode()


def test_a_page_for_another_role(client: Client, nurse: User) -> None:
    client.force_login(nurse)
    reply = client.get("/admin/", follow=True)
    assert reply.status_code == 403
    assert "not for your role" in reply.content.decode()
    assert "L. Ames, RN" in reply.content.decode()


def test_an_expired_form(nurse: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(nurse)
    reply = client.post("/accounts/logout/")
    assert reply.status_code == 403
    assert "open for too long" in reply.content.decode()


@pytest.mark.parametrize(
    ("page", "typed"),
    [
        ("/accounts/pin/", {"pin": "271828", "again": "271829"}),
        ("/accounts/you/passkeys/add/", {"credential": "27182"}),
        ("/accounts/you/app/", {"code": "271828"}),
    ],
)
def test_an_expired_form_gives_away_no_secret(page: str, typed: dict[str, str], nurse: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(nurse)
    reply = client.post(page, {**typed, "name": "Tablet"}, headers={"Origin": "http://testserver"})
    assert "Tablet" in reply.content.decode(), "what is no secret comes back"
    assert "2718" not in reply.content.decode()


def test_an_expired_form_keeps_the_code_of_a_drug(admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    reply = client.post("/drugs/new/", {"code": "J2718"}, headers={"Origin": "http://testserver"})
    assert "J2718</textarea>" in reply.content.decode()


SERVE = ("wsgi", "serving", "with_worker")
"""Modules that make the process that imports them a server."""


def forms_below(kind: type) -> Iterator[Any]:
    for each in kind.__subclasses__():
        yield each
        yield from forms_below(each)


def test_no_form_has_a_secret_that_an_expired_page_would_keep() -> None:
    for package in (infusion, payers):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name and not module.name.endswith(SERVE):
                import_module(module.name)
    secrets = {
        name
        for form in forms_below(BaseForm)
        for name, field in getattr(form, "base_fields", {}).items()
        if isinstance(field.widget, PasswordInput) or name == "credential"
    }
    assert {"pin", "again", "password", "oldpassword", "password1", "credential"} <= secrets, "the forms were found"
    assert not secrets - set(NEVER_KEPT)


@pytest.fixture
def request_of(rf: RequestFactory) -> HttpRequest:
    return rf.get("/")


def test_a_broken_page_needs_nothing_to_be_told(request_of: HttpRequest) -> None:
    """The very thing that broke may be the database, a static file or the context."""
    reply = server_error(request_of)
    assert reply.status_code == 500
    assert "Something broke on our side" in reply.content.decode()
    assert "{" not in (Path(settings.BASE_DIR) / "templates" / "500.html").read_text()


def test_a_request_that_cannot_be_read(request_of: HttpRequest) -> None:
    reply = bad_request(request_of, ValueError())
    assert reply.status_code == 400
    assert "not understood" in reply.content.decode()
