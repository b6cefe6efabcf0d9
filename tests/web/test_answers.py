"""What a nurse answers to billing is kept, compared and saved like anything else that is typed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from infusion.actions import Recorded, hand_to_billing, return_to_nurse, save_encounter
from infusion.models import Clinic, Encounter, Question, User
from tests.web.page import Page
from tests.web.test_encounter_form import address
from tests.web.test_working_copy import KEEP

BY_THE_PUMP, BY_THE_CHART = "11:50, by the pump.", "11:52, by the chart."


@pytest.fixture
def asked(nurse: User, biller: User, clinic: Clinic, sarah: Recorded) -> Encounter:
    stored = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    return asked_once_more(nurse, biller, stored, "When was the stop?")


@pytest.fixture
def nurses(client: Client, nurse: User) -> Client:
    client.force_login(nurse)
    return client


@pytest.fixture
def colleague(person: Any, clinic: Clinic) -> Client:
    other = Client()
    other.force_login(person("colleague", "nurse", clinic))
    return other


def asked_once_more(nurse: User, biller: User, stored: Encounter, question: str) -> Encounter:
    handed = hand_to_billing(by=nurse, encounter=stored, version=stored.version, attested=True)
    return return_to_nurse(by=biller, encounter=handed, version=handed.version, question=question)


def form(response: Any, stored: Encounter) -> dict[str, str]:
    return Page(response.content).form_to(address(stored)).fields


def opened(client: Client, stored: Encounter, **parameters: object) -> dict[str, str]:
    return form(client.get(address(stored), parameters), stored)


def answer_in(fields: dict[str, str]) -> str:
    [name] = [name for name in fields if name.startswith("answer-")]
    return name


def send(client: Client, stored: Encounter, fields: dict[str, str], act: str = "save", **typed: str) -> Any:
    return client.post(address(stored), {**fields, **typed, "act": act})


def answers() -> list[str]:
    return [each.answer for each in Question.objects.order_by("pk")]


def test_a_working_copy_holds_the_answer(nurses: Client, asked: Encounter) -> None:
    fields = opened(nurses, asked)
    name = answer_in(fields)
    send(nurses, asked, {**fields, name: BY_THE_PUMP})
    assert answers() == [BY_THE_PUMP]
    fields = opened(nurses, asked)
    assert nurses.post(KEEP, {**fields, name: BY_THE_CHART, "d1-stop": "1152"}).text.startswith("Kept at")
    again = opened(nurses, asked, copy=asked.client_id)
    assert (again[name], again["d1-stop"]) == (BY_THE_CHART, "1152")
    send(nurses, asked, again)
    assert answers() == [BY_THE_CHART]


def test_a_form_without_the_answer_leaves_what_is_stored_and_an_emptied_one_takes_it_away(
    nurses: Client, asked: Encounter
) -> None:
    fields = opened(nurses, asked)
    name = answer_in(fields)
    send(nurses, asked, {**fields, name: BY_THE_PUMP})
    fields = opened(nurses, asked)
    without = {each: text for each, text in fields.items() if each != name}
    assert send(nurses, asked, without, **{"d1-stop": "1152"}).status_code == 302
    assert answers() == [BY_THE_PUMP]
    emptied = opened(nurses, asked)
    assert nurses.post(KEEP, {**emptied, name: ""}).text.startswith("Kept at"), "an answer taken away is a change"
    assert opened(nurses, asked, copy=asked.client_id)[name] == ""
    send(nurses, asked, emptied, **{name: ""})
    assert answers() == [""]


def test_a_colleagues_answer_is_shown_beside_mine_before_it_is_replaced(
    nurses: Client, colleague: Client, asked: Encounter
) -> None:
    mine, theirs = opened(nurses, asked), opened(colleague, asked)
    name = answer_in(mine)
    send(colleague, asked, theirs, **{name: BY_THE_PUMP})
    both = send(nurses, asked, mine, **{"d1-stop": "1150"})
    assert both.status_code == 409
    assert ("Answer to billing: When was the stop?", "", BY_THE_PUMP) in [
        (each.label, each.mine, each.theirs) for each in both.context["conflict"]["differences"]
    ]
    taken = form(send(nurses, asked, form(both, asked), f"theirs-{name}"), asked)
    assert (taken[name], taken["d1-stop"]) == (BY_THE_PUMP, "1150")
    assert send(nurses, asked, taken, f"keep-{both.context['conflict']['version']}").status_code == 302
    assert answers() == [BY_THE_PUMP]


def test_an_old_form_answers_the_question_that_it_shows(
    nurses: Client, colleague: Client, nurse: User, biller: User, asked: Encounter
) -> None:
    mine, theirs = opened(nurses, asked), opened(colleague, asked)
    name = answer_in(mine)
    send(colleague, asked, theirs, **{name: BY_THE_PUMP})
    asked.refresh_from_db()
    asked_once_more(nurse, biller, asked, "Which arm?")
    both = send(nurses, asked, mine, **{name: BY_THE_CHART})
    label = "Answer to billing, closed meanwhile: When was the stop?"
    assert (label, BY_THE_CHART, BY_THE_PUMP) in [
        (each.label, each.mine, each.theirs) for each in both.context["conflict"]["differences"]
    ]
    fields = form(both, asked)
    assert (answer_in(fields) == name, fields[answer_in(fields)]) == (False, "")
    send(nurses, asked, fields, f"keep-{both.context['conflict']['version']}")
    assert answers() == [BY_THE_PUMP, ""]
