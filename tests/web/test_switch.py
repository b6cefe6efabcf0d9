"""A shared tablet: one nurse leaves it, the next enters a PIN, and the record names the right one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.test import Client

from infusion.access import BILLING, NURSE
from infusion.audit import AuditEvent
from infusion.models import Clinic, KnownBrowser, User
from tests.web.test_encounter_form import NEW, sent

START = 1_773_144_000  # March 10, 2026, 12:00 UTC
SWITCH, SET, PIN = "/accounts/switch/", "/accounts/pin/", "286194"
HOURS = 3600


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def second(person: Callable[..., User], clinic: Clinic) -> User:
    return person("second", NURSE, clinic, first_name="B.", last_name="Okoro", credentials="RN")


@pytest.fixture
def tablet(client: Client, nurse: User, password: str) -> Client:
    """A nurse has signed in on it and set a PIN."""
    full(client, nurse, password)
    assert client.post(SET, {"pin": PIN, "again": PIN}).headers["Location"] == "/accounts/you/"
    return client


def full(client: Client, person: User, password: str) -> None:
    client.post("/accounts/login/", {"login": person.username, "password": password})


def enter(client: Client, person: User, pin: str = PIN) -> Any:
    return client.post(f"{SWITCH}{person.public_id}/", {"pin": pin})


def who(client: Client) -> str | None:
    return client.session.get("_auth_user_id")


def test_the_next_nurse_enters_a_pin(tablet: Client, nurse: User, second: User, password: str) -> None:
    tablet.post(SWITCH)
    full(tablet, second, password)
    old = tablet.cookies["sessionid"].value
    tablet.post(SWITCH)
    assert who(tablet) is None
    assert b"L. Ames, RN" in tablet.get(SWITCH).content
    assert b"B. Okoro" not in tablet.get(SWITCH).content, "has set no PIN"
    assert enter(tablet, nurse).headers["Location"] == "/encounters/"
    assert who(tablet) == str(nurse.pk)
    stale = Client()
    stale.cookies["sessionid"] = old
    assert stale.get("/encounters/").status_code == 302
    told = [(event.action, event.by and event.by.username) for event in AuditEvent.objects.order_by("sequence")]
    assert told[-2:] == [("sign_in.switch", "second"), ("sign_in.in", "nurse")]
    assert not [event for event in AuditEvent.objects.all() if PIN in event.content()]


def test_what_is_recorded_names_the_one_who_entered(
    tablet: Client, nurse: User, second: User, password: str, medicare: Any
) -> None:
    tablet.post(SWITCH)
    full(tablet, second, password)
    tablet.post(NEW, sent(client_id=uuid4(), patient_reference="MRN-1"))
    tablet.post(SWITCH)
    enter(tablet, nurse)
    tablet.post(NEW, sent(client_id=uuid4(), patient_reference="MRN-2"))
    told = AuditEvent.objects.filter(action="encounter.add").order_by("sequence")
    assert [event.by for event in told] == [second, nurse]


def test_the_next_nurse_goes_on_where_the_tablet_stood(tablet: Client, nurse: User, other_nurse: User) -> None:
    chair = f"/encounters/{uuid4()}/live/"
    for left_at, lands in ((chair, chair), ("/encounters/new/", "/encounters/"), ("/nowhere/", "/encounters/")):
        tablet.post(SWITCH, headers={"Referer": f"http://testserver{left_at}"})
        assert enter(tablet, nurse).headers["Location"] == lands
    tablet.post(SWITCH, headers={"Referer": f"http://testserver{chair}"})
    session = tablet.session
    session["switch_left_at"] = [chair, other_nurse.clinic_id]
    session.save()
    assert enter(tablet, nurse).headers["Location"] == "/encounters/"


def test_five_wrong_ones_end_it_until_a_full_sign_in(tablet: Client, nurse: User, password: str) -> None:
    tablet.post(SWITCH)
    for left in (4, 3, 2):
        assert f"{left} tries are left".encode() in enter(tablet, nurse, "000000").content
    assert b"1 try is left" in enter(tablet, nurse, "000000").content
    assert b"this was the fifth wrong one" in enter(tablet, nurse, "000000").content
    assert b"does not count any more" in enter(tablet, nurse).content
    assert who(tablet) is None
    assert b"L. Ames" not in tablet.get(SWITCH).content
    full(tablet, nurse, password)
    tablet.post(SWITCH)
    enter(tablet, nurse)
    assert who(tablet) == str(nurse.pk)
    refused = AuditEvent.objects.filter(action="sign_in.refused")
    assert {(event.by, event.subject_id) for event in refused} == {(None, str(nurse.pk))}
    assert len(refused) == 5


def test_it_counts_twelve_hours_from_the_full_sign_in(tablet: Client, nurse: User, clock: Any) -> None:
    tablet.post(SWITCH)
    clock.move_to(START + 12 * HOURS - 300)
    enter(tablet, nurse)
    assert tablet.get("/encounters/").status_code == 200
    clock.move_to(START + 12 * HOURS + 1)
    assert tablet.get("/encounters/").status_code == 302, "the sign-in ends with the full one that it rests on"
    enter(tablet, nurse)
    assert who(tablet) is None


def test_it_counts_on_this_tablet_alone(tablet: Client, nurse: User) -> None:
    elsewhere = Client()
    enter(elsewhere, nurse)
    assert who(elsewhere) is None
    elsewhere.cookies["browser"] = KnownBrowser.objects.get().browser.hex
    enter(elsewhere, nurse)
    assert who(elsewhere) is None, "an id without its signature"
    elsewhere.cookies["browser"] = tablet.cookies["browser"].value
    enter(elsewhere, nurse)
    assert who(elsewhere) == str(nurse.pk)
    cookie = tablet.cookies["browser"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")


@pytest.mark.parametrize("what", ["password", "role", "clinic", "switched off", "ended"])
def test_it_ends_when_rights_change(what: str, tablet: Client, nurse: User, other_clinic: Clinic) -> None:
    tablet.post(SWITCH)
    if what == "password":
        nurse.set_password("four plain words here")
        nurse.save()
    elif what == "role":
        nurse.groups.add(Group.objects.get_or_create(name=BILLING)[0])
    else:
        changed = {"clinic": {"clinic": other_clinic}, "switched off": {"is_active": False}}
        User.objects.filter(pk=nurse.pk).update(**changed.get(what, {"sign_ins_ended": 1}))
    enter(tablet, nurse)
    assert who(tablet) is None


@pytest.mark.parametrize("role", ["billing", "admin"])
def test_it_never_opens_more_than_a_nurse_s_pages(role: str, client: Client, nurse: User, password: str) -> None:
    nurse.groups.add(Group.objects.get_or_create(name=role)[0])
    full(client, nurse, password)
    assert b"your role opens more" in client.get(SET).content
    client.post(SET, {"pin": PIN, "again": PIN})
    assert not KnownBrowser.objects.exclude(pin="").exists()


def test_a_pin_sets_no_pin(tablet: Client, nurse: User, password: str) -> None:
    tablet.post(SWITCH)
    enter(tablet, nurse)
    assert tablet.get(SET).headers["Location"].startswith("/accounts/again/")
    tablet.post("/accounts/again/", {"password": password, "next": SET})
    assert b"Sign out and in again" in tablet.get(SET).content


@pytest.mark.parametrize(
    ("pin", "again", "told"),
    [
        ("", "", "enter 6 to 8 digits"), ("12345", "12345", "6 to 8 digits, and nothing else"),
        ("123456789", "123456789", "6 to 8"), ("28619a", "28619a", "nothing else"),
        ("١٢٣٤٥٦", "١٢٣٤٥٦", "nothing else"),
        ("111111", "111111", "guessed first"), ("123456", "123456", "guessed first"),
        ("987654", "987654", "guessed first"), ("121212", "121212", "guessed first"),
        ("286194", "286195", "differs from the one above"),
    ],
)  # fmt: skip
def test_a_pin_that_cannot_be_taken_is_explained(
    pin: str, again: str, told: str, client: Client, nurse: User, password: str
) -> None:
    full(client, nurse, password)
    page = client.post(SET, {"pin": pin, "again": again}).content.decode()
    assert told in page
    assert not KnownBrowser.objects.exclude(pin="").exists()


def test_it_is_taken_away(tablet: Client, nurse: User) -> None:
    assert b"Remove my PIN" in tablet.get(SET).content
    tablet.post(SET + "forgotten/")
    tablet.post(SWITCH)
    enter(tablet, nurse)
    assert who(tablet) is None
    assert AuditEvent.objects.filter(action="pin.remove").count() == 1


def test_leaving_keeps_what_was_sent_with_the_last_key(
    tablet: Client, nurse: User, medicare: Any, password: str
) -> None:
    client_id = uuid4()
    tablet.post("/encounters/kept/", sent(client_id=client_id, d1__stop="114"), headers={"X-Idle": "1"})
    tablet.post(SWITCH)
    enter(tablet, nurse)
    assert b'value="114"' in tablet.get(f"{NEW}?copy={client_id}").content


def test_those_who_are_no_nurses_are_led_home(client: Client, biller: User) -> None:
    client.force_login(biller)
    assert client.post(SWITCH).headers["Location"] == "/encounters/"
    assert who(client) == str(biller.pk)
    assert b"Switch person" not in client.get("/encounters/").content
