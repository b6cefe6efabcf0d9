"""A field that a form does not have is never read: sending every column's name changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.conf import settings
from django.db import models, transaction
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from infusion.models import Encounter
from infusion.views import encounters
from tests.web.access_table import ADMIN, BILLING, NURSE
from tests.web.conftest import House, everything
from tests.web.page import Page

NOW = "2026-03-11T15:00:00Z"
VARIES = {"id", "password", "encounter_id", "administration_id", "object_id", "patient_id", "subject_id"}
ALL_COLUMNS = re.compile(r"fields\s*=\s*.__all__")
OF_AN_ENCOUNTER = ("encounter", "review", "approve", "return")
ANY_ID = re.compile(
    r"[0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|md5\$\w+\$\w+"
)


def value_of(column: models.Field[Any, Any]) -> str:
    """What someone would send who wants more than is theirs."""
    if column.name in ("state", "status"):
        return "verified" if column.name == "status" else "approved"
    if isinstance(column, models.DateTimeField):
        return "2020-01-01T00:00:00Z"
    if isinstance(column, models.DateField):
        return "2020-01-01"
    if isinstance(column, models.UUIDField):
        return "00000000-0000-4000-8000-000000000000"
    if isinstance(column, models.BooleanField):
        return "on"
    return "1" if not isinstance(column, models.CharField | models.TextField) else "chosen"


def every_column() -> dict[str, str]:
    """Every column of every table by its names, and reached through its relation."""
    sent: dict[str, str] = {}
    for model in apps.get_models():
        if model._meta.app_label in ("infusion", "payers"):
            for column in model._meta.fields:
                for name in (column.name, column.attname, f"{model._meta.model_name}__{column.name}"):
                    sent[name] = value_of(column)
                    sent[f"{model._meta.model_name}-{column.name}"] = value_of(column)
    return {**sent, "groups": "3", "user_permissions": "1", "units": "999", "modifiers": "JW", "charge": "1"}


def stored() -> dict[str, list[str]]:
    """All tables, but for what differs from one writing of the same to the next.

    What the database keeps of each writing holds nothing but these rows, under numbers that are never given twice.
    """
    columns = {model._meta.label: [each.attname for each in model._meta.fields] for model in apps.get_models()}
    return {
        label: sorted(
            ANY_ID.sub("*", repr([v for n, v in zip(columns.get(label, []), row, strict=False) if n not in VARIES]))
            for row in rows
        )
        for label, rows in everything().items()
        if label != "infusion.AuditChange"
    }


def written(client: Client, address: str, sent: dict[str, Any]) -> tuple[int, dict[str, list[str]]]:
    """The status and what is stored after a post, which is then taken back."""
    cookies = deepcopy(client.cookies)
    with transaction.atomic():
        status = client.post(address, sent).status_code
        found = stored()
        transaction.set_rollback(True)
    client.cookies = cookies
    return status, found


POSTS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "save a draft": (NURSE, "encounter", "encounter", {"act": "save", "d1-ordered": "601"}),
    "hand over": (NURSE, "encounter", "encounter", {"act": "hand-over"}),
    "save a new one": (
        NURSE, "encounter-new", "encounter-new",
        {"act": "save", "patient_reference": "N-1", "payer": "medicare", "date": "2026-03-10"},
    ),
    "approve": (BILLING, "review", "approve", {}),
    "return": (BILLING, "review", "return", {"question": "Why?"}),
    "add a payer": (ADMIN, "payers:add", "payers:add", {"name": "New Plan"}),
    "change a password": (
        NURSE, "account_change_password", "account_change_password",
        {"oldpassword": "infusion-test", "password1": "four plain words here", "password2": "four plain words here"},
    ),
}  # fmt: skip


@pytest.fixture
def sender(house: House) -> Callable[[str], tuple[Client, str, dict[str, str]]]:
    """A signed-in client, an address, and what its page would send."""

    def of(post: str) -> tuple[Client, str, dict[str, str]]:
        role, page, sent_to, chosen = POSTS[post]
        client = Client()
        client.force_login(house.people[role])
        encounter = house.draft if role == NURSE else house.with_billing

        def address(name: str) -> str:
            return reverse(
                name, args=[encounter.public_id] if name in ("encounter", "review", "approve", "return") else []
            )

        form = Page(client.get(address(page)).content).form_to(address(sent_to))
        return client, address(sent_to), {**form.fields, **chosen}

    return of


@pytest.fixture(autouse=True)
def at_one_moment(settings: Settings) -> Iterator[None]:
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.mark.parametrize("post", POSTS)
def test_more_fields_write_no_more(post: str, sender: Callable[[str], tuple[Client, str, dict[str, str]]]) -> None:
    client, address, sent = sender(post)
    before = stored()
    status, asked_for = written(client, address, sent)
    assert (status, asked_for != before) == (302, True), "the form itself writes"
    status, written_now = written(client, address, {**every_column(), **sent})
    assert status == 302
    for label, rows in asked_for.items():
        assert written_now[label] == rows, label


def test_a_view_that_takes_what_it_is_given_is_seen(
    sender: Callable[[str], tuple[Client, str, dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = encounters.written

    def careless(sheet: encounters.Sheet, *args: Any) -> Encounter:
        saved = honest(sheet, *args)
        state = sheet.request.POST.get("state", saved.state)
        Encounter.objects.filter(pk=saved.pk).update(state=state)
        return saved

    monkeypatch.setattr(encounters, "written", careless)
    with pytest.raises(AssertionError):
        test_more_fields_write_no_more("save a draft", sender)


def test_no_form_takes_all_columns() -> None:
    assert ALL_COLUMNS.search('    fields = "__all__"')
    sources = [path for app in ("infusion", "payers") for path in (Path(settings.BASE_DIR) / app).rglob("*.py")]
    assert len(sources) > 50
    assert [str(path) for path in sources if ALL_COLUMNS.search(path.read_text())] == []
