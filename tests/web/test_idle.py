"""A sign-in ends on the server: after minutes without a touch, after twelve hours, whatever a request says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import time_machine
from django.test import Client

from infusion.models import Encounter, User, WorkingCopy
from tests.web.test_encounter_form import NEW, fields, sent

START = 1_773_144_000  # March 10, 2026, 12:00 UTC
TIMER = {"X-Idle": "1"}
HOME = "/encounters/"
LIMITS = {"nurse": 600, "billing": 900, "admin": 900}


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def is_signed_in(client: Client, **headers: str) -> bool:
    return client.get(HOME, headers=headers).status_code == 200


@pytest.mark.parametrize("role", LIMITS)
def test_it_ends_at_the_limit_of_the_role(role: str, clock: Any, nurse: User, biller: User, admin_user: User) -> None:
    user = User.objects.get(username=role)
    for seconds, lasts in ((LIMITS[role] - 10, True), (LIMITS[role] + 1, False)):
        clock.move_to(START)
        client = client_of(user)
        clock.move_to(START + seconds)
        assert is_signed_in(client) == lasts


def test_the_limits_are_settings(clock: Any, nurse: User, settings: Any) -> None:
    settings.INFUSION_IDLE_MINUTES_SHARED = 2
    client = client_of(nurse)
    clock.shift(121)
    assert not is_signed_in(client)


def test_a_touch_makes_it_last(clock: Any, nurse: User) -> None:
    client = client_of(nurse)
    for _ in range(5):
        clock.shift(500)
        assert is_signed_in(client)


def test_a_timer_neither_makes_it_last_nor_gets_past_its_end(clock: Any, nurse: User) -> None:
    client, lasted = client_of(nurse), 0
    while client.get(HOME, headers=TIMER).status_code == 200:
        lasted += 10
        assert lasted < 700
        clock.shift(10)
    assert abs(lasted - 600) <= 10
    assert not is_signed_in(client), "and nothing brings it back"


def test_twelve_hours_end_it_in_any_case(clock: Any, nurse: User) -> None:
    client = client_of(nurse)
    for _ in range(12 * 12 - 1):
        clock.shift(300)
        assert is_signed_in(client)
    clock.shift(301)
    assert not is_signed_in(client)


@pytest.mark.parametrize(
    "sent_with",
    [
        {"skip_timeout_reset": "1"}, {"idle": "0"}, {"keep": "1"}, {"sign_in_touched": "9999999999"},
        {"X-Idle": "0"}, {"timeout": "86400"}, {"sign_in_began": "9999999999"},
    ],
)  # fmt: skip
def test_no_parameter_changes_it(sent_with: dict[str, str], clock: Any, nurse: User) -> None:
    client = client_of(nurse)
    for _ in range(4):
        clock.shift(140)
        client.get(HOME, sent_with, headers=TIMER)
        client.post("/accounts/session/", sent_with, headers=TIMER)
    clock.shift(50)
    assert client.get(HOME, sent_with, headers={name: "9" for name in sent_with if name != "X-Idle"}).status_code == 302


def test_the_page_can_ask_how_long_it_lasts_and_say_that_someone_is_there(clock: Any, nurse: User) -> None:
    client = client_of(nurse)
    clock.shift(400)
    assert client.get("/accounts/session/", headers=TIMER).json() == {"seconds_left": 200}
    assert client.get("/accounts/session/", headers=TIMER).json() == {"seconds_left": 200}
    assert client.post("/accounts/session/").json() == {"seconds_left": 600}
    clock.shift(601)
    reply = client.get("/accounts/session/", headers=TIMER)
    assert (reply.status_code, reply.content) == (401, b"")


def test_a_fragment_is_never_the_sign_in_page(clock: Any, nurse: User) -> None:
    client = client_of(nurse)
    clock.shift(601)
    for _ in range(2):
        reply = client.post(NEW, sent(act=""), headers={"HX-Request": "true", "HX-Target": "preview-body"})
        assert (reply.status_code, reply.headers["X-Sign-In-Ended"], reply.content) == (401, "1", b"")


def test_what_was_sent_too_late_is_kept_and_found_again(clock: Any, nurse: User, medicare: Any, password: str) -> None:
    client, client_id = client_of(nurse), uuid4()
    clock.shift(601)
    reply = client.post(NEW, sent(client_id=client_id, d1__stop="1145"))
    assert not Encounter.objects.exists()
    assert WorkingCopy.objects.get().person == nurse
    page = client.get(reply.headers["Location"])
    assert b"Your sign-in has ended" in page.content
    back = f"{NEW}?copy={client_id}"
    assert f'value="{back}"' in page.content.decode()
    reply = client.post("/accounts/login/", {"login": "nurse", "password": password, "next": back})
    assert reply.headers["Location"] == back
    assert fields(client.get(back))["d1-stop"] == "1145"


def test_a_page_leads_back_to_itself_and_an_action_to_the_list(clock: Any, biller: User) -> None:
    client = client_of(biller)
    clock.shift(901)
    assert client.get("/payers/").headers["Location"] == "/accounts/login/?ended=1&next=%2Fpayers%2F"
    client = client_of(biller)
    clock.shift(901)
    address = f"/encounters/{uuid4()}/review/approve/"
    assert client.post(address).headers["Location"] == "/accounts/login/?ended=1"


@pytest.mark.parametrize("signed_out", [False, True])
@pytest.mark.parametrize(
    ("came_from", "back"),
    [
        ("http://testserver/encounters/7/review/?view=ready#top", "/encounters/7/review/?view=ready"),
        ("http://elsewhere.example/encounters/7/review/", None), ("//elsewhere.example/", None), ("", None),
    ],
)  # fmt: skip
def test_an_action_leads_back_to_the_page_of_its_button(
    signed_out: bool, came_from: str, back: str | None, clock: Any, biller: User
) -> None:
    client = client_of(biller)
    clock.shift(901)
    if signed_out:
        client.cookies.clear()
    reply = client.post(f"/encounters/{uuid4()}/review/approve/", headers={"Referer": came_from} if came_from else {})
    assert parse_qs(urlsplit(reply.headers["Location"]).query).get("next", [None]) == [back]


def test_the_public_pages_stay_open_and_forget_who_it_was(clock: Any, nurse: User) -> None:
    client = client_of(nurse)
    clock.shift(601)
    page = client.get("/")
    assert page.status_code == 200
    assert b"L. Ames" not in page.content
    assert b"data-idle-seconds" not in page.content


def test_every_page_of_a_signed_in_person_carries_the_warning(nurse: User, biller: User) -> None:
    assert b'data-idle-seconds="600"' in client_of(nurse).get(HOME).content
    assert b'data-idle-seconds="900"' in client_of(biller).get(HOME).content
    assert b"data-idle-seconds" not in Client().get("/").content
