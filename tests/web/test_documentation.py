"""The documentation: what counts as done, what a clinic asks for, what is late, and that it keeps nothing back."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.test import Client

from infusion import documentation
from infusion.actions import Recorded, approve, document_item, hand_to_billing, save_encounter
from infusion.audit import AuditEvent
from infusion.documentation import ITEMS, checklist_of
from infusion.models import Clinic, Encounter, User
from infusion.selectors import facts_of, review_of
from infusion.services import facts
from tests.web.test_encounter_form import NEW, address, fields, sent

ANSWERS = {"order": "Dr. Imai, March 1", "access_site": "left forearm", "reaction": "none", "observation": "1 hour"}


@pytest.fixture
def stored(nurse: User, clinic: Clinic, sarah: Recorded) -> Encounter:
    return save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)


@pytest.fixture
def chairside(client: Client, nurse: User, medicare: Any) -> Client:
    client.force_login(nurse)
    return client


def states(encounter: Encounter) -> dict[str, str]:
    return {row.item.key: row.state for row in checklist_of(encounter, facts_of(encounter)).rows}


def with_vials(recorded: Recorded, *vials: facts.Vial) -> Recorded:
    (given,) = recorded.facts.administrations
    return replace(recorded, facts=replace(recorded.facts, administrations=(replace(given, vials=vials),)))


def test_what_can_be_read_from_the_record_is_not_asked_again(stored: Encounter) -> None:
    assert states(stored) == {
        "order": "To do", "given_by": "Done", "access_site": "To do", "vials": "To do", "diagnosis": "Done",
        "hepatitis_b": "To do", "reaction": "To do", "observation": "To do",
    }  # fmt: skip
    assert checklist_of(stored, facts_of(stored)).count == "2 of 8 documented"


def test_someone_without_credentials_is_not_enough(stored: Encounter) -> None:
    stored.recorded_by.credentials = ""
    assert states(stored)["given_by"] == "To do"


@pytest.mark.parametrize(
    ("ndc", "lot", "state"), [("50242015001", "H1", "Done"), ("50242015001", "", "To do"), ("", "H1", "To do")]
)
def test_every_vial_needs_its_ndc_and_its_lot(
    ndc: str, lot: str, state: str, nurse: User, clinic: Clinic, sarah: Recorded
) -> None:
    whole = facts.Vial(amount=Decimal(300), ndc="50242015001", lot="H0")
    recorded = with_vials(sarah, whole, facts.Vial(amount=Decimal(300), ndc=ndc, lot=lot))
    assert states(save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=recorded))["vials"] == state


def test_hepatitis_b_is_asked_on_the_first_ocrelizumab_alone(nurse: User, clinic: Clinic, sarah: Recorded) -> None:
    def saved(recorded: Recorded) -> Encounter:
        return save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=recorded)

    def on(day: date, recorded: Recorded = sarah) -> Recorded:
        moved = replace(recorded.facts, date_of_service=day)
        return replace(recorded, date_of_service=day, facts=moved)

    first = saved(sarah)
    assert "hepatitis_b" in states(first)
    later = saved(on(sarah.date_of_service + timedelta(days=180)))
    assert "hepatitis_b" not in states(later)
    assert "hepatitis_b" in states(first), "a later one does not make it the second"
    someone_else = saved(on(date(2026, 9, 10), replace(sarah, patient_reference="MRN-2", patient_name="")))
    assert "hepatitis_b" in states(someone_else)
    (given,) = sarah.facts.administrations
    other = replace(sarah, facts=replace(sarah.facts, administrations=(replace(given, drug="J1745"),)))
    assert "hepatitis_b" not in states(saved(replace(other, patient_reference="MRN-3", patient_name="")))


def test_a_clinic_asks_for_what_it_chose(clinic: Clinic, stored: Encounter) -> None:
    clinic.checklist = ["reaction", "diagnosis", "gone"]
    stored.clinic = clinic
    assert states(stored) == {"diagnosis": "Done", "reaction": "To do"}


def test_the_superuser_chooses_by_boxes(client: Client, clinic: Clinic) -> None:
    client.force_login(User.objects.create_superuser("root", password="a-long-password-of-mine"))
    page = client.get(f"/admin/infusion/clinic/{clinic.pk}/change/").content.decode()
    assert page.count('type="checkbox" name="checklist"') == len(ITEMS)
    sent_on = {"name": clinic.name, "time_zone": clinic.time_zone, "place_of_service": "11", "setting": "office"}
    sent_on["shown"] = page.partition('name="shown" value="')[2].partition('"')[0]
    client.post(f"/admin/infusion/clinic/{clinic.pk}/change/", {**sent_on, "checklist": ["reaction", "order"]})
    clinic.refresh_from_db()
    assert clinic.checklist == ["reaction", "order"]
    assert AuditEvent.objects.order_by("sequence").last().after["checklist"] == ["reaction", "order"]  # type: ignore[union-attr,index]


def test_the_form_saves_answers_in_one_write(chairside: Client, stored: Encounter) -> None:
    before = AuditEvent.objects.count()
    typed = {f"doc_{item}": text for item, text in ANSWERS.items()}
    chairside.post(address(stored), {**sent(version=1), **typed, "doc_vials": "made up", "doc_strange": "x"})
    stored.refresh_from_db()
    assert stored.documentation == ANSWERS
    assert AuditEvent.objects.count() == before + 1
    page = chairside.get(address(stored))
    assert {name: fields(page)[name] for name in typed} == typed
    assert "6 of 8 documented" in page.content.decode()
    chairside.post(address(stored), {**sent(version=2), **typed, "doc_reaction": ""})
    stored.refresh_from_db()
    assert "reaction" not in stored.documentation


def test_an_answer_that_the_clinic_no_longer_asks_for_stays(chairside: Client, stored: Encounter) -> None:
    document_item(by=stored.recorded_by, encounter=stored, item="access_site", text="left forearm")
    Clinic.objects.update(checklist=["reaction"])
    chairside.post(address(stored), {**sent(version=2), "doc_reaction": "none"})
    stored.refresh_from_db()
    assert stored.documentation == {"access_site": "left forearm", "reaction": "none"}


def test_two_people_see_each_others_answers(chairside: Client, nurse: User, stored: Encounter) -> None:
    document_item(by=nurse, encounter=stored, item="reaction", text="flushing, slowed down")
    reply = chairside.post(address(stored), {**sent(version=1), "doc_reaction": "none"})
    assert reply.status_code == 409
    text = reply.content.decode()
    assert "flushing, slowed down" in text
    assert "Use theirs: Reaction, and what was done" in text


def test_what_is_missing_is_told_at_hand_over_and_keeps_nothing_back(chairside: Client, biller: User) -> None:
    reply = chairside.post(NEW, {**sent("hand-over"), "doc_reaction": "none"}, follow=True)
    text = reply.content.decode()
    assert "Handed to billing." in text
    assert "Not documented: order on file, access site, NDC and lot of each vial, hepatitis B screening" in text
    assert "reaction" not in text.partition("Not documented:")[2].partition(".")[0]
    encounter = Encounter.objects.get()
    assert encounter.state == Encounter.State.WITH_BILLING
    desk = Client()
    desk.force_login(biller)
    page = desk.get(f"/encounters/{encounter.public_id}/review/").content.decode()
    assert "3 of 8 documented" in page
    lines = review_of(encounter).statement.lines
    assert [line.units for line in lines] == [1, 1, 600]
    approve(
        by=biller, encounter=encounter, version=encounter.version, acknowledged=(),
        content_hash=review_of(encounter).content_hash,
    )  # fmt: skip


def test_nothing_is_told_when_all_is_there(nurse: User, clinic: Clinic, sarah: Recorded, chairside: Client) -> None:
    vial = facts.Vial(amount=Decimal(300), count=2, ndc="50242015001", lot="H0417")
    whole = replace(with_vials(sarah, vial), documentation={**ANSWERS, "hepatitis_b": "negative, 2/20"})
    stored = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=whole)
    assert checklist_of(stored, facts_of(stored)).missing == []
    opened = fields(chairside.get(address(stored)))
    reply = chairside.post(address(stored), {**opened, "act": "hand-over"}, follow=True)
    assert "Handed to billing." in reply.content.decode()
    assert "Not documented" not in reply.content.decode()


def test_every_item_says_what_it_means() -> None:
    assert all(item.label and item.meaning.endswith(".") for item in documentation.ITEMS.values())


# Late entries ---------------------------------------------------------------------------------------------------------

NOON, EVENING = "2026-03-10T16:00:00Z", "2026-03-10T22:00:00Z"
QUESTION = "More than two hours late: say why"


def live(client: Client, **typed: str) -> str:
    headers = {"HX-Request": "true", "HX-Target": "preview-body"}
    return client.post(NEW, sent("", **typed), headers=headers).content.decode()


def test_why_late_is_asked_by_the_newest_time(chairside: Client, nurse: User) -> None:
    with time_machine.travel(NOON):
        chairside.force_login(nurse)
        assert QUESTION not in live(chairside), "typed right after a stop, a long infusion is not late"
    with time_machine.travel(EVENING):
        chairside.force_login(nurse)
        assert QUESTION in live(chairside)


@time_machine.travel(EVENING)
def test_a_late_save_is_kept_and_asks_once(chairside: Client, nurse: User, biller: User) -> None:
    chairside.force_login(nurse)
    text = chairside.post(NEW, sent(), follow=True).content.decode()
    encounter = Encounter.objects.get()
    assert "Why was this entered late?" in text
    assert QUESTION in text
    again = chairside.get(address(encounter))
    assert "Why was this entered late?" not in again.content.decode(), "a stored time that did not change asks nothing"
    assert QUESTION not in again.content.decode()
    chairside.post(address(encounter), {**fields(again), "d1-late_reason": "Downtime", "act": "save"})
    (row,) = encounter.administrations.all()
    assert row.late_reason == "Downtime"
    desk = Client()
    desk.force_login(biller)
    for page in ("review", "sheet"):
        reply = desk.get(f"/encounters/{encounter.public_id}/{page}/").content.decode()
        assert "March 10, 2026 at 18:00, Downtime" in reply, page
    chairside.post(address(encounter), {**fields(chairside.get(address(encounter))), "act": "hand-over"})
    assert "Downtime" in chairside.get(address(encounter)).content.decode()


@time_machine.travel(EVENING)
def test_a_reason_given_at_once_is_not_asked_for(chairside: Client, nurse: User) -> None:
    chairside.force_login(nurse)
    text = chairside.post(NEW, sent(d1__late_reason="Forgotten"), follow=True).content.decode()
    assert "Why was this entered late?" not in text
    assert Encounter.objects.get().administrations.get().late_reason == "Forgotten"


@time_machine.travel(EVENING)
def test_late_without_a_reason_is_named_at_hand_over(chairside: Client, nurse: User) -> None:
    chairside.force_login(nurse)
    text = chairside.post(NEW, sent("hand-over"), follow=True).content.decode()
    assert "Entered late without a reason: Drug 1." in text


def test_an_old_record_saved_unchanged_is_never_asked(chairside: Client, stored: Encounter) -> None:
    opened = fields(chairside.get(address(stored)))
    text = chairside.post(address(stored), {**opened, "act": "save"}, follow=True).content.decode()
    assert "Why was this entered late?" not in text
    assert hand_to_billing(by=stored.recorded_by, encounter=stored, version=2).administrations.get().late_reason == ""
