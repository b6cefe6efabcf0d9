"""A word for the present, typed in the nurse's form, means the moment at which it was typed until it is saved."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.test import Client

from infusion.forms.structure import written_out
from infusion.models import Encounter, WorkingCopy
from infusion.selectors import facts_of, review_of
from tests.web.test_encounter_form import LIVE, NEW, fields, sent

pytestmark = pytest.mark.django_db

KEEP = "/encounters/kept/"
NINE = datetime(2026, 3, 10, 13, tzinfo=UTC)


@pytest.fixture
def chairside(client: Client, nurse: Any, medicare: Any) -> Client:
    client.force_login(nurse)
    return client


def at(minutes: float) -> Any:
    return time_machine.travel(NINE + timedelta(minutes=minutes), tick=False)


def typed(**texts: str) -> dict[str, str]:
    """What is sent while someone types."""
    return {name: text for name, text in sent(**texts).items() if name != "act"}


def live(client: Client, minutes: float, body: dict[str, str]) -> Any:
    with at(minutes):
        return client.post(NEW, body, headers=LIVE)


def beside(response: Any) -> dict[str, str]:
    """The hidden fields that a live answer puts into the form."""
    return dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', response.content.decode()))


def stored_times() -> list[str]:
    (given,) = facts_of(Encounter.objects.get()).administrations
    return [f"{moment.astimezone(UTC):%d %H:%M}" for moment in (given.start, given.stop) if moment]


@pytest.mark.parametrize("word", ["n", "now", " NOW "])
def test_now_is_the_time_at_which_it_was_typed(chairside: Client, word: str) -> None:
    body = typed(**{"d1-stop": word})
    answer = live(chairside, 90, body)
    assert beside(answer) == {"d1-stop-now": "10:30"}
    with at(92):
        chairside.post(NEW, {**body, **beside(answer), "act": "save"})
    assert stored_times() == ["10 13:00", "10 14:30"]
    assert [line.code for line in review_of(Encounter.objects.get()).statement.lines][:1] == ["96365"]


def test_what_is_typed_in_its_place_counts(chairside: Client) -> None:
    first = beside(live(chairside, 90, typed(**{"d1-stop": "n"})))
    second = live(chairside, 95, {**typed(**{"d1-stop": "1015"}), **first})
    assert beside(second) == {}
    assert second.context["entry"].echoes["d1-stop"].text.startswith("10:15")
    third = live(chairside, 100, typed(**{"d1-stop": "n"}))
    assert beside(third) == {"d1-stop-now": "10:40"}


@pytest.mark.parametrize("absurd", ["99:99", "now", "n", "next", "", "2026-03-10"])
def test_what_is_no_clock_is_not_believed(chairside: Client, absurd: str) -> None:
    answer = live(chairside, 90, {**typed(**{"d1-stop": "n"}), "d1-stop-now": absurd})
    assert beside(answer) == {"d1-stop-now": "10:30"}


def test_a_form_drawn_anew_has_the_clock_and_remembers_no_word(chairside: Client) -> None:
    body = {**typed(**{"d1-start": "now", "d1-stop": "", "date": "today"}), "d1-start-now": "09:00"}
    with at(5):
        again = fields(chairside.post(NEW, {**body, "act": "add-pause-d1"}))
    assert (again["d1-start"], again["date"]) == ("09:00", "2026-03-10")
    assert not [name for name in again if name.endswith("-now")]


def test_without_a_live_answer_the_word_is_read_when_it_is_saved(chairside: Client) -> None:
    with at(90):
        chairside.post(NEW, sent(**{"d1-stop": "now"}))
    assert stored_times() == ["10 13:00", "10 14:30"]


def test_a_kept_form_keeps_the_clock_and_the_day(chairside: Client, nurse: Any) -> None:
    client_id = uuid4()
    with at(0):
        chairside.post(KEEP, typed(client_id=client_id, **{"d1-start": "now", "d1-stop": "", "date": "today"}))
    kept = WorkingCopy.objects.get().entries
    assert (kept["d1-start"], kept["date"]) == ("09:00", "2026-03-10")
    with at(60 * 24 + 45):
        chairside.force_login(nurse)
        again = fields(chairside.get(NEW, {"copy": client_id}))
    assert (again["d1-start"], again["date"]) == ("09:00", "2026-03-10")


@pytest.mark.parametrize(("word", "day"), [("today", "2026-03-10"), ("y", "2026-03-09"), ("3/10", "2026-03-10")])
def test_a_day_is_counted_from_the_day_on_which_it_was_typed(chairside: Client, word: str, day: str) -> None:
    body = typed(date=word)
    answer = live(chairside, 0, body)
    assert beside(answer) == {"date-now": "2026-03-10"}
    for days in (1, 300):
        entries, read_at = written_out({"date": word, **beside(answer)}, NINE + timedelta(days=days))
        assert (entries["date"], read_at) == (day, {"date": "2026-03-10"})
    still_to_come = live(chairside, 0, {**body, "date-now": "2027-03-10"})
    assert str(still_to_come.context["entry"].date_of_service) == day


def test_now_is_kept_on_the_next_day_and_in_the_hour_that_repeats(chairside: Client) -> None:
    """On the night of November 1, 2026 the clocks of New York go back at two."""
    night = (datetime(2026, 11, 1, 6, 30, tzinfo=UTC) - NINE) / timedelta(minutes=1)
    body = {**typed(**{"date": "2026-10-31", "d1-start": "2330", "d1-stop": "n"}), "d1-stop-day": "next"}
    answer = live(chairside, night, body)
    assert beside(answer) == {"d1-stop-day": "next", "d1-stop-now": "01:30"}
    assert "happens twice" in answer.context["entry"].echoes["d1-stop"].question
    with at(night + 7):
        asked = {**body, **beside(answer), "act": "set:d1-stop-turn=second"}
        again = fields(chairside.post(NEW, asked))
        assert (again["d1-stop"], again["d1-stop-day"], again["d1-stop-turn"]) == ("01:30", "next", "second")
        chairside.post(NEW, {**again, "act": "save"})
    assert stored_times() == ["01 03:30", "01 06:30"]
