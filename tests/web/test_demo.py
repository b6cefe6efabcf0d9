"""The payers that ship, the demo, and encounters calculated under a kept payer's rules."""

import json
from collections.abc import Callable
from datetime import date
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.test import RequestFactory
from django.utils import timezone
from pytest_django import Settings

from infusion.actions import make_batch, write_file
from infusion.answers import answer
from infusion.audit import AuditEvent
from infusion.batches import ready
from infusion.chair_board import board_of
from infusion.models import Approval, Clinic, Encounter, User
from infusion.selectors import review_of
from payers.actions import Departure, publish_override, withdraw_override
from payers.models import Payer, PolicyOverride

SHIPPED = {"medicare", "medicaid", "unitedhealthcare", "anthem-bcbs", "cigna", "aetna", "bcbs"}


def run(*command: str, **options: Any) -> str:
    out = StringIO()
    call_command(*command, stdout=out, **options)
    return out.getvalue()


def statuses() -> dict[str, set[str]]:
    """Each payer's statuses of what is known now."""
    found: dict[str, set[str]] = {}
    for row in PolicyOverride.objects.filter(known_until=None).select_related("payer"):
        found.setdefault(row.payer.slug, set()).add(row.status)
    return found


def test_what_nobody_verified_arrives_as_a_draft(db: None) -> None:
    assert "Added 7 payers" in run("load_payers")
    assert statuses() == {slug: {"draft"} for slug in SHIPPED - {"medicare"}} | {"medicare": {"verified"}}
    assert AuditEvent.objects.count() == Payer.objects.count() + PolicyOverride.objects.count()


def test_adopting_puts_them_in_force_as_unverified(db: None) -> None:
    run("load_payers", "--adopt")
    assert statuses() == {slug: {"unverified"} for slug in SHIPPED - {"medicare"}} | {"medicare": {"verified"}}


def test_loading_again_changes_nothing_that_an_admin_did(admin_user: User) -> None:
    run("load_payers", "--adopt")
    rule = PolicyOverride.objects.get(payer__slug="anthem-bcbs", parameter="discarded_drug")
    withdraw_override(by=admin_user, override=rule, reason="Their handbook says otherwise.")
    before = AuditEvent.objects.count(), sorted(PolicyOverride.objects.values_list("pk", "known_until"))
    assert "Added 0 payers and 0 rules" in run("load_payers", "--adopt")
    assert (AuditEvent.objects.count(), sorted(PolicyOverride.objects.values_list("pk", "known_until"))) == before


def test_a_rule_that_ships_anew_is_added(admin_user: User) -> None:
    run("load_payers")
    with_one_less = PolicyOverride.objects.count()
    Payer.objects.filter(slug="cigna").update(slug="cigna-old", name="Cigna before")
    assert "Added 1 payers and 3 rules" in run("load_payers")
    assert PolicyOverride.objects.count() == with_one_less + 3


def test_the_demo_is_never_added_to_production(db: None, settings: Settings) -> None:
    settings.MODE = "production"
    with pytest.raises(CommandError, match="never added to a production installation"):
        run("demo")
    assert not User.objects.exists()
    assert not Payer.objects.exists()


@pytest.fixture
def demo(db: None) -> str:
    return run("demo")


def test_the_demo_has_people_who_can_sign_in(demo: str, rf: RequestFactory) -> None:
    for username, role in {"nurse": "nurse", "billing": "billing", "admin": "admin", "admin2": "admin"}.items():
        user = authenticate(rf.get("/"), username=username, password="infusion-demo")
        assert isinstance(user, User)
        assert list(user.groups.values_list("name", flat=True)) == [role]
        assert user.clinic is not None
        assert user.clinic.name == "Riverside Infusion Center"
        assert not user.is_superuser
    assert User.objects.get(username="nurse").signature == "L. Ames, RN"


def test_the_demo_shows_every_state(demo: str) -> None:
    riverside = Encounter.objects.filter(clinic__name="Riverside Infusion Center")
    assert {state: riverside.filter(state=state).count() for state in ("draft", "with_billing", "approved")} == {
        "draft": 7, "with_billing": 4, "approved": 5,
    }  # fmt: skip
    assert riverside.filter(state="draft", questions__answered_at=None, questions__isnull=False).count() == 1
    assert Approval.objects.count() == 6
    blocked = [each for each in riverside.filter(state="draft") if review_of(each).statement.errors]
    assert [each.patient.reference for each in blocked if each.chair is None] == ["RIC-2041"]
    assert Clinic.objects.count() == 2
    assert Encounter.objects.filter(clinic__name="Hillside Infusion").count() == 3


