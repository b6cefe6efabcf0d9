"""What is typed and not saved is kept for whoever typed it, offered again, and gone once it is saved."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from infusion.actions import Recorded, keep_copy, save_encounter
from infusion.actions.working_copy import KEPT_FOR, LONGEST_TEXTS, MOST_COPIES
from infusion.audit import AuditEvent
from infusion.models import Clinic, Encounter, User, WorkingCopy
from tests.web.conftest import everything
from tests.web.page import Page
from tests.web.test_encounter_form import NEW, SARAH, address, fields, sent

KEEP, THROW_AWAY = "/encounters/kept/", "/encounters/kept/thrown-away/"
ON_THE_DAY = "2026-03-10T15:16:00Z"
HALF = {"patient_reference": "MRN-1001", "d1-drug": "Ocrelizumab", "d1-start": "9", "d1-ordered": "6oo"}


@pytest.fixture
def chairside(client: Client, nurse: User, medicare: Any) -> Client:
    client.force_login(nurse)
    return client


@pytest.fixture
def stored(nurse: User, clinic: Clinic, sarah: Recorded) -> Encounter:
    return save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)


def kept(client: Client, client_id: object, version: int = 0, **typed: str) -> Any:
    names = {name.replace("__", "-"): text for name, text in typed.items()}
    return client.post(KEEP, {**HALF, **names, "client_id": str(client_id), "version": str(version)})


@time_machine.travel(ON_THE_DAY)
def test_half_a_form_is_kept_as_it_is_and_offered_again(chairside: Client) -> None:
    before, client_id = AuditEvent.objects.count(), uuid4()
    assert kept(chairside, client_id).content.decode() == "Kept at 11:16"
    assert WorkingCopy.objects.get().entries == HALF
    assert not Encounter.objects.exists()
    assert AuditEvent.objects.count() == before
    blank = chairside.get(NEW).content.decode()
    assert "You typed something here at 11:16 that was not saved" in blank
    assert "It is about record MRN-1001." in blank
    again = chairside.get(NEW, {"copy": client_id})
    assert {name: fields(again)[name] for name in HALF} == HALF
    assert fields(again)["client_id"] == str(client_id)
    assert "was not saved" not in again.content.decode()
    assert "Kept at 11:16" in again.content.decode()


def test_an_older_day_is_named(chairside: Client) -> None:
    with time_machine.travel("2026-03-09T15:16:00Z"):
        kept(chairside, uuid4())
    with time_machine.travel(ON_THE_DAY):
        chairside.force_login(User.objects.get(username="nurse"))
        assert "on March 9, 2026 at 11:16" in chairside.get(NEW).content.decode()


def test_saving_ends_it(chairside: Client, stored: Encounter) -> None:
    for client_id, page, version in ((uuid4(), NEW, 0), (stored.client_id, address(stored), 1)):
        kept(chairside, client_id, version, d1__start="0905")
        assert WorkingCopy.objects.count() == 1
        chairside.post(page, sent(client_id=client_id, version=version, d1__start="0905"))
        assert not WorkingCopy.objects.exists()


def test_a_form_that_could_not_be_saved_stays_kept(chairside: Client) -> None:
    client_id = uuid4()
    kept(chairside, client_id)
    chairside.post(NEW, {**HALF, "act": "save", "client_id": str(client_id), "version": "0"})
    assert WorkingCopy.objects.count() == 1


def test_what_arrives_after_the_save_is_not_kept_again(chairside: Client) -> None:
    """The last moment's typing may overtake the button."""
    client_id = uuid4()
    chairside.post(NEW, sent(client_id=client_id))
    chairside.post(KEEP, {**SARAH, "client_id": str(client_id), "version": "0"})
    assert not WorkingCopy.objects.exists()
    chairside.post(KEEP, {**SARAH, "d1-stop": "1145", "client_id": str(client_id), "version": "0"})
    assert WorkingCopy.objects.get().encounter == Encounter.objects.get()


def test_an_encounter_offers_its_copy_and_opens_it_on_request(chairside: Client, stored: Encounter) -> None:
    kept(chairside, stored.client_id, 1, d1__stop="1145")
    page = chairside.get(address(stored))
    assert "that was not saved" in page.content.decode()
    assert fields(page)["d1-stop"] == "1130"
    assert fields(chairside.get(address(stored), {"copy": stored.client_id}))["d1-stop"] == "1145"
    assert "that was not saved" not in chairside.get(NEW).content.decode(), "it belongs to its encounter"


