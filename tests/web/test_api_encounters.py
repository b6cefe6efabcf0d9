"""Encounters in and out: saved once, changed by version, handed over when nothing is missing, never approved."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from infusion.access import ADMIN
from infusion.actions import Recorded, approve, hand_to_billing, return_to_nurse
from infusion.actions.desk import correct, void
from infusion.api import keys
from infusion.api.encounters import EARLIER, HELD_UP
from infusion.audit import AuditEvent, Reading
from infusion.models import ApiAnswer, Clinic, Encounter, User
from infusion.replay import differences
from infusion.selectors import facts_of, review_of
from infusion.services.dose_limits import QUOTING
from payers.actions import Departure, publish_override
from payers.models import Payer
from tests.web.conftest import House
from tests.web.programs import Program, a_draft, a_program, error_of

pytestmark = pytest.mark.django_db
READ, WRITE = "encounters:read", "encounters:write"


@pytest.fixture
def program(admin_user: User) -> Program:
    return a_program(admin_user)


def put(program: Program, client_id: UUID, document: object, **headers: str) -> Any:
    return program.ask("PUT", f"encounters/{client_id}", document, **headers)


def current() -> Encounter:
    return Encounter.objects.get()


# Saving ---------------------------------------------------------------------------------------------------------------


def test_a_draft_is_saved_once_and_in_the_program_s_name(program: Program, sarah: Recorded, clinic: Clinic) -> None:
    client_id = uuid4()
    first, again = (put(program, client_id, a_draft(sarah)) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    stored = current()
    assert (first.json()["id"], first.json()["version"]) == (str(stored.public_id), 1)
    assert (first.headers["ETag"], first.headers["Location"]) == ('"1"', f"/api/v1/encounters/{stored.public_id}")
    assert (stored.state, stored.clinic, stored.client_id) == ("draft", clinic, client_id)
    assert (first.json()["status"], first.json()["findings"]) == ("ready", [])
    [told] = AuditEvent.objects.filter(subject="encounter")
    assert (told.action, told.by_name) == ("encounter.add", program.row.person.username)  # type: ignore[union-attr]
    assert told.by_name.startswith("Front desk system")
    assert stored.recorded_by.signature == "Front desk system, program"
    assert list(differences()) == []


def test_the_same_findings_as_the_form(program: Program, sarah: Recorded) -> None:
    document = a_draft(sarah)
    del document["administrations"][0]["stop"]
    reply = put(program, uuid4(), {**document, "hand_over": True})
    findings = [each.message for each in review_of(current()).statement.findings]
    assert [each["message"] for each in reply.json()["findings"]] == findings
    assert (reply.status_code, reply.json()["state"], reply.json()["status"]) == (201, "draft", "blocked")
    assert reply.json()["not_handed_over"] in " ".join(findings)


def test_a_complete_draft_is_handed_over_where_that_is_asked_and_never_approved(
    program: Program, sarah: Recorded
) -> None:
    client_id = uuid4()
    reply = put(program, client_id, a_draft(sarah, hand_over=True))
    assert (reply.json()["state"], reply.json()["not_handed_over"]) == ("with_billing", None)
    again = put(program, client_id, a_draft(sarah, hand_over=True))
    assert (again.status_code, again.json()) == (200, reply.json()), "a lost answer is found again"
    changed = put(program, client_id, a_draft(sarah, diagnoses=["G35.B"]), If_Match='"2"')
    assert (changed.status_code, error_of(changed)["code"]) == (409, "refused")
    assert not current().approvals.exists()


def test_a_question_of_billing_is_answered_by_a_person(program: Program, sarah: Recorded, biller: User) -> None:
    client_id = uuid4()
    put(program, client_id, a_draft(sarah, hand_over=True))
    return_to_nurse(by=biller, encounter=current(), version=2, question="Two vials?")
    reply = put(program, client_id, a_draft(sarah, hand_over=True), If_Match='"3"')
    assert reply.json()["state"] == "draft"
    assert "Two vials?" in reply.json()["not_handed_over"]


def test_a_change_names_the_version_and_a_stale_one_is_told_both(program: Program, sarah: Recorded) -> None:
    client_id = uuid4()
    put(program, client_id, a_draft(sarah))
    other = a_draft(sarah, diagnoses=["G35.B1"])
    blind = put(program, client_id, other)
    assert (blind.status_code, error_of(blind)["code"]) == (409, "stored_otherwise")
    changed = put(program, client_id, other, If_Match='"1"')
    assert (changed.status_code, changed.json()["version"], changed.headers["ETag"]) == (200, 2, '"2"')
    assert put(program, client_id, other, If_Match='"1"').json()["version"] == 2, "its answer was lost: it is no other"
    stale = put(program, client_id, a_draft(sarah, diagnoses=["G35.C1"]), If_Match="1")
    assert (stale.status_code, error_of(stale)["code"], stale.headers["ETag"]) == (412, "stale", '"2"')
    assert stale.json()["stored"]["record"]["diagnoses"] == ["G35.B1"]
    assert stale.json()["sent"]["diagnoses"] == ["G35.C1"]
    assert current().diagnoses == ["G35.B1"]
    nothing = put(program, uuid4(), other, If_Match='"1"')
    assert (nothing.status_code, nothing.json()["stored"]) == (412, None)
    assert put(program, client_id, other, If_Match="*").status_code == 422


def test_whoever_may_only_write_learns_nothing(admin_user: User, sarah: Recorded) -> None:
    writer, client_id = a_program(admin_user, [WRITE]), uuid4()
    bare = a_draft(sarah, patient={"reference": sarah.patient_reference})
    replies = [put(writer, client_id, a_draft(sarah)), put(writer, client_id, bare)]
    replies += [put(writer, client_id, {**bare, "diagnoses": []}), put(writer, client_id, bare, If_Match='"9"')]
    replies += [put(writer, uuid4(), {**bare, "patient": {"reference": sarah.patient_reference, "name": "X"}})]
    assert [reply.status_code for reply in replies] == [201, 200, 409, 200, 422]
    assert not any(sarah.patient_name in reply.content.decode() for reply in replies)
    assert writer.ask("GET", f"encounters/{client_id}").status_code == 403


def test_whoever_may_only_write_is_quoted_no_earlier_dose_and_no_question(
    program: Program, admin_user: User, biller: User, medicare: Payer, sarah: Recorded
) -> None:
    for name, value in (("minimum_days_between_doses", 150), ("maximum_units_per_period", 700)):
        departure = Departure(
            parameter=name, value=value, effective_from=date(2025, 1, 1), source_document="Bulletin",
            source_read_on=date(2026, 1, 2),
        )  # fmt: skip
        publish_override(by=None, payer=medicare, departure=departure, status="unverified")
    put(program, uuid4(), a_draft(sarah, diagnoses=[]))
    client_id, writer = uuid4(), a_program(admin_user, [WRITE], "Writer")
    told = {each["code"]: each for each in put(program, client_id, a_draft(sarah, hand_over=True)).json()["findings"]}
    asked = Encounter.objects.get(client_id=client_id)
    return_to_nurse(by=biller, encounter=asked, version=2, question="Two vials?")
    reply = put(writer, client_id, a_draft(sarah, hand_over=True), If_Match='"3"').json()
    hidden = {each["code"]: each for each in reply["findings"]}
    assert hidden.keys() == told.keys() >= set(QUOTING)
    for code, finding in told.items():
        assert hidden[code] == (finding | {"message": EARLIER} if code in QUOTING else finding)
    assert "600 of earlier doses" in told["units.above_period_limit"]["message"]
    assert (reply["state"], reply["not_handed_over"]) == ("draft", HELD_UP)


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"id": str(uuid4())}, "id"),
        ({"hand_over": "yes"}, "hand_over"),
        ({"hand_over": 1}, "hand_over"),
        ({"payer": "nobody"}, "payer"),
        ({"policy": {"ndc_required": True}}, "policy"),
        ({"state": "approved"}, "state"),
        ({"patient": {"reference": "1", "clinic": 2}}, "patient.clinic"),
    ],
)
def test_what_a_draft_cannot_hold_is_named(program: Program, sarah: Recorded, more: Any, path: str) -> None:
    reply = put(program, uuid4(), a_draft(sarah, **more))
    assert reply.status_code == 422
    assert [each["path"] for each in error_of(reply)["fields"]] == [path]
    assert not Encounter.objects.exists()
    assert put(program, uuid4(), []).status_code == 422


# The same key ---------------------------------------------------------------------------------------------------------


def test_a_key_gives_the_first_answer_again_and_holds_for_one_request(
    program: Program, sarah: Recorded, monkeypatch: Any
) -> None:
    client_id = uuid4()
    first, again = (put(program, client_id, a_draft(sarah), Idempotency_Key="k1") for _ in range(2))
    assert (again.status_code, again.content, again.headers["ETag"]) == (201, first.content, '"1"')
    assert again.headers["Location"] == first.headers["Location"]
    other = put(program, client_id, a_draft(sarah, diagnoses=[]), Idempotency_Key="k1", If_Match='"1"')
    assert (other.status_code, error_of(other)["code"]) == (422, "key_used")
    assert current().version == 1
    assert put(program, uuid4(), a_draft(sarah), Idempotency_Key="").status_code == 422
    monkeypatch.setattr(keys, "KEPT", timezone.timedelta(0))
    after = put(program, client_id, a_draft(sarah), Idempotency_Key="k1")
    assert after.status_code == 200, "a day later the key is free, and the id still makes it harmless"
    assert ApiAnswer.objects.count() == 1


def test_what_did_not_go_is_not_kept_under_its_key(program: Program, sarah: Recorded, admin_user: User) -> None:
    client_id = uuid4()
    assert put(program, client_id, a_draft(sarah, payer="nobody"), Idempotency_Key="k").status_code == 422
    assert put(program, client_id, a_draft(sarah), Idempotency_Key="k").status_code == 201
    another = a_program(admin_user, name="Another")
    assert put(another, uuid4(), a_draft(sarah), Idempotency_Key="k").status_code == 201, "a key is each program's own"


@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": "k"}])
def test_what_a_conflict_shows_is_told_with_a_key_and_without(
    program: Program, sarah: Recorded, key: dict[str, str]
) -> None:
    client_id = uuid4()
    put(program, client_id, a_draft(sarah))
    reply = put(program, client_id, a_draft(sarah, diagnoses=[]), **key)
    assert (reply.status_code, bool(reply.json()["stored"])) == (409, True)
    assert [row.subject_id for row in Reading.objects.filter(action="encounter.open")] == [str(current().public_id)]
    assert not ApiAnswer.objects.exists()


# Reading --------------------------------------------------------------------------------------------------------------


def test_what_is_read_can_be_sent_again_and_leaves_a_reading(program: Program, sarah: Recorded) -> None:
    client_id = uuid4()
    put(program, client_id, a_draft(sarah, late_reasons={"a1": "Downtime"}))
    before = facts_of(current())
    reply = program.ask("GET", f"encounters/{client_id}")
    stored = reply.json()
    assert (stored["version"], reply.headers["ETag"], stored["state"]) == (1, '"1"', "draft")
    assert stored["record"]["patient"]["name"] == sarah.patient_name
    assert stored == program.ask("GET", f"encounters/{stored['id']}").json()
    assert put(program, client_id, stored["record"]).json()["version"] == 1, "it is the same"
    assert put(program, client_id, stored["record"], If_Match='"1"').json()["version"] == 2
    assert facts_of(current()) == before
    told = Reading.objects.filter(action="encounter.open")
    assert {(each.by_name, each.subject_id) for each in told} == {
        (program.row.person.username, stored["id"])  # type: ignore[union-attr]
    }
    assert told.count() == 2


def test_a_list_goes_on_where_the_last_page_ended(program: Program, visited: Any, medicare: Any) -> None:
    for minutes, day in ((90, 9), (100, 9), (120, 10), (130, 11), (140, 12)):
        visited(minutes, medicare, date(2026, 3, day))
    whole = program.ask("GET", "encounters").json()
    assert (len(whole["encounters"]), whole["next"]) == (5, None)
    found, after = [], ""
    for _ in range(3):
        page = program.ask("GET", f"encounters?limit=2{after}").json()
        found += page["encounters"]
        after = f"&after={page['next']}"
    assert found == whole["encounters"]
    assert page["next"] is None
    assert [each["date_of_service"] for each in found] == sorted(each["date_of_service"] for each in found)
    some = program.ask("GET", "encounters?date_of_service_from=2026-03-10&date_of_service_to=2026-03-11").json()
    assert [each["date_of_service"] for each in some["encounters"]] == ["2026-03-10", "2026-03-11"]
    told = Reading.objects.filter(action="encounter.list").last()
    assert told is not None
    assert told.detail == {
        "filter": {"date_of_service_from": "2026-03-10", "date_of_service_to": "2026-03-11"}, "count": 2,
    }  # fmt: skip


def test_lines_are_those_that_were_approved_or_say_that_they_are_not(
    program: Program, sarah: Recorded, nurse: User, biller: User, admin_user: User, medicare: Payer
) -> None:
    client_id = uuid4()
    put(program, client_id, a_draft(sarah))
    address = f"encounters/{client_id}/lines"
    draft = program.ask("GET", address).json()
    assert (draft["state"], draft["bound"], draft["approval"]) == ("draft", False, None)
    assert [line["code"] for line in draft["lines"]] == ["96365", "96366", "J2350"]
    assert all(reason["source"] for line in draft["lines"] for reason in line["because"])
    encounter = hand_to_billing(by=nurse, encounter=current(), version=1)
    review = review_of(encounter)
    approval = approve(
        by=biller, encounter=encounter, version=2, content_hash=review.content_hash, acknowledged=()
    )  # fmt: skip
    half_past = Departure(
        parameter="additional_hour_minimum_minutes", value=30, effective_from=date(2026, 1, 1),
        source_document="Handbook", source_read_on=date(2026, 1, 1),
    )  # fmt: skip
    publish_override(by=admin_user, payer=medicare, departure=half_past, status="verified")
    bound = program.ask("GET", address).json()
    assert (bound["state"], bound["bound"], bound["version"]) == ("approved", True, 3)
    assert (bound["approval"]["content_hash"], bound["approval"]["by"]) == (approval.content_hash, biller.signature)
    assert bound["lines"] == draft["lines"]
    correct(by=biller, encounter=current(), version=3, reason="Wrong chart")
    anew = program.ask("GET", address).json()
    assert (anew["bound"], [line["units"] for line in anew["lines"]]) == (False, [1, 2, 600])
    assert [line["units"] for line in bound["lines"]] == [1, 1, 600]


def test_a_void_one_has_no_lines(house: House) -> None:
    void(by=house.people["billing"], encounter=house.approved, version=house.approved.version, reason="Wrong chart")
    reply = a_program(house.people["admin"]).ask("GET", f"encounters/{house.approved.public_id}/lines").json()
    assert (reply["state"], reply["lines"], reply["bound"]) == ("void", [], True)


def test_nothing_of_another_clinic_is_there(program: Program, next_door: House, sarah: Recorded) -> None:
    for each in next_door.encounters:
        for chosen in (each.public_id, each.client_id):
            for address in (f"encounters/{chosen}", f"encounters/{chosen}/lines"):
                reply = program.ask("GET", address)
                assert (reply.status_code, error_of(reply)["code"]) == (404, "not_here")
    before = next_door.draft.version
    mine = put(program, next_door.draft.client_id, a_draft(sarah))
    assert mine.status_code == 201, "an id is each clinic's own"
    next_door.draft.refresh_from_db()
    assert next_door.draft.version == before
    assert program.ask("GET", "encounters").json()["encounters"][0]["id"] == mine.json()["id"]
    assert len(program.ask("GET", "encounters").json()["encounters"]) == 1
    assert a_program(next_door.people[ADMIN], name="x").ask("GET", f"encounters/{mine.json()['id']}").status_code == 404


def places_of_texts(part: Any, *path: Any) -> list[tuple[Any, ...]]:
    """Where the texts of a document stand, the names of its fields among them."""
    if isinstance(part, dict):
        return [found for key, each in part.items() for found in [(*path, key, ""), *places_of_texts(each, *path, key)]]
    if isinstance(part, list):
        return [found for at, each in enumerate(part) for found in places_of_texts(each, *path, at)]
    return [path] if isinstance(part, str) else []


def test_a_zero_byte_in_any_text_is_refused(program: Program, sarah: Recorded) -> None:
    places = places_of_texts(a_draft(sarah))
    assert len(places) > 20
    for place in places:
        document = a_draft(sarah)
        *way, last = place
        part: Any = document
        for step in way if last != "" else way[:-1]:
            part = part[step]
        if last == "":
            part["a\x00b"] = part.pop(way[-1])
        else:
            part[last] = "a\x00b"
        reply = put(program, uuid4(), document)
        kept_nowhere = place[-1] == "id"  # a name within the document
        assert reply.status_code == (201 if kept_nowhere else 422), (place, reply.content)
