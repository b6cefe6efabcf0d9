"""A sealed code for an admin who has lost everything: one use, and an alarm until somebody answers for it."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from infusion.audit import AuditEvent
from infusion.models import EmergencyCode, User
from tests.web.test_second_factor import code_of, with_app

PAGE, NEW_PASSWORD = "/accounts/emergency/", "four plain words here"
ALARM = b"signed in with an emergency code"


def make(username: str = "admin", **options: Any) -> str:
    out = StringIO()
    call_command("break_glass", person=username, reason="Both telephones drowned", stdout=out, **options)
    found = re.search(r"^ {4}([A-Z2-9-]{24})$", out.getvalue(), re.MULTILINE)
    assert found, out.getvalue()
    return found[1]


def use(client: Client, code: str, username: str = "admin", **typed: str) -> Any:
    passwords = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, **typed}
    return client.post(PAGE, {"username": username, "code": code, **passwords})


def test_it_opens_once_and_takes_what_was_lost(client: Client, admin_user: User, settings: Any) -> None:
    settings.SECOND_FACTOR_NEEDED = True
    secret, code = with_app(admin_user), make()
    assert use(client, code.lower().replace("-", " ")).headers["Location"] == "/accounts/you/"
    assert client.get("/encounters/").headers["Location"] == "/accounts/you/", "a new second factor comes first"
    admin_user.refresh_from_db()
    assert admin_user.check_password(NEW_PASSWORD)
    again = Client()
    assert b"do not belong together" in use(again, code).content
    again.post("/accounts/login/", {"login": "admin", "password": NEW_PASSWORD})
    assert again.session.get("_auth_user_id") == str(admin_user.pk), "without a second step"
    assert secret
    assert code_of(secret)
    told = {event.action: event for event in AuditEvent.objects.order_by("sequence")}
    assert told["break_glass.make"].reason == told["break_glass.use"].reason == "Both telephones drowned"
    assert told["break_glass.use"].by == admin_user
    texts = "".join(event.content() for event in AuditEvent.objects.all()) + EmergencyCode.objects.get().code
    assert code not in texts
    assert code.replace("-", "") not in texts


def test_it_is_an_alarm_to_every_admin_until_one_answers(
    client: Client, admin_user: User, admin2: User, biller: User, person: Any, other_clinic: Any
) -> None:
    code = make()
    use(client, code)
    other = person("admin3", "admin", other_clinic)
    root = User.objects.create_superuser("root", password=NEW_PASSWORD)
    sees = {}
    for user, page in ((admin2, "/encounters/"), (root, "/admin/"), (biller, "/encounters/"), (other, "/encounters/")):
        seen = Client()
        seen.force_login(user)
        sees[user.username] = ALARM in seen.get(page).content
    assert sees == {"admin2": True, "root": True, "billing": False, "admin3": False}
    address = f"/people/alarms/{EmergencyCode.objects.get().public_id}/"
    assert b"Another administrator answers it" in client.post(address, {"reason": "It was me"}).content
    second = Client()
    second.force_login(admin2)
    assert b"What happened: say why" in second.post(address, {"reason": ""}).content
    assert ALARM in second.get("/reports/").content
    assert second.post(address, {"reason": "Rang her: it was her"}).status_code == 302
    assert ALARM not in second.get("/reports/").content
    told = AuditEvent.objects.get(action="break_glass.answer")
    assert (told.by, told.reason, told.subject_id) == (admin2, "Rang her: it was her", str(admin_user.pk))


def test_where_there_is_no_other_the_one_admin_answers(client: Client, admin_user: User) -> None:
    use(client, make())
    address = f"/people/alarms/{EmergencyCode.objects.get().public_id}/"
    assert client.post(address, {"reason": "Telephone lost"}).status_code == 302


def test_wrong_passwords_of_a_stranger_do_not_shut_it(client: Client, admin_user: User, settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "shut"}}
    cache.clear()
    for _ in range(6):
        page = Client().post("/accounts/login/", {"login": "admin", "password": "wrong"})
    assert b"Too many" in page.content
    assert use(client, make()).status_code == 302
    for _ in range(31):
        page = use(Client(), "A" * 20)
    assert b"Too many" in page.content
    cache.clear()


@pytest.mark.parametrize("what", ["wrong", "ended", "older", "someone else", "switched off"])
def test_what_does_not_open(what: str, client: Client, admin_user: User, admin2: User) -> None:
    code = make(hours=1)
    if what == "older":
        make()
    if what == "switched off":
        User.objects.filter(pk=admin_user.pk).update(is_active=False)
    days = 1 if what == "ended" else 0
    with time_machine.travel(timezone.now() + timedelta(days=days)):
        reply = use(client, "A" * 20 if what == "wrong" else code, "admin2" if what == "someone else" else "admin")
    assert b"do not belong together" in reply.content
    assert "_auth_user_id" not in client.session
    assert AuditEvent.objects.filter(action="sign_in.refused").exists()
    assert not EmergencyCode.objects.exclude(used_at=None).exists()


def test_mistakes_are_told_at_their_fields(client: Client, admin_user: User) -> None:
    code = make()
    page = use(client, "", "", password1="short", password2="other").content.decode()
    for told in ("Username: enter", "Emergency code: enter", "at least 12 characters"):
        assert told in page
    page = use(client, code, password2="four plain words her").content.decode()
    assert "differs from the one above" in page
    assert f'value="{code}"' in page, "what was typed is still there"


@pytest.mark.parametrize(
    ("username", "reason", "hours", "told"),
    [
        ("nobody", "Why", 24, "nobody signs in as nobody"), ("nurse", "Why", 24, "is no active admin"),
        ("admin", " ", 24, "--reason"), ("admin", "Why", 0, "--hours"), ("admin", "x" * 301, 1, "--reason"),
    ],
)  # fmt: skip
def test_the_command_says_what_it_cannot_do(
    username: str, reason: str, hours: int, told: str, admin_user: User, nurse: User
) -> None:
    with pytest.raises(CommandError, match=told):
        call_command("break_glass", person=username, reason=reason, hours=hours)
    assert not EmergencyCode.objects.exists()