def test_a_copy_of_an_older_version_shows_both(
    chairside: Client, stored: Encounter, person: Any, clinic: Clinic
) -> None:
    colleague = Client()
    colleague.force_login(person("colleague", "nurse", clinic))
    chairside.post(KEEP, {**SARAH, "d1-stop": "1145", "client_id": str(stored.client_id), "version": "1"})
    colleague.post(address(stored), sent(client_id=uuid4(), version=1, d1__ordered="601"))
    page = chairside.get(address(stored), {"copy": stored.client_id}).content.decode()
    assert "Two versions of this encounter" in page
    assert "11:45" in page


def test_it_can_be_thrown_away(chairside: Client, stored: Encounter) -> None:
    for client_id, leads_to in ((uuid4(), NEW), (stored.client_id, address(stored))):
        kept(chairside, client_id, d1__stop="1145")
        reply = chairside.post(THROW_AWAY, {"client_id": str(client_id)})
        assert (reply.status_code, reply.headers["Location"]) == (302, leads_to)
        assert not WorkingCopy.objects.exists()


def test_nobody_else_finds_it(
    chairside: Client, nurse: User, other_nurse: User, person: Any, clinic: Clinic, stored: Encounter
) -> None:
    client_id = uuid4()
    kept(chairside, client_id)
    kept(chairside, stored.client_id, d1__stop="1145")
    for someone in (other_nurse, person("colleague", "nurse", clinic)):
        reader = Client()
        reader.force_login(someone)
        for page in (NEW, f"{NEW}?copy={client_id}", f"{NEW}?copy={stored.client_id}", address(stored)):
            text = reader.get(page).content.decode()
            assert "that was not saved" not in text
            assert 'value="6oo"' not in text
        reader.post(THROW_AWAY, {"client_id": str(client_id)})
    assert WorkingCopy.objects.filter(person=nurse).count() == 2


def test_a_neighbour_keeps_nothing_about_this_clinics_encounter(
    other_nurse: User, medicare: Any, stored: Encounter
) -> None:
    neighbour = Client()
    neighbour.force_login(other_nurse)
    kept(neighbour, stored.client_id, 1)
    copy = WorkingCopy.objects.get()
    assert (copy.person, copy.encounter) == (other_nurse, None)


def test_only_what_the_form_has_is_kept(chairside: Client) -> None:
    kept(
        chairside, uuid4(), by="1", state="approved", clinic="2", r__jw_modifier="off", d99__drug="x", d1__units="9",
        d1__start__day="next", d1__stop="1" * 900,
    )  # fmt: skip
    entries = WorkingCopy.objects.filter().first()
    assert entries is None, "more drugs than a form takes are refused whole"
    kept(chairside, uuid4(), by="1", state="approved", d1__units="9", d1__start__day="next", d1__stop="1" * 900)
    assert WorkingCopy.objects.get().entries == {**HALF, "d1-start-day": "next", "d1-stop": "1" * 200}


def test_a_blank_form_and_a_strange_one_keep_nothing(chairside: Client) -> None:
    before = everything()
    chairside.post(KEEP, {"client_id": str(uuid4()), "setting": "office", "date": "2026-03-10"})
    chairside.post(KEEP, HALF)
    chairside.post(KEEP, {**HALF, "client_id": "1 OR 1=1"})
    assert everything() == before