def test_the_demos_chairs_are_in_use(db: None) -> None:
    with time_machine.travel("2026-03-10T16:00:00Z", tick=False):
        run("demo")
        board = board_of(Clinic.objects.get(name="Riverside Infusion Center"), timezone.now())
    at_chairs = [(tile.chair, tile.sign.kind) for tile in board.tiles if tile.chair]
    assert at_chairs == [("1", "run"), ("2", "pause"), ("3", "run"), ("4", "warn"), ("5", "late"), ("6", "free")]


def test_the_demo_shows_what_an_unverified_rule_does(demo: str) -> None:
    encounter = Encounter.objects.get(payer__slug="anthem-bcbs")
    statement = review_of(encounter).statement
    assert [(line.code, line.units) for line in statement.lines if line.kind == "drug"] == [("J2350", 580)]
    assert any("nobody has verified" in finding.message for finding in statement.warnings)


def test_the_thirty_minute_plan_counts_another_hour_sooner(demo: str) -> None:
    row = PolicyOverride.objects.get(payer__slug="30-minute-plan", known_until=None)
    assert (row.parameter, row.value, row.status) == ("additional_hour_minimum_minutes", 30, "unverified")
    assert row.source_document == "Demo plan handbook"
    assert row.author != row.publisher


def test_the_demos_claims_can_leave(demo: str) -> None:
    for biller, format in (("billing", "837p"), ("billing2", "837i")):
        by = User.objects.get(username=biller)
        assert by.clinic is not None
        chosen = list({each.encounter.pk: each.encounter for each in ready(by.clinic)}.values())
        batch = make_batch(by=by, clinic=by.clinic, client_id=uuid4(), encounters=chosen)
        assert bytes(write_file(by=by, batch=batch, format=format).content).startswith(b"ISA*")


def test_a_second_start_adds_nothing(demo: str, django_assert_num_queries: Callable[..., Any]) -> None:
    before = AuditEvent.objects.count()
    with django_assert_num_queries(5):  # a savepoint, a look at encounters, orders and fees, and its release
        assert "0 encounters were added" in run("demo")
    assert AuditEvent.objects.count() == before


# calculate ------------------------------------------------------------------------------------------------------------

SARAH = {
    "id": "sarah", "date_of_service": "2026-03-10", "setting": "office",
    "administrations": [
        {
            "route": "iv_infusion", "drug": "J2350", "start": "2026-03-10T09:00", "stop": "2026-03-10T11:30",
            "ordered": 600, "administered": 600, "vials": [{"amount": 300, "count": 2}],
        }
    ],
}  # fmt: skip


def claimed(**fields: Any) -> dict[str, int]:
    document = answer(json.dumps({**SARAH, **fields}).encode())
    assert document["status"] == "ready", document
    return {line["code"]: line["units"] for line in document["lines"]}  # type: ignore[attr-defined]


def test_a_payer_is_found_by_its_name_in_the_address(demo: str) -> None:
    assert claimed()["96366"] == 1
    assert claimed(payer="medicare")["96366"] == 1
    assert claimed(payer="30-minute-plan")["96366"] == 2
    assert claimed(payer="30-minute-plan", policy={"additional_hour_minimum_minutes": 31})["96366"] == 1


def test_a_draft_decides_nothing(medicare: Payer) -> None:
    publish_override(
        by=None, payer=medicare, status="unverified",
        departure=Departure(
            parameter="additional_hour_minimum_minutes", value=30, effective_from=date(2026, 4, 1),
            source_document="Handbook", source_read_on=date(2026, 1, 1),
        ),
    )  # fmt: skip
    assert claimed(payer="medicare")["96366"] == 1, "its first day is still to come"


def test_a_payer_that_is_not_there_is_said(db: None) -> None:
    document = answer(json.dumps({**SARAH, "payer": "nobody"}).encode())
    assert document["status"] == "invalid"
    [finding] = document["findings"]  # type: ignore[misc]
    assert (finding["field"], "There is no payer nobody here." in finding["message"]) == ("payer", True)


def test_without_a_database_only_a_payer_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No database is open to this test, so that the national baseline is shown to need none."""
    assert claimed()["96366"] == 1

    def fail(**fields: Any) -> None:
        raise DatabaseError("no such table: payers_payer")

    monkeypatch.setattr(Payer.objects, "filter", fail)
    document = answer(json.dumps({**SARAH, "payer": "medicare"}).encode())
    assert document["status"] == "invalid"
    [finding] = document["findings"]  # type: ignore[misc]
    assert finding["field"] == "payer"
    assert "no database" in finding["message"]


def test_one_payer_is_looked_up_once(demo: str, django_assert_num_queries: Callable[..., Any]) -> None:
    line = json.dumps({**SARAH, "payer": "medicare"}).encode()
    known: dict[str, Any] = {}
    with django_assert_num_queries(2):
        answers = [answer(line, known) for _ in range(5)]
    assert all(document["status"] == "ready" for document in answers)
