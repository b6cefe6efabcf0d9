"""A zero byte is refused wherever it comes in, on SQLite too, so that a move to PostgreSQL meets none."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.http import SimpleCookie
from django.test import Client
from django.urls import reverse

from infusion.models import Encounter, User
from payers.models import Payer
from tests.web.page import Page

ZERO = "a\x00b"


@pytest.fixture
def signed_in(nurse: User, client: Client) -> Client:
    client.force_login(nurse)
    return client


def test_in_an_address_a_cookie_or_a_form(signed_in: Client) -> None:
    assert signed_in.get("/encounters/", {"q": "ab"}).status_code == 200
    assert signed_in.get("/encounters/", {"q": ZERO}).status_code == 400
    assert signed_in.get("/encounters/", {ZERO: "1"}).status_code == 400
    assert signed_in.get("/encounters/a%00b/").status_code == 400
    assert Client().post("/accounts/login/", {"login": "ab", "password": "x"}).status_code == 200
    assert Client().post("/accounts/login/", {"login": ZERO, "password": "x"}).status_code == 400
    stranger = Client()
    stranger.cookies = SimpleCookie({"sessionid": ZERO})
    reply = stranger.get("/encounters/")
    assert reply.status_code == 400
    assert "This request was not understood" in reply.content.decode()


def test_nothing_of_it_is_saved(medicare: Payer, signed_in: Client) -> None:
    path = reverse("encounter-new")
    form = Page(signed_in.get(path).content).form_to(path)
    fields = {**form.fields, "patient_reference": "MRN-1", "payer": medicare.slug, "date": "2026-03-10", "act": "save"}
    assert signed_in.post(path, {**fields, "client_id": str(uuid4()), "patient_name": ZERO}).status_code == 400
    assert not Encounter.objects.exists()
    assert signed_in.post(path, {**fields, "client_id": str(uuid4())}).status_code == 302