def test_too_much_is_not_kept(nurse: User) -> None:
    long = {f"name{number}": "x" * 200 for number in range(LONGEST_TEXTS // 200 + 1)}
    assert keep_copy(by=nurse, client_id=uuid4(), encounter=None, version=0, entries=long) is None
    assert not WorkingCopy.objects.exists()


def test_old_copies_go_when_a_new_one_is_written(nurse: User) -> None:
    def copy(days: float) -> None:
        with time_machine.travel(timezone.now() - timedelta(days=days)):
            keep_copy(by=nurse, client_id=uuid4(), encounter=None, version=0, entries=HALF)

    copy(KEPT_FOR.days + 1), copy(KEPT_FOR.days - 1)
    assert WorkingCopy.objects.count() == 2
    copy(0)
    assert WorkingCopy.objects.count() == 2
    for _ in range(MOST_COPIES):
        copy(0)
    assert WorkingCopy.objects.count() == MOST_COPIES


def test_the_form_asks_for_its_copy_to_be_kept(chairside: Client) -> None:
    page = chairside.get(NEW).content.decode()
    keeper = re.search(r'<div class="kept[^>]*>', page)
    assert keeper
    assert 'hx-post="/encounters/kept/"' in keeper[0]
    assert "from:#encounter-form" in keeper[0]


# One copy, and several pages ------------------------------------------------------------------------------------------

SECOND_DRUG = {"d1-stop": "1145", "d2-drug": "Diphenhydramine", "d2-route": "iv_push", "d2-administered": "50"}


def opened(client: Client, encounter: Encounter, **parameters: object) -> dict[str, str]:
    return Page(client.get(address(encounter), parameters).content).form_to(address(encounter)).fields


def test_a_page_that_did_not_take_a_copy_up_neither_replaces_nor_deletes_it(
    chairside: Client, stored: Encounter
) -> None:
    first = opened(chairside, stored)
    assert chairside.post(KEEP, {**first, **SECOND_DRUG}).headers["X-Kept"] == "yes"
    assert chairside.post(KEEP, {**first, **SECOND_DRUG, "d1-stop": "1146"}).headers["X-Kept"] == "yes", "its own"
    copy = WorkingCopy.objects.get()
    assert "is not kept until it is saved" in chairside.get(address(stored)).text, "said before anything is typed"
    second = opened(chairside, stored)
    for typed in ("G35.B", "G35.A"):
        told = chairside.post(
            KEEP, {**{name: text for name, text in second.items() if name != "told"}, "diagnosis": typed}
        )
        assert "What you type here is not kept until it is saved." in told.text
        assert f'href="{address(stored)}?copy={stored.client_id}"' in told.text
        assert "X-Kept" not in told.headers
    assert chairside.post(KEEP, {**second, "diagnosis": "G35.B"}).status_code == 204, "told once"
    assert chairside.post(address(stored), {**second, "diagnosis": "G35.B", "act": "save"}).status_code == 302
    assert WorkingCopy.objects.get().entries == copy.entries
    assert "that was not saved" in chairside.get(address(stored)).text


def test_a_page_keeps_on_once_its_person_has_chosen(chairside: Client, stored: Encounter) -> None:
    chairside.post(KEEP, {**opened(chairside, stored), **SECOND_DRUG})
    third, again = opened(chairside, stored), opened(chairside, stored, copy=stored.client_id)
    assert again["d2-drug"] == "Diphenhydramine"
    for stop in ("1147", "1148"):
        assert chairside.post(KEEP, {**again, "d1-stop": stop}).text.startswith("Kept at")
        assert WorkingCopy.objects.get().entries["d1-stop"] == stop
    older = {**third, "d1-stop": "1150", "instead_of": third["told"]}
    assert "is not kept" in chairside.post(KEEP, older).text, "it has not seen what was kept since"
    third["told"] = opened(chairside, stored)["told"]
    chosen = chairside.post(KEEP, {**third, "d1-stop": "1150", "instead_of": third["told"]})
    assert chosen.headers["X-Kept"] == "yes"
    assert f'id="offer-{stored.client_id}" hx-swap-oob="delete"' in chosen.text
    assert WorkingCopy.objects.get().entries["d1-stop"] == "1150"
    assert "not kept" in chairside.post(KEEP, {**again, "d1-stop": "1149"}).text, "given up for another page's"
    assert chairside.post(KEEP, third).headers["X-Kept"] == "yes"
    assert not WorkingCopy.objects.exists(), "typed back to what is stored"


def test_a_copy_that_was_taken_up_twice_is_one_of_them(chairside: Client, stored: Encounter) -> None:
    chairside.post(KEEP, {**opened(chairside, stored), **SECOND_DRUG})
    one, two = (opened(chairside, stored, copy=stored.client_id) for _ in range(2))
    assert chairside.post(KEEP, {**one, "d1-stop": "1147"}).headers["X-Kept"] == "yes"
    assert "is not kept" in chairside.post(KEEP, {**two, "d1-stop": "1148"}).text
    assert WorkingCopy.objects.get().entries["d1-stop"] == "1147"
    chairside.post(address(stored), {**one, "d1-stop": "1147", "act": "save"})
    assert not WorkingCopy.objects.exists()


def test_only_the_copy_that_was_offered_is_thrown_away(chairside: Client, stored: Encounter) -> None:
    first = opened(chairside, stored)
    chairside.post(KEEP, {**first, **SECOND_DRUG})
    offered = Page(chairside.get(address(stored)).content).form_to(THROW_AWAY).fields
    chairside.post(KEEP, {**first, **SECOND_DRUG, "d1-stop": "1146"})
    chairside.post(THROW_AWAY, offered)
    assert WorkingCopy.objects.get().entries["d1-stop"] == "1146"
    chairside.post(THROW_AWAY, Page(chairside.get(address(stored)).content).form_to(THROW_AWAY).fields)
    assert not WorkingCopy.objects.exists()


def test_what_cannot_be_kept_is_said(chairside: Client) -> None:
    for typed in ({"d99-drug": "x"}, {"client_id": "1 OR 1=1"}):
        reply = chairside.post(KEEP, {**HALF, "client_id": str(uuid4()), **typed})
        assert "It is more than one form can hold." in reply.text
        assert "X-Kept" not in reply.headers
