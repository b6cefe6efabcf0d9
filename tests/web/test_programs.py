"""Programs that may ask: an admin makes each its token, which is shown once, and revokes it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from infusion.access import ADMIN
from infusion.actions.programs import make_program, revoke_all_programs, token_hash
from infusion.audit import AuditChange, AuditEvent
from infusion.models import ApiClient, Clinic, User
from infusion.replay import differences
from infusion.selectors import colleagues
from tests.web.programs import Program, a_program, error_of

pytestmark = pytest.mark.django_db
PAGE = "/people/programs/"


@pytest.fixture
def admin(client: Client, admin_user: User) -> Client:
    client.force_login(admin_user)
    return client


def sent(**more: Any) -> dict[str, Any]:
    return {"public_id": str(uuid4()), "name": "Front desk", "scopes": ["calculate", "lines:read"], **more}


def test_a_token_is_shown_once_and_only_its_digest_is_kept(admin: Client, admin_user: User) -> None:
    form = sent()
    reply = admin.post(PAGE, form)
    row = ApiClient.objects.get()
    token = reply.context["token"]
    assert token.startswith("iu_")
    assert len(token) == len("iu_") + 43  # 32 random bytes
    assert token in reply.content.decode()
    assert (row.token_hash, row.scopes, row.clinic) == (token_hash(token), form["scopes"], admin_user.clinic)
    assert token not in admin.get(PAGE).content.decode()
    again = admin.post(PAGE, form, follow=True)
    assert ApiClient.objects.count() == 1
    assert "was made by the same form before" in again.content.decode()
    told = AuditEvent.objects.filter(subject="program").get()
    assert (told.action, told.by, told.before) == ("program.make", admin_user, None)
    written = " ".join(AuditChange.objects.filter(relation="infusion_apiclient").values_list("written", flat=True))
    assert row.token_hash not in told.content() + written
    assert list(differences()) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": ""}, "enter what it is"),
        ({"name": "x" * 61}, "60 letters at most"),
        ({"name": "a\u200bb"}, "cannot be seen"),
        ({"scopes": []}, "tick what it needs"),
        ({"scopes": ["everything"]}, "choose of the list"),
    ],
)
def test_what_is_wrong_is_said_at_the_field(admin: Client, wrong: dict[str, Any], words: str) -> None:
    page = admin.post(PAGE, sent(**wrong)).content.decode()
    assert words in page
    assert not ApiClient.objects.exists()


def test_a_revoked_token_opens_nothing_from_the_next_request_on(admin: Client, admin_user: User) -> None:
    program = a_program(admin_user)
    assert program.ask("GET", "encounters").status_code == 200
    address = f"{PAGE}{program.row.public_id}/revoke/"  # type: ignore[union-attr]
    assert admin.post(address, {"reason": ""}).status_code == 200, "a reason is asked for"
    assert program.ask("GET", "encounters").status_code == 200
    assert admin.post(address, {"reason": "Lost"}).status_code == 302
    reply = program.ask("GET", "encounters")
    assert (reply.status_code, error_of(reply)["code"]) == (401, "no_token")
    told = AuditEvent.objects.filter(action="program.revoke").get()
    assert (told.by, told.reason) == (admin_user, "Lost")
    admin.post(address, {"reason": "Again"})
    assert AuditEvent.objects.filter(action="program.revoke").count() == 1
    assert list(differences()) == []


def test_a_restored_backup_brings_no_token_back(admin_user: User) -> None:
    program = a_program(admin_user)
    revoke_all_programs(reason="A backup was restored.")
    assert program.ask("GET", "encounters").status_code == 401


def test_nobody_signs_in_as_a_program_and_it_stands_in_no_list_of_people(
    admin: Client, admin_user: User, clinic: Clinic
) -> None:
    person = a_program(admin_user).row.person  # type: ignore[union-attr]
    assert not person.is_active
    assert not person.has_usable_password()
    assert person not in colleagues(clinic)
    assert "Front desk system" not in admin.get("/people/").content.decode()
    root = User.objects.create_superuser("root", password="a-long-password-of-mine")
    admin.force_login(root)
    assert admin.get(f"/admin/infusion/user/{person.pk}/change/").status_code == 302, "the superuser's list has none"


def test_an_admin_sees_the_programs_of_the_own_clinic_alone(admin: Client, person: Any, other_clinic: Clinic) -> None:
    theirs = a_program(person("admin3", ADMIN, other_clinic), name="Hillside feed").row
    assert "Hillside feed" not in admin.get(PAGE).content.decode()
    assert admin.post(f"{PAGE}{theirs.public_id}/revoke/", {"reason": "x"}).status_code == 404  # type: ignore[union-attr]


def test_a_program_of_nowhere_is_refused(admin_user: User) -> None:
    assert Program("").ask("GET", "encounters").status_code == 401
    with pytest.raises(ValueError, match="Choose what"):
        make_program(by=admin_user, public_id=uuid4(), name="x", scopes=["everything"])
