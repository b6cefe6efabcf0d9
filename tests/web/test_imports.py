"""Bringing in encounters: a look that saves none, a confirmation, drafts, and a file that is known again."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_tasks_db.management.commands import db_worker

from infusion import chain, jobs, replay
from infusion.actions.imports import OTHERWISE_NOW, SAVED_AT_ONCE
from infusion.audit import AuditEvent
from infusion.models import Arrival, Clinic, Encounter, Import, Job, User
from infusion.selectors import review_of
from payers.models import Payer
from tests.counting import worker
from tests.exchange.arriving import EXAMPLES

pytestmark = pytest.mark.django_db

CSV = (EXAMPLES / "encounters.csv").read_text()
HEAD, *ROWS = CSV.splitlines()


@pytest.fixture(autouse=True)
def one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that is one transaction has one connection, which its worker leaves open."""
    monkeypatch.setattr(jobs, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(db_worker, "close_old_connections", lambda: None)


@pytest.fixture
def billing(client: Client, biller: User) -> Client:
    client.force_login(biller)
    return client


def look(client: Client, content: str, name: str = "may.csv", **more: Any) -> Any:
    file = BytesIO(content.encode())
    file.name = name
    return client.post(reverse("imports"), {"file": file, **more}, follow=True)


def confirm(client: Client, **more: Any) -> Any:
    latest = Import.objects.latest("read_at")
    return client.post(reverse("import-confirm", args=[latest.public_id]), more, follow=True)


def text_of(reply: Any) -> str:
    return " ".join(reply.content.decode().split())


def with_patient(row: str, number: int) -> str:
    return row.replace("MRN-1002", f"MRN-{number}").replace("V-101", f"V-{number}").replace("America/Chicago", "")


def test_a_look_saves_no_encounter_and_says_what_would_come(billing: Client, medicare: Payer) -> None:
    reply = look(billing, CSV)
    assert Encounter.objects.count() == 0
    assert "Look before it is brought in" in text_of(reply)
    assert "<dt>ready</dt><dd>2</dd>" in text_of(reply)
    assert "Columns that are not read: ward." in text_of(reply)
    assert "Confirm: bring in 2 encounters" in text_of(reply)


def test_confirmed_it_is_drafts_with_the_units_of_the_same_encounter_typed(
    billing: Client, biller: User, medicare: Payer
) -> None:
    look(billing, CSV)
    reply = confirm(billing)
    assert "Waiting to begin: 0 of 2" in text_of(reply)
    worker().run()
    assert (Job.objects.get().state, Encounter.objects.count()) == ("done", 2)
    first = Encounter.objects.get(patient__reference="MRN-1001")
    assert (first.state, first.recorded_by, first.payer) == ("draft", biller, medicare)
    lines = [(each.code, each.units) for each in review_of(first).statement.lines]
    # 165 minutes less a pause of 15 are 150: one full hour past the first, and 30 left over, which is not 31.
    assert lines == [("96365", 1), ("96366", 1), ("96375", 1), ("J2350", 600), ("J2919", 25)]
    source = AuditEvent.objects.get(action="encounter.add", subject_id=str(first.public_id)).after["source"]
    assert (source["file"], source["row"]) == ("may.csv", 2)
    page = text_of(billing.get(reverse("import", args=[Import.objects.get().public_id])))
    assert reverse("encounter", args=[first.public_id]) in page
    assert "<dt>brought in</dt><dd>2</dd>" in page
    assert list(replay.differences()) == []
    assert chain.check().flaws == []


def test_what_cannot_be_read_is_named_and_stays_out_if_the_person_agrees(billing: Client, medicare: Payer) -> None:
    faulty = "\n".join((HEAD, *ROWS[:2], ROWS[2].replace("2026-03-10 09:00", "soon").replace("medicare", "nobody")))
    page = text_of(look(billing, faulty))
    assert "<dt>to mend</dt><dd>1</dd>" in page
    assert '<td class="num">4</td><td>start</td><td>soon</td>' in page
    refused = confirm(billing)
    assert Job.objects.count() == 0
    assert "Agree that the rest comes in without it" in text_of(refused)
    confirm(billing, without_the_others="yes")
    worker().run()
    assert [each.patient.reference for each in Encounter.objects.all()] == ["MRN-1001"]
    assert "<dt>left out</dt><dd>1</dd>" in text_of(
        billing.get(reverse("import", args=[Import.objects.get().public_id]))
    )


def test_a_payer_that_nobody_knows_is_named_and_one_that_is_missing_can_be_chosen(
    billing: Client, medicare: Payer
) -> None:
    bare = "\n".join((HEAD, ROWS[2].replace("medicare", "")))
    assert "Say who pays" in text_of(look(billing, bare))
    assert "<dt>ready</dt><dd>1</dd>" in text_of(look(billing, bare, payer=medicare.slug))
    assert "No payer has this short name" in text_of(look(billing, bare.replace("V-101,,", "V-101,Nobody,")))
    assert "<dt>ready</dt><dd>1</dd>" in text_of(look(billing, bare.replace("V-101,,", f"V-101,{medicare.name},")))


def test_the_problems_can_be_downloaded_and_no_cell_of_them_is_a_formula(billing: Client, medicare: Payer) -> None:
    look(billing, "\n".join((HEAD, ROWS[2].replace("2026-03-10 09:00", "=1+1"))))
    reply = billing.get(reverse("import-problems", args=[Import.objects.get().public_id]))
    assert reply.content.decode("utf-8-sig").splitlines()[:2] == [
        "Row,Column,Value,Reason", "2,start,'=1+1,“=1+1” does not read as a time. Write it like 0915 or 9:15pm.",
    ]  # fmt: skip


def test_the_same_file_is_known_again_and_what_is_here_is_neither_doubled_nor_changed(
    billing: Client, biller: User, medicare: Payer
) -> None:
    look(billing, CSV)
    confirm(billing)
    worker().run()
    again = text_of(look(billing, CSV, name="renamed.csv"))
    assert "This very file was brought in on" in again
    assert biller.signature in again
    assert "<dt>here already</dt><dd>2</dd>" in again
    assert "There is no encounter in it that could be brought in and is not here already." in again
    assert "There is no encounter in it" in text_of(confirm(billing))
    changed = text_of(look(billing, CSV.replace("600,600", "300,300")))
    assert "This very file" not in changed
    assert "<dt>here already</dt><dd>2</dd>" in changed
    assert "Of 1 the file says something else than the one that it came from" in changed
    assert '<td class="num">2</td><td>–</td><td>(empty)</td><td>This file says something else of it' in changed
    assert "says something else" not in again
    assert Encounter.objects.count() == 2
    assert {each.version for each in Encounter.objects.all()} == {1}


def two_confirmed(client: Client, contents: tuple[str, str]) -> tuple[Import, Import]:
    """Files of the same encounters, both confirmed before either job has run."""
    for content in contents:
        look(client, content)
        confirm(client)
    first, second = Import.objects.order_by("read_at")
    return first, second


def outcomes(imported: Import) -> list[tuple[int, str, list[str]]]:
    return [(each.row, each.outcome, [problem[3] for problem in each.problems]) for each in imported.arrivals.all()]


def test_a_mended_file_that_was_confirmed_too_early_says_that_it_differs(
    billing: Client, biller: User, medicare: Payer
) -> None:
    as_it_was, mended = two_confirmed(billing, (CSV, CSV.replace("600,600", "300,300")))
    worker().run()
    assert outcomes(as_it_was) == [(2, "done", []), (4, "done", [])]
    assert outcomes(mended) == [(2, "here", [OTHERWISE_NOW]), (4, "here", [])]
    page = text_of(billing.get(reverse("import", args=[mended.public_id])))
    assert "Of 1 the file says something else than the one that it came from" in page


def test_where_the_mended_file_comes_first_the_other_says_that_it_differs(
    billing: Client, biller: User, medicare: Payer
) -> None:
    as_it_was, mended = two_confirmed(billing, (CSV, CSV.replace("600,600", "300,300")))
    first = Job.objects.get(subject=str(mended.public_id))
    jobs.next_portion(first.public_id, first.turn)
    worker().run()
    assert outcomes(mended)[0] == (2, "done", [])
    assert outcomes(as_it_was) == [(2, "here", [OTHERWISE_NOW]), (4, "here", [])]


def test_another_name_on_record_for_the_number_keeps_an_encounter_out(billing: Client, medicare: Payer) -> None:
    look(billing, CSV)
    confirm(billing)
    worker().run()
    other = CSV.replace("V-100", "V-200").replace("Lindqvist, Sarah", "Lindgren, Maj")
    page = text_of(look(billing, other))
    assert "Another name is on record for MRN-1001" in page
    assert '<td class="num">2</td><td>patient_name</td>' in page


def test_two_names_in_one_file_for_the_same_number_keep_the_second_encounter_out(
    billing: Client, medicare: Payer
) -> None:
    page = text_of(look(billing, f"{CSV}{ROWS[2].replace('V-101', 'V-102').replace('Okafor, Ben', 'Okafor, Ann')}\n"))
    assert "Another encounter of this file says Okafor, Ben of the same patient." in page
    assert "<dt>ready</dt><dd>2</dd>" in page


def test_a_payer_by_its_electronic_number_unless_two_have_it(billing: Client, medicare: Payer) -> None:
    Payer.objects.filter(pk=medicare.pk).update(electronic_id="04412")
    bare = "\n".join((HEAD, ROWS[2].replace("medicare", "04412")))
    assert "<dt>ready</dt><dd>1</dd>" in text_of(look(billing, bare))
    Payer.objects.create(slug="other", name="Other", electronic_id="04412")
    assert "No payer has this short name" in text_of(look(billing, bare))


def test_what_was_looked_at_and_not_confirmed_leaves_nothing(billing: Client, medicare: Payer) -> None:
    look(billing, CSV)
    thrown = Import.objects.get()
    billing.post(reverse("import-throw-away", args=[thrown.public_id]))
    assert (Import.objects.count(), Arrival.objects.count(), Encounter.objects.count()) == (0, 0, 0)
    look(billing, CSV)
    look(billing, CSV)
    assert Import.objects.count() == 1, "a second look takes the place of the first"


def test_a_confirmed_import_is_not_thrown_away_and_not_confirmed_twice(billing: Client, medicare: Payer) -> None:
    look(billing, CSV)
    confirm(billing)
    billing.post(reverse("import-throw-away", args=[Import.objects.get().public_id]))
    confirm(billing)
    assert (Import.objects.count(), Job.objects.count()) == (1, 1)


def test_a_look_is_its_persons_own_and_an_import_its_clinics(
    billing: Client, admin_user: User, other_biller: User, medicare: Payer
) -> None:
    look(billing, CSV)
    address = reverse("import", args=[Import.objects.get().public_id])
    admin, stranger = Client(), Client()
    admin.force_login(admin_user)
    stranger.force_login(other_biller)
    assert admin.get(address).status_code == 404
    confirm(billing)
    assert admin.get(address).status_code == 200
    assert stranger.get(address).status_code == 404


def test_a_file_that_cannot_be_read_says_so_at_the_field(billing: Client, medicare: Payer) -> None:
    assert "File: the file is empty" in text_of(look(billing, ""))
    assert "File: choose the file" in text_of(billing.post(reverse("imports"), {}))
    assert "File: the first row names no column" in text_of(look(billing, "a,b\n1,2\n"))
    assert Import.objects.count() == 0


@pytest.mark.parametrize(("name", "kind"), [("ras_o17.hl7", "HL7 v2 messages"), ("bundle.json", "FHIR R4 bundle")])
def test_the_kind_is_recognised_whatever_its_name(billing: Client, medicare: Payer, name: str, kind: str) -> None:
    page = text_of(look(billing, (EXAMPLES / name).read_text(), name="export.txt", payer=medicare.slug))
    assert kind in page
    assert "<dt>ready</dt><dd>1</dd>" in page
    assert "Not brought in" in page
    confirm(billing)
    worker().run()
    given = Encounter.objects.get().administrations.all()
    assert [(each.drug, each.route) for each in given] == [("J2350", "iv_infusion"), ("J2919", "iv_push")]


def test_a_patient_of_another_record_since_the_look_stays_out_and_is_named(
    billing: Client, clinic: Clinic, medicare: Payer
) -> None:
    look(billing, CSV)
    confirm(billing)
    clinic.patients.create(reference="MRN-1002", name="Somebody Else")
    worker().run()
    assert Job.objects.get().state == "done"
    assert [each.patient.reference for each in Encounter.objects.all()] == ["MRN-1001"]
    assert Arrival.objects.get(outcome="mend").problems[0][1:3] == ["patient.name", "Okafor, Ben"]


def test_more_than_one_portion_comes_in_in_the_order_of_the_file(billing: Client, medicare: Payer) -> None:
    count = SAVED_AT_ONCE + 5
    look(billing, "\n".join((HEAD, *(with_patient(ROWS[2], number) for number in range(count)))))
    confirm(billing)
    worker().run()
    assert Encounter.objects.count() == count
    first = billing.get(reverse("import", args=[Import.objects.get().public_id]))
    assert "Page 1 of 3" in text_of(first)


def test_a_place_of_service_is_the_files_or_the_clinics_and_one_that_nobody_knows_is_named(
    billing: Client, clinic: Clinic, medicare: Payer
) -> None:
    heads, row = f"{HEAD},place_of_service", ROWS[2]
    assert "This is not a place of service" in text_of(look(billing, f"{heads}\n{row},98\n"))
    look(billing, f"{heads}\n{with_patient(row, 1)},19\n{with_patient(row, 2)},\n")
    confirm(billing)
    worker().run()
    places = Encounter.objects.order_by("patient__reference").values_list("place_of_service", flat=True)
    assert list(places) == ["19", clinic.place_of_service]


def test_hostile_cells_are_text_on_the_page(billing: Client, medicare: Payer) -> None:
    row = ROWS[2].replace("2026-03-10 09:00", "<img src=x onerror=alert(1)>")
    assert "<img src=x" not in look(billing, "\n".join((HEAD, row))).content.decode()


def test_the_look_keeps_exactly_what_the_file_said(billing: Client, medicare: Payer) -> None:
    look(billing, CSV)
    document = json.loads(Arrival.objects.order_by("row")[0].document)
    assert document["administrations"][0]["start"] == "2026-03-10T09:00:00-04:00"
    assert document["patient"]["reference"] == "MRN-1001"
    assert Path(EXAMPLES / "encounters.csv").stat().st_size < 2000
