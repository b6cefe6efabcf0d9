"""A site's own drug: drafted by one admin, published by another, in force from its first day and never before."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from infusion.actions import (
    DrugEntry,
    Recorded,
    draft_drug,
    propose_drug,
    publish_drug,
    return_drug,
    save_encounter,
    take_back_drug,
    withdraw_drug_draft,
)
from infusion.audit import AuditEvent
from infusion.impact import DrugQuestion, all_changes
from infusion.judgements import outdated, policies_of_payers, refresh, rules_of
from infusion.models import Approval, Clinic, DrugProposal, DrugRow, Encounter, User
from infusion.reference_now import current_reference, looked_up_once
from infusion.selectors import review_of
from infusion.services.facts import Vial
from infusion.services.reference import shipped_reference
from payers.actions import Refused
from payers.models import Payer
from payers.whatif import DATED, HELD
from tests.web.own_drugs import COLUMNS, an_entry

pytestmark = pytest.mark.django_db
TODAY, APRIL = date(2026, 3, 10), date(2026, 4, 1)


@pytest.fixture(autouse=True)
def on_march_10() -> Iterator[None]:
    with time_machine.travel("2026-03-10T15:00:00Z", tick=False):
        yield


@pytest.fixture
def published(admin_user: User, admin2: User) -> Callable[..., DrugRow]:
    """What the site has published; its draft may follow a published row."""

    def make(entry: DrugEntry | None = None, follows: DrugRow | None = None, status: str = "unverified") -> DrugRow:
        draft = draft_drug(by=admin_user, entry=entry or an_entry(), replaces=follows)
        proposal = propose_drug(by=admin_user, row=draft, today=TODAY, status=status, reason="So it is.")
        publish_drug(by=admin2, proposal=proposal)
        return DrugRow.objects.exclude(status="draft").get(known_until=None, first_day=draft.first_day)

    return make


def days_of(code: str = "J2350") -> list[tuple[date, date | None]]:
    return [(row.first_day, row.last_day) for row in current_reference().drugs[code]]


# What is published, and when it holds ---------------------------------------------------------------------------------


def test_nothing_of_the_site_is_the_shipped_tables() -> None:
    assert current_reference() is shipped_reference()


def test_a_draft_and_a_proposal_change_nothing(admin_user: User) -> None:
    draft = draft_drug(by=admin_user, entry=an_entry())
    propose_drug(by=admin_user, row=draft, today=TODAY)
    assert current_reference() is shipped_reference()


def test_a_published_row_holds_from_its_first_day(published) -> None:
    published()
    reference = current_reference()
    before, after = (reference.drug("J2350", day) for day in (date(2026, 3, 31), APRIL))
    assert [len(drug.containers) for drug in (before, after) if drug] == [1, 2]
    assert (reference.ndc_owners["50242015086"], reference.version != shipped_reference().version) == ({"J2350"}, True)
    assert after
    assert reference.sources[after.source].title == "Label of 2026"


def test_a_change_later_shortens_what_was_published(published, admin2: User) -> None:
    first = published()
    later = published(an_entry(first_day=date(2026, 6, 1), name="later"), follows=first)
    assert days_of() == [(date(2018, 1, 1), date(2026, 3, 31)), (APRIL, date(2026, 5, 31)), (date(2026, 6, 1), None)]
    assert (later.thread, later.publisher) == (first.thread, admin2)
    assert DrugRow.objects.get(pk=first.pk).known_until is not None


def test_a_change_from_the_same_day_takes_its_place(published) -> None:
    first = published()
    published(an_entry(last_day=date(2026, 12, 31)), follows=first)
    assert days_of() == [(date(2018, 1, 1), date(2026, 3, 31)), (APRIL, date(2026, 12, 31))]


def test_what_is_withdrawn_leaves_the_shipped_row(published, admin_user: User, admin2: User) -> None:
    row = published()
    proposal = propose_drug(by=admin_user, row=row, today=TODAY, reason="Wrong.")
    assert current_reference() is not shipped_reference()
    publish_drug(by=admin2, proposal=proposal)
    assert current_reference() is shipped_reference()


def test_nothing_ends_before_it_was_known(published, admin_user: User, admin2: User) -> None:
    row = published()
    proposal = propose_drug(by=admin_user, row=row, today=TODAY, reason="Wrong.")
    with time_machine.travel("2026-03-10T14:00:00Z"), pytest.raises(Refused, match="clock shows an earlier time"):
        publish_drug(by=admin2, proposal=proposal)
    assert DrugRow.objects.get(pk=row.pk).known_until is None


def test_a_request_looks_once(published, django_assert_num_queries) -> None:
    published()
    current_reference()
    with looked_up_once(), django_assert_num_queries(1):
        assert current_reference() is current_reference()
    with django_assert_num_queries(2):
        assert current_reference() is current_reference()


def test_a_page_looks_once_and_sees_what_it_published_itself(
    published, clinic: Clinic, nurse: User, sarah: Recorded, admin_user: User, admin2: User, client: Client
) -> None:
    encounter = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    client.force_login(nurse)
    with CaptureQueriesContext(connection) as asked:
        client.get(reverse("encounter", args=[encounter.public_id]))
    assert len([each for each in asked if "infusion_drugrow" in each["sql"]]) == 1
    with looked_up_once():
        assert current_reference() is shipped_reference()
        published()
        assert current_reference() is not shipped_reference()


# What is refused ------------------------------------------------------------------------------------------------------


def test_it_takes_two(admin_user: User, admin2: User) -> None:
    draft = draft_drug(by=admin_user, entry=an_entry())
    proposal = propose_drug(by=admin2, row=draft, today=TODAY)
    for admin in (admin_user, admin2):
        with pytest.raises(Refused, match="Another admin"):
            publish_drug(by=admin, proposal=proposal)
    with pytest.raises(Refused, match="Only the admin who proposed"):
        take_back_drug(by=admin_user, proposal=proposal)
    with pytest.raises(Refused, match="Say why"):
        return_drug(by=admin_user, proposal=proposal, reason=" ")
    return_drug(by=admin_user, proposal=proposal, reason="The label says otherwise.")
    with pytest.raises(Refused, match="decided on this"):
        return_drug(by=admin_user, proposal=proposal, reason="Again.")


def test_days_that_are_past_ask_why_and_verified_asks_where(admin_user: User) -> None:
    past = draft_drug(by=admin_user, entry=an_entry(first_day=date(2026, 3, 9)))
    with pytest.raises(Refused, match="Say why") as refused:
        propose_drug(by=admin_user, row=past, today=TODAY)
    assert refused.value.field == "reason"
    today = draft_drug(by=admin_user, entry=an_entry(first_day=TODAY))
    with pytest.raises(Refused, match="address of the source"):
        propose_drug(by=admin_user, row=today, today=TODAY, status="verified")
    propose_drug(by=admin_user, row=today, today=TODAY)
    with pytest.raises(Refused, match="second admin"):
        propose_drug(by=admin_user, row=today, today=TODAY)
    with pytest.raises(Refused, match="second admin"):
        draft_drug(by=admin_user, entry=an_entry(), replaces=today)
    with pytest.raises(Refused, match="second admin"):
        withdraw_drug_draft(by=admin_user, draft=today, reason="No.")


def test_two_rows_of_one_day_are_refused_by_us_and_by_the_database(published, admin_user: User) -> None:
    row = published()
    other = draft_drug(by=admin_user, entry=an_entry(first_day=date(2027, 1, 1)))
    with pytest.raises(Refused, match="has a row of yours from April 1, 2026 without an end"):
        propose_drug(by=admin_user, row=other, today=TODAY)
    row.pk, row.public_id, row.first_day = None, uuid4(), date(2027, 1, 1)
    with pytest.raises(DatabaseError), transaction.atomic():
        row.save(force_insert=True)


@pytest.mark.parametrize(
    "change", ["code = 'J9999'", "document = '{}'", "first_day = '2020-01-01'", "known_until = NULL"]
)
def test_the_database_keeps_a_row_as_it_is(published, change: str) -> None:
    first = published()
    published(an_entry(last_day=date(2026, 12, 31)), follows=first)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE infusion_drugrow SET {change} WHERE status <> 'draft'")
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM infusion_drugrow")


def test_a_row_that_has_moved_on_is_not_changed(published, admin_user: User, admin2: User) -> None:
    row = published()
    draft = draft_drug(by=admin_user, entry=an_entry(name="mine"), replaces=row)
    proposal = propose_drug(by=admin_user, row=draft, today=TODAY)
    published(an_entry(name="theirs"), follows=row)
    with pytest.raises(Refused, match="meanwhile"):
        publish_drug(by=admin2, proposal=proposal)
    with pytest.raises(Refused, match="meanwhile"):
        draft_drug(by=admin_user, entry=an_entry(), replaces=row)


# Encounters -----------------------------------------------------------------------------------------------------------


def with_the_large_vial(sarah: Recorded, day: date) -> Recorded:
    """600 mg out of one vial of 600."""
    [given] = sarah.facts.administrations
    start = given.start and given.start.replace(year=day.year, month=day.month, day=day.day)
    stop = given.stop and given.stop.replace(year=day.year, month=day.month, day=day.day)
    given = replace(given, start=start, stop=stop, vials=(Vial(amount=Decimal(600), count=1, ndc="50242-0150-86"),))
    facts = replace(sarah.facts, administrations=(given,), date_of_service=day)
    return replace(sarah, facts=facts, date_of_service=day)


def test_a_new_size_counts_from_its_first_day_on(published, clinic: Clinic, nurse: User, sarah: Recorded) -> None:
    published()

    def codes(day: date) -> tuple[set[str], list[str]]:
        recorded = with_the_large_vial(sarah, day)
        encounter = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=recorded)
        statement = review_of(encounter).statement
        return {each.code for each in statement.findings}, [
            f"{line.code} {line.units}" for line in statement.lines if line.code == "J2350"
        ]

    with time_machine.travel("2026-04-02T15:00:00Z", tick=False):
        before, after = codes(date(2026, 3, 31)), codes(APRIL)
    assert "J2350 600" in after[1]
    assert not {each for each in after[0] if each.startswith(("ndc.", "vials."))}, after[0]
    assert {each for each in before[0] if each.startswith(("ndc.", "vials."))} - after[0], before[0]


def test_what_is_approved_stays_and_what_is_judged_is_judged_anew(visited, published, medicare, clinic: Clinic) -> None:
    approved = visited(90, medicare)
    waiting = visited(150, medicare, until="with billing")
    refresh(clinic)
    kept = Approval.objects.get(encounter=approved)
    before = (bytes(kept.statement) if isinstance(kept.statement, bytes) else kept.statement, kept.reference_version)
    digests = rules_of(clinic, policies_of_payers())
    assert not outdated(clinic, digests).exists()
    published()
    assert list(outdated(clinic, rules_of(clinic, policies_of_payers()))) == [waiting]
    kept.refresh_from_db()
    assert (kept.statement, kept.reference_version) == before


@pytest.mark.parametrize("days", [HELD, DATED])
def test_a_forecast_is_what_publishing_does(days: str, visited, published, admin_user, medicare: Payer, clinic) -> None:
    for day in (date(2026, 3, 3), date(2026, 3, 5), date(2026, 3, 9)):
        visited(90, medicare, day, until="with billing")
    entry = an_entry(billing_unit="10", first_day=date(2026, 3, 5))
    draft = draft_drug(by=admin_user, entry=entry)
    told = AuditEvent.objects.count()
    question = DrugQuestion(row=draft, clinic=clinic, since=None, until=TODAY, days=days)
    found = {
        each.public_id: [(line.code, line.now, line.then) for line in each.lines] for each in all_changes(question)
    }
    assert AuditEvent.objects.count() == told
    assert len(found) == (3 if days == HELD else 2)
    assert all(lines == [("J2350", 600, 60)] for lines in found.values())
    if days == DATED:
        published(entry)
        changed = {
            each.public_id: [
                ("J2350", 600, line.units) for line in review_of(each).statement.lines if line.code == "J2350"
            ]
            for each in Encounter.objects.filter(date_of_service__gte=date(2026, 3, 5))
        }
        assert changed == found


def test_a_withdrawal_is_forecast_too(visited, published, medicare: Payer, clinic: Clinic) -> None:
    row = published(an_entry(billing_unit="10", first_day=date(2026, 3, 5)))
    visited(90, medicare, date(2026, 3, 9), until="with billing")
    question = DrugQuestion(row=row, clinic=clinic, since=None, until=TODAY, days=DATED)
    [change] = all_changes(question)
    assert [(line.now, line.then) for line in change.lines] == [(60, 600)]
    out = io.StringIO()
    call_command("impact", row.public_id, stdout=out)
    told = json.loads(out.getvalue())
    assert (told["drug"], told["clinics"][clinic.name]["changed"]) == (str(row.public_id), 1)


# Pages ----------------------------------------------------------------------------------------------------------------


def typed(**more: str) -> dict[str, Any]:
    """The form as a browser sends it."""
    return {
        "act": "draft", "code": "j2350", "name": "ocrelizumab", "brands": "Ocrevus", "billing_unit": "1",
        "routes": ["iv_infusion"], "form": "liquid", "concentration": "30", "first_day": "2026-04-01",
        "may_be_complex": "on", "dosing": "fixed", "usual_minutes": "210", "label_notes": "One.\nTwo.",
        "source_document": "Label of 2026", "source_read_on": "2026-03-09", "c0-amount": "300", "c0-volume": "10",
        "c0-ndc": "50242-0150-01", "c1-amount": "", "c2-amount": "600", "c2-volume": "20", "c2-ndc": "50242015086",
        **more,
    }  # fmt: skip


@pytest.fixture
def admin(client: Client, admin_user: User) -> Client:
    client.force_login(admin_user)
    return client


@pytest.fixture
def second(admin2: User) -> Client:
    client = Client()
    client.force_login(admin2)
    return client


def text_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def test_from_the_form_to_the_list(admin: Client, second: Client) -> None:
    response = admin.post(reverse("drug-change", args=["J2350"]), typed())
    row = DrugRow.objects.get()
    assert response["Location"] == reverse("drug-row", args=[row.public_id])
    columns = {name: value for name, value in COLUMNS.items() if name not in ("code", "first_day")}
    expected = {**columns, "usual_minutes": 210, "label_notes": ["One.", "Two."]}
    expected["containers"] = [expected["containers"][0], {**expected["containers"][1], "ndc": "50242015086"}]
    assert row.document == expected
    assert "0 of 0 encounters change" in text_of(admin.get(reverse("drug-impact", args=[row.public_id])))

    response = admin.post(response["Location"], {"act": "send", "status": "unverified"})
    proposal = DrugProposal.objects.get()
    address = reverse("drug-proposal", args=[proposal.public_id])
    assert response["Location"] == address
    assert "Another admin has to publish it" in text_of(admin.get(address))
    assert "Another admin has to publish" in text_of(admin.post(address, {"act": "publish"}))
    assert "Published as unverified: J2350 from April 1, 2026." in text_of(
        second.post(address, {"act": "publish"}, follow=True)
    )
    assert "300, 600 mg" in text_of(admin.get(reverse("drugs"), {"on": "2026-04-01"}))
    assert "300, 600 mg" not in text_of(admin.get(reverse("drugs"), {"on": "2026-03-31"}))
    page = text_of(admin.get(reverse("drug", args=["J2350"])))
    assert "Published as unverified by" in page
    assert "600 mg in 20 mL" in page


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"code": "Ocrevus"}, "code", "characters are the most"),
        ({"code": "X1"}, "code", "a letter and four digits"),
        ({"c2-volume": "21"}, "c2-volume", "600 mg in 21 mL is not 30 mg in one mL"),
        ({"c2-ndc": "50242-0150-01"}, "c2-ndc", "stands at another size already"),
        ({"c1-ndc": "50242-0150-02"}, "c1-amount", "what the label of the container says"),
        ({"usual_minutes": "long"}, "usual_minutes", "a number from 1"),
        ({"first_day": "soon"}, "first_day", "write the day like"),
        ({"first_day": ""}, "first_day", "the first date of service"),
        ({"source_document": ""}, "source_document", "needs its source"),
        ({"source_read_on": ""}, "source_read_on", "sources change"),
        ({"form": "gas"}, "form_0", "liquid or powder"),
        ({"c0-amount": "", "c0-volume": "", "c0-ndc": "", "c2-amount": "", "c2-volume": "", "c2-ndc": ""}, "c0-amount",
         "at least one size"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_at_its_field(admin: Client, change: dict[str, str], field: str, sentence: str) -> None:
    html = admin.post(reverse("drug-add"), typed(**change)).content.decode()
    assert re.search(rf'<a href="#{field}">[^<]*{sentence}', html), re.findall(r'<a href="#[^<]*', html)
    assert f'id="{field}"' in html
    assert not DrugRow.objects.exists()


def test_a_draft_is_worded_anew_sent_back_and_withdrawn(admin: Client, second: Client) -> None:
    admin.post(reverse("drug-add"), typed(code="J0001"))
    first = DrugRow.objects.get()
    admin.post(reverse("drug-row", args=[first.public_id]), typed(code="J0001", name="another"))
    draft = DrugRow.objects.get(known_until=None)
    assert (draft.thread, draft.document["name"]) == (first.thread, "another")
    assert admin.get(reverse("drug-row", args=[first.public_id]))["Location"] == reverse("drug", args=["J0001"])
    address = reverse("drug-row", args=[draft.public_id])
    admin.post(address, {"act": "send"})
    proposal = reverse("drug-proposal", args=[DrugProposal.objects.get().public_id])
    assert "Say why" in text_of(second.post(proposal, {"act": "return", "reason": ""}))
    assert "Returned" in text_of(second.post(proposal, {"act": "return", "reason": "Which label?"}, follow=True))
    assert "say why" in text_of(admin.post(address, {"act": "withdraw", "reason": ""}))
    assert "The draft is withdrawn" in text_of(admin.post(address, {"act": "withdraw", "reason": "No."}, follow=True))
    assert "not known here" in text_of(admin.post(address, {"act": "burn"}))
    assert "not known here" in text_of(second.post(proposal, {"act": "burn"}))


def test_a_published_row_is_changed_from_a_day_and_withdrawn_by_two(admin: Client, second: Client, published) -> None:
    row = published()
    address = reverse("drug-row", args=[row.public_id])
    form = admin.get(address).context["form"]
    assert (form["name"].value(), form["first_day"].value()) == ("ocrelizumab", None), "the day is for a person to say"
    admin.post(address, typed(first_day="2026-06-01"))
    assert DrugRow.objects.get(status="draft", known_until=None).follows == row
    assert "1 draft" in text_of(admin.get(reverse("drugs")))
    admin.post(address, {"act": "withdraw", "reason": "Recalled."})
    proposal = reverse("drug-proposal", args=[DrugProposal.objects.get(kind="withdraw").public_id])
    assert "Waiting for a second admin" in text_of(admin.get(reverse("drugs")))
    assert "Withdrawn: J2350" in text_of(second.post(proposal, {"act": "publish"}, follow=True))
    assert current_reference() is shipped_reference()


def test_billing_reads_and_an_unknown_code_is_not_there(client: Client, biller: User, published) -> None:
    published()
    client.force_login(biller)
    page = client.get(reverse("drug", args=["J2350"])).content.decode()
    assert "Your own" in page
    assert reverse("drug-change", args=["J2350"]) not in page
    assert reverse("drug-add") not in client.get(reverse("drugs")).content.decode()
    assert client.get(reverse("drug", args=["J9998"])).status_code == 404


def test_a_drug_that_never_shipped_is_offered_and_gone_before_its_day(admin: Client, nurse: User, published) -> None:
    published(an_entry(code="J0777", name="novumab", brands=["Novex"]))
    client = Client()
    offered = []
    for moment in ("2026-03-31T15:00:00Z", "2026-04-01T15:00:00Z"):
        with time_machine.travel(moment, tick=False):
            client.force_login(nurse)
            offered.append("ovumab" in client.get(reverse("encounter-new")).content.decode())
    assert offered == [False, True]
    assert admin.get(reverse("drug-change", args=["J0777"])).status_code == 200
    assert admin.get(reverse("drug-change", args=["J0778"])).status_code == 404
