"""The chair board and live mode: what each tile says, one tap once, a late time with its reason, nothing hidden."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from infusion.actions import Ordered, Recorded, begin_order, place_order, save_encounter, tap
from infusion.chair_board import being_treated
from infusion.forms.stored import to_the_second
from infusion.models import Chair, Clinic, Discard, Encounter, Order, Patient, User
from infusion.selectors import facts_of, review_of
from infusion.services import facts
from payers.models import Payer
from tests.web.conftest import questions
from tests.web.page import Form, Page

NINE = datetime(2026, 3, 10, 13, 0, tzinfo=UTC)  # 09:00 in New York
TILE = re.compile(r'<(?:a|div|button) class="tile.*?</(?:a|div|button)>', re.S)
Place = Callable[..., Order]


def minutes(count: int) -> datetime:
    return NINE + timedelta(minutes=count)


def words_of(text: str) -> str:
    plain = re.sub(r"<svg.*?</svg>|<[^>]+>", " ", text, flags=re.S)
    return " ".join(unescape(plain).split())


@pytest.fixture
def chairs(clinic: Clinic) -> list[Chair]:
    return [Chair.objects.create(clinic=clinic, label=str(n + 1), position=n) for n in range(6)]


@pytest.fixture
def place(clinic: Clinic, nurse: User, medicare: Payer, chairs: list[Chair]) -> Place:
    """Orders a drug at a chair: place(1, "Sarah Whitfield", 0) for 09:00 at chair 1."""

    def make(chair: int | None, name: str, due: int, **more: Any) -> Order:
        patient, _ = Patient.objects.get_or_create(clinic=clinic, reference=f"WH-{name}", name=name)
        asked = {"drug": "J2350", "ordered": Decimal(600), "vials": ((Decimal(300), 2),), "diagnoses": ("G35.A",)}
        ordered = Ordered(
            patient=patient, payer=medicare, scheduled_at=minutes(due), setting="office", route="iv_infusion",
            chair=chairs[chair - 1] if chair else None, **{**asked, **more},
        )  # fmt: skip
        return place_order(by=nurse, clinic=clinic, client_id=uuid4(), ordered=ordered)

    return make


@pytest.fixture
def run(nurse: User, place: Place) -> Callable[..., Encounter]:
    """Begins an order at its time and taps: run(1, "Sarah", 0, ("start", 0), ("pause", 30))."""

    def make(chair: int | None, name: str, due: int, *taps: tuple[str, int], **more: Any) -> Encounter:
        order = place(chair, name, due, **more)
        with time_machine.travel(minutes(due), tick=False):
            encounter = begin_order(by=nurse, order=order)
        for kind, after in taps:
            press(encounter, nurse, kind, after)
        return encounter

    return make


def press(encounter: Encounter, nurse: User, kind: str, after: int) -> None:
    with time_machine.travel(minutes(after), tick=False):
        tap(by=nurse, encounter=encounter, position=0, kind=kind, tap_id=uuid4())


class Tablet(Client):
    """A client whose person has just signed in, whatever the hour."""

    person: User

    def at(self, after: int) -> time_machine.travel:
        with time_machine.travel(minutes(after), tick=False):
            self.force_login(self.person)
        return time_machine.travel(minutes(after), tick=False)


@pytest.fixture
def client(nurse: User) -> Tablet:
    return tablet_of(nurse)


def tablet_of(person: User) -> Tablet:
    tablet = Tablet()
    tablet.person = person
    tablet.force_login(person)
    return tablet


def get(client: Tablet, after: int, name: str = "chairs", *args: object, **headers: str) -> HttpResponse:
    with client.at(after):
        return client.get(reverse(name, args=args), headers=headers)


def post(client: Tablet, after: int, encounter: Encounter, **sent: object) -> HttpResponse:
    with client.at(after):
        return client.post(reverse("chair", args=[encounter.public_id]), sent)


def live(client: Tablet, after: int, encounter: Encounter) -> str:
    return get(client, after, "chair", encounter.public_id).content.decode()


def form_with(client: Tablet, after: int, encounter: Encounter, button: str) -> Form:
    forms = Page(live(client, after, encounter).encode()).forms.values()
    return next(form for form in forms if ("act", button) in form.buttons)


def what(kind: str, encounter: Encounter) -> str:
    """What the form for a late time sends for the first drug."""
    return f"{kind}-0-{encounter.administrations.get(position=0).pk}"


def tiles(text: str) -> list[str]:
    return [words_of(each) for each in TILE.findall(text)]


def test_each_tile_says_who_what_and_how_it_stands(client: Tablet, run: Any, place: Place) -> None:
    run(1, "Rhea Okafor", 60, ("start", 84), drug="J2323", ordered=Decimal(300))
    run(2, "Tor Lindqvist", 30, ("start", 40), ("pause", 127), drug="J1745", ordered=Decimal(400))
    run(3, "Sarah Whitfield", 0, ("start", 0), ("pause", 65), ("resume", 80))
    run(4, "Ana Delgado", 0, ("start", 5), drug="J3380", ordered=Decimal(300))
    place(5, "Ivy Marsh", 120)
    place(6, "Paul Okoro", 240)
    text = get(client, 137).content.decode()
    assert tiles(text) == [
        "Chair 1 Rhea Okafor Natalizumab 300 mg Running 53 min",
        "Chair 2 Tor Lindqvist Infliximab 400 mg Paused at 11:07",
        "Chair 3 Sarah Whitfield Ocrelizumab 600 mg Running 2 h 02 min",
        "Chair 4 Ana Delgado Vedolizumab 300 mg No stop since 09:05",
        "Chair 5 Ivy Marsh Ocrelizumab 600 mg Late, due 11:00",
        "Chair 6 Free Next at 13:00 Nobody here",
    ]
    assert "1 waiting for a stop" in text
    assert "13:00 Paul Okoro Ocrelizumab 600 mg, chair 6 Begin" in words_of(text)


def test_an_infusion_without_a_stop_waits_once_it_runs_twice_as_long_as_it_does(client: Tablet, run: Any) -> None:
    run(1, "Ana Delgado", 0, ("start", 0), drug="J3380", ordered=Decimal(300))
    assert tiles(get(client, 60).content.decode())[0].endswith("Running 1 h 00 min")
    assert tiles(get(client, 61).content.decode())[0].endswith("No stop since 09:00")


def test_what_was_left_running_yesterday_cannot_hide(client: Tablet, run: Any) -> None:
    left = [run(1, name, 0, ("start", n)) for n, name in enumerate(("Ann One", "Bea Two"))]
    left.append(run(None, "Cyd Three", 0, ("start", 2), ("pause", 30)))
    run(1, "Dan Done", 0, ("start", 3), ("stop", 90))
    text = get(client, 24 * 60).content.decode()
    assert "3 waiting for a stop" in text
    assert [each for each in tiles(text) if "No stop" in each] == [
        "Chair 1 Ann One Ocrelizumab 600 mg No stop since March 10, 09:00",
        "Chair 1 Bea Two Ocrelizumab 600 mg No stop since March 10, 09:01",
        "No chair Cyd Three Ocrelizumab 600 mg No stop since March 10, 09:30".replace("No chair", "– No chair"),
    ]
    assert all(reverse("chair", args=[each.public_id]) in text for each in left)
    assert "Dan Done" not in text, "its times are all there, and the day's list has it"
    assert len(being_treated(left[0].clinic, date(2026, 3, 11))) == 3, "nor is it read for the board"


def test_an_order_on_an_occupied_chair_is_in_the_list(client: Tablet, run: Any, place: Place) -> None:
    run(1, "Sarah Whitfield", 0, ("start", 0))
    place(1, "Ivy Marsh", 30)
    place(2, "Soon Coming", 75)
    text = get(client, 40).content.decode()
    assert tiles(text)[:2] == [
        "Chair 1 Sarah Whitfield Ocrelizumab 600 mg Running 40 min",
        "Chair 2 Soon Coming Ocrelizumab 600 mg Due at 10:15",
    ]
    assert "09:30 Ivy Marsh Ocrelizumab 600 mg, chair 1 Late Begin" in words_of(text)


def test_an_order_of_another_day_is_not_on_the_board(client: Tablet, place: Place) -> None:
    place(1, "Yesterdays Patient", -24 * 60)
    place(1, "Tomorrows Patient", 24 * 60)
    assert "Patient" not in words_of(get(client, 0).content.decode())


def test_a_tap_on_an_order_begins_it_once(client: Tablet, place: Place) -> None:
    order = place(5, "Ivy Marsh", -10)
    address = reverse("order-begin", args=[order.public_id])
    assert Page(get(client, 0).content).form_to(address)
    with client.at(0):
        replies = [client.post(address) for _ in range(2)]
    encounter = Encounter.objects.get()
    assert {reply.headers["Location"] for reply in replies} == {reverse("chair", args=[encounter.public_id])}
    assert encounter.chair == order.chair


def test_an_order_taken_off_the_day_does_not_begin(client: Tablet, place: Place) -> None:
    order = place(5, "Ivy Marsh", -10)
    Order.objects.filter(pk=order.pk).update(cancelled_at=NINE)
    reply = client.post(reverse("order-begin", args=[order.public_id]), follow=True)
    assert "taken off the day" in reply.content.decode()
    assert not Encounter.objects.exists()


def test_another_clinics_chairs_and_orders_are_not_there(run: Any, place: Place, other_nurse: User) -> None:
    encounter, order = run(1, "Sarah Whitfield", 0, ("start", 0)), place(2, "Ivy Marsh", 0)
    client = tablet_of(other_nurse)
    text = get(client, 10).content.decode()
    assert "Sarah" not in text
    assert "Ivy" not in text
    assert get(client, 10, "chair", encounter.public_id).status_code == 404
    assert post(client, 10, encounter, act="stop", position=0, tap=uuid4()).status_code == 404
    with client.at(10):
        assert client.post(reverse("order-begin", args=[order.public_id])).status_code == 404
    encounter.refresh_from_db()
    assert encounter.taps.count() == 1


def test_the_board_asks_the_same_number_of_questions_for_six_as_for_one(client: Tablet, run: Any, place: Place) -> None:
    def asked(name: str, *args: object) -> int:
        address = reverse(name, args=args)
        with client.at(30), CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        return questions(queries)

    first = run(1, "Ann One", 0, ("start", 0), ("pause", 5))
    place(6, "Last One", 300)
    asked("chair", first.public_id)  # the first reading of a site begins its record
    board, page = asked("chairs"), asked("chair", first.public_id)
    for n, name in enumerate(("Bea", "Cyd", "Dan", "Eve")):
        run(n + 2, name, 0, ("start", n), ("pause", 10), ("resume", 20))
        place(n + 2, f"After {name}", 60 + n)
    assert (asked("chairs"), asked("chair", first.public_id)) == (board, page)
    assert board <= 12
    assert page <= 25


# Live mode ------------------------------------------------------------------------------------------------------------


def buttons(text: str) -> list[str]:
    return re.findall(r'name="act" value="(\w+)" id="tap-', text)


def test_only_what_can_happen_now_can_be_pressed(client: Tablet, run: Any, nurse: User) -> None:
    encounter = run(3, "Sarah Whitfield", 0)
    assert buttons(live(client, 1, encounter)) == ["start"]
    press(encounter, nurse, "start", 2)
    assert buttons(live(client, 3, encounter)) == ["pause", "stop", "new_bag"]
    press(encounter, nurse, "pause", 4)
    assert buttons(live(client, 8, encounter)) == ["stop", "resume", "new_bag"]
    assert "Paused 4 min" in words_of(live(client, 8, encounter))
    press(encounter, nurse, "stop", 9)
    assert buttons(live(client, 10, encounter)) == ["dose"]


def test_the_clock_counts_what_ran(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0), ("pause", 65), ("resume", 80))
    text = words_of(live(client, 137, encounter))
    assert "Running 2 h 02 min Ocrelizumab 600 mg, IV infusion" in text
    assert "Started 09:00 (9:00am) Paused 10:05 to 10:20, 15 min Bag 1" in text
    for word in ("$", "unit", "more minute", "96365", "hour"):
        assert word not in text.partition("CPT is")[0], word


def test_a_new_bag_is_counted_and_changes_no_minute(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0), ("new_bag", 60))
    text = words_of(live(client, 62, encounter))
    assert "Running 1 h 02 min" in text
    assert "Bag 2, since 10:00" in text
    assert "New bag at 10:00 , 2 minutes ago Undo" in text


def test_what_is_not_documented_is_named_and_leads_to_its_field(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0))
    page = live(client, 10, encounter)
    for field, words in (("doc_access_site", "Access site"), ("d1-v1-size", "NDC and lot of each vial")):
        assert f'<a href="/encounters/{encounter.public_id}/#{field}">{words}</a>' in page
    encounter.documentation = {"access_site": "Left forearm"}
    encounter.save()
    assert "#doc_access_site" not in live(client, 10, encounter)


def test_an_encounter_without_a_drug_says_what_to_do(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0)
    encounter.administrations.all().delete()
    assert "No drug is recorded yet" in live(client, 1, encounter)
    assert buttons(live(client, 1, encounter)) == []
    assert tiles(get(client, 1).content.decode())[2] == "Chair 3 Sarah Whitfield No drug yet Not started"


def test_a_double_tap_is_one(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0)
    form = form_with(client, 0, encounter, "start")
    for after in (0, 0, 1):
        assert post(client, after, encounter, **form.fields, act="start").status_code == 302
    assert encounter.taps.count() == 1
    text = live(client, 1, encounter)
    assert "started already" not in text


def test_a_tap_of_a_page_that_is_behind_is_refused_with_a_sentence(client: Tablet, run: Any, nurse: User) -> None:
    encounter = run(3, "Sarah Whitfield", 0)
    form = form_with(client, 0, encounter, "start")
    press(encounter, nurse, "start", 1)
    post(client, 2, encounter, **form.fields, act="start")
    assert "This infusion has started already." in live(client, 2, encounter)
    post(client, 2, encounter, act="stop", position="x", tap="y")
    assert "older page" in live(client, 2, encounter)


@pytest.fixture
def three(run: Any, nurse: User) -> Encounter:
    """An encounter with two drugs before the one that was ordered."""
    encounter = run(3, "Sarah Whitfield", 0)
    before = [facts.Administration(id="", route="iv_push", drug=drug) for drug in ("J1200", "J2930")]
    return saved(encounter, nurse, [*before, *facts_of(encounter).administrations])


def saved(encounter: Encounter, nurse: User, drugs: Sequence[facts.Administration], **more: Any) -> Encounter:
    seen = facts_of(encounter)
    named = tuple(replace(each, id=f"a{n}") for n, each in enumerate(drugs, 1))
    recorded = Recorded(
        patient_reference=encounter.patient.reference, payer=encounter.payer, date_of_service=seen.date_of_service,
        facts=replace(seen, administrations=named, **more),
    )  # fmt: skip
    return save_encounter(
        by=nurse, clinic=encounter.clinic, client_id=encounter.client_id, recorded=recorded,
        public_id=encounter.public_id, version=Encounter.objects.get(pk=encounter.pk).version,
    )  # fmt: skip


def without_the_first(encounter: Encounter, nurse: User) -> Encounter:
    """What "Remove" at the first drug does, once the form is saved: the others move up."""
    current = Encounter.objects.get(pk=encounter.pk)
    return saved(current, nurse, facts_of(current).administrations[1:])


def started(encounter: Encounter) -> list[tuple[str, bool]]:
    rows = encounter.administrations.order_by("position")
    return [(row.drug, row.started_at is not None) for row in rows]


def start_of(client: Tablet, after: int, encounter: Encounter, position: int) -> dict[str, str]:
    forms = Page(live(client, after, encounter).encode()).forms.values()
    found = [form.fields for form in forms if ("act", "start") in form.buttons]
    return next(fields for fields in found if fields["position"] == str(position))


def test_a_tap_starts_no_other_drug_than_the_one_it_was_shown_for(client: Tablet, three: Any, nurse: User) -> None:
    fields = start_of(client, 0, three, 1)
    without_the_first(three, nurse)
    post(client, 1, three, **fields, act="start")
    assert started(three) == [("J2930", False), ("J2350", False)]
    assert "The drugs of this encounter were changed meanwhile" in live(client, 1, three)
    post(client, 2, three, **start_of(client, 2, three, 0), act="start")
    assert started(three) == [("J2930", True), ("J2350", False)]


def test_a_late_time_is_given_to_no_other_drug(client: Tablet, three: Any, nurse: User) -> None:
    rows = {row.position: row.pk for row in three.administrations.all()}
    form = form_with(client, 10, three, "late")
    assert f"start-1-{rows[1]}" in live(client, 10, three)
    without_the_first(three, nurse)
    asked = {**form.fields, "act": "late", "what": f"start-1-{rows[1]}", "at": "0905", "reason": "busy"}
    reply = post(client, 11, three, **asked)
    assert reply.status_code == 422
    text = reply.content.decode()
    assert "The drugs of this encounter were changed meanwhile" in text
    assert 'value="0905"' in text
    assert '<option value="">Choose what happened</option>' in text
    assert not any(begun for _, begun in started(three))


def test_a_page_that_is_merely_older_can_be_pressed(client: Tablet, three: Any, nurse: User) -> None:
    first, second = (start_of(client, 0, three, position) for position in (0, 1))
    post(client, 1, three, **first, act="start")
    saved(three, nurse, facts_of(Encounter.objects.get(pk=three.pk)).administrations)
    post(client, 2, three, **second, act="start")
    assert started(three) == [("J1200", True), ("J2930", True), ("J2350", False)]


def test_a_drug_that_was_put_in_anothers_place_is_not_started_by_the_others_button(
    client: Tablet, three: Any, nurse: User
) -> None:
    fields = start_of(client, 0, three, 1)
    drugs = list(facts_of(three).administrations)
    saved(three, nurse, [drugs[0], replace(drugs[1], drug="J1100"), drugs[2]])
    post(client, 1, three, **fields, act="start")
    assert not any(begun for _, begun in started(three))


def test_undo_takes_back_only_the_time_of_its_tap(client: Tablet, three: Any, nurse: User) -> None:
    post(client, 0, three, **start_of(client, 0, three, 2), act="start")
    post(client, 1, three, **start_of(client, 1, three, 0), act="start")
    post(client, 2, three, **start_of(client, 2, three, 1), act="start")
    fields = form_with(client, 3, three, "undo").fields
    without_the_first(three, nurse)
    post(client, 3, three, **fields, act="undo")
    assert started(three) == [("J2930", False), ("J2350", True)], "the tap went up with its drug"
    assert three.administrations.get(drug="J2350").started_entered_at == minutes(0)
    assert words_of(live(client, 4, three)).count("Undo") == 1, "the tap of the drug that was removed ended with it"
    post(client, 5, three, **form_with(client, 4, three, "undo").fields, act="undo")
    assert started(three) == [("J2930", False), ("J2350", False)]


def test_a_question_stays_with_its_drug(three: Any, nurse: User) -> None:
    for place in (0, 1):
        three.questions.create(administration=place, text=f"About {place}?", asked_by=nurse, asked_at=timezone.now())
    three.questions.create(text="About all?", asked_by=nurse, asked_at=timezone.now())
    without_the_first(three, nurse)
    assert dict(three.questions.values_list("text", "administration")) == {
        "About 0?": None, "About 1?": 0, "About all?": None,
    }  # fmt: skip


def test_a_time_that_was_changed_in_the_form_is_not_undone(client: Tablet, run: Any, nurse: User) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 4))
    fields = form_with(client, 5, encounter, "undo").fields
    [drug] = facts_of(Encounter.objects.get(pk=encounter.pk)).administrations
    saved(encounter, nurse, [replace(drug, start=minutes(2))])
    text = words_of(live(client, 5, encounter))
    assert "Undo" not in text
    assert "09:04" not in text.partition("Times recorded")[2]
    post(client, 6, encounter, **fields, act="undo")
    assert encounter.administrations.get().started_at == minutes(2)
    assert "was changed in the record since" in live(client, 6, encounter)


@pytest.mark.parametrize(
    "typed",
    [
        lambda drug: [replace(drug, stop=minutes(16)), replace(drug, start=minutes(20), stop=minutes(50))],
        lambda drug: [replace(drug, stop=minutes(16), drug="J2323")],
        lambda drug: [replace(drug, start=minutes(5), stop=minutes(16)), replace(drug, start=minutes(20))],
    ],
    ids=["a stop and the next bag", "a stop and another drug", "other times and the next bag"],
)
def test_taps_stay_with_their_drug_whatever_is_typed_beside_it(run: Any, nurse: User, typed: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0), ("new_bag", 10))
    [drug] = facts_of(Encounter.objects.get(pk=encounter.pk)).administrations
    saved(encounter, nurse, typed(drug))
    assert encounter.taps.filter(undone_at__isnull=True, position=0).count() == 2


def test_the_seconds_of_a_tapped_start_stay_when_its_stop_is_typed(run: Any, nurse: User) -> None:
    encounter = run(3, "Sarah Whitfield", 0)
    with time_machine.travel(minutes(0) + timedelta(seconds=40), tick=False):
        tap(by=nurse, encounter=encounter, position=0, kind="start", tap_id=uuid4())
    [drug] = facts_of(Encounter.objects.get(pk=encounter.pk)).administrations
    shown = replace(drug, start=minutes(0))
    saved(encounter, nurse, [replace(shown, stop=minutes(16)), replace(shown, start=minutes(20), stop=minutes(50))])
    begun = encounter.administrations.get(position=0).started_at
    assert begun == minutes(0) + timedelta(seconds=40), "15 whole minutes, and not 16"


def tap_at(encounter: Encounter, nurse: User, kind: str, seconds: int, position: int = 0) -> None:
    with time_machine.travel(NINE + timedelta(seconds=seconds), tick=False):
        tap(by=nurse, encounter=encounter, position=position, kind=kind, tap_id=uuid4())


def in_minutes(drug: facts.Administration) -> facts.Administration:
    """A drug as the form shows it."""

    def cut(moment: datetime | None) -> datetime | None:
        return moment and moment.replace(second=0)

    pauses = tuple(replace(each, start=cut(each.start), stop=cut(each.stop)) for each in drug.pauses)
    return replace(drug, start=cut(drug.start), stop=cut(drug.stop), pauses=pauses)


def test_the_seconds_of_a_pause_stay_when_the_one_before_it_is_removed(run: Any, nurse: User) -> None:
    encounter = run(3, "Sarah Whitfield", 0)
    for kind, seconds in (("start", 5), ("pause", 605), ("resume", 905), ("pause", 2405), ("resume", 2755)):
        tap_at(encounter, nurse, kind, seconds)
    [drug] = facts_of(Encounter.objects.get(pk=encounter.pk)).administrations
    shown = in_minutes(drug)
    saved(encounter, nurse, [replace(shown, pauses=shown.pauses[1:])])
    [pause] = encounter.administrations.get().pauses.all()
    assert (pause.started_at, pause.stopped_at) == (NINE + timedelta(seconds=2405), NINE + timedelta(seconds=2755))
    assert pause.started_entered_at == pause.started_at


def test_the_seconds_of_a_drug_stay_when_it_is_corrected_and_another_removed(three: Encounter, nurse: User) -> None:
    tap_at(three, nurse, "start", 50, position=1)
    tap_at(three, nurse, "stop", 970, position=1)
    _, drug, last = map(in_minutes, facts_of(Encounter.objects.get(pk=three.pk)).administrations)
    saved(three, nurse, [replace(drug, drug="J1100", route="iv_infusion"), last])
    corrected = three.administrations.get(position=0)
    assert (corrected.drug, corrected.started_at) == ("J1100", NINE + timedelta(seconds=50))
    assert three.taps.filter(undone_at=None, position=0).count() == 2


def test_the_form_of_what_was_tapped_shows_the_lines_that_are_billed(client: Tablet, run: Any, nurse: User) -> None:
    encounter = run(3, "Sarah Whitfield", 0)
    tap_at(encounter, nurse, "start", 50)
    tap_at(encounter, nurse, "stop", 970)
    preview = get(client, 17, "encounter", encounter.public_id).context["preview"]
    assert [line.code for line in preview.statement.lines if line.kind != "drug"] == ["96374"], "15 whole minutes"
    stored = facts_of(Encounter.objects.get(pk=encounter.pk))
    [drug] = map(in_minutes, stored.administrations)
    for typed in (drug, replace(drug, stop=drug.stop and drug.stop + timedelta(minutes=1))):
        [exact] = to_the_second(replace(stored, administrations=(typed,)), stored).administrations
        assert exact.start == NINE + timedelta(seconds=50)
        assert exact.stop == (NINE + timedelta(seconds=970) if typed is drug else typed.stop)


def test_the_seconds_of_a_visit_at_home_stay_when_its_form_is_saved(run: Any, nurse: User) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0))
    times = NINE - timedelta(seconds=1750), NINE + timedelta(seconds=7270)
    Encounter.objects.filter(pk=encounter.pk).update(visit_started_at=times[0], visit_stopped_at=times[1])
    for moved in (0, 1):
        visit = facts.Visit(
            start=times[0].replace(second=0), stop=times[1].replace(second=0) + timedelta(minutes=moved)
        )
        saved(encounter, nurse, facts_of(Encounter.objects.get(pk=encounter.pk)).administrations, visit=visit)
        encounter.refresh_from_db()
        stop = times[1] if not moved else visit.stop
        assert (encounter.visit_started_at, encounter.visit_stopped_at) == (times[0], stop)


def test_the_last_tap_is_undone_once_and_only_for_a_while(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0), ("stop", 20))
    text = words_of(live(client, 21, encounter))
    assert "Stopped at 09:20 , a minute ago Undo" in text
    form = form_with(client, 21, encounter, "undo")
    for _ in range(2):
        post(client, 21, encounter, **form.fields, act="undo")
    text = words_of(live(client, 21, encounter))
    assert "Running 21 min" in text
    assert "Only the last tap" not in text
    assert "Undo" not in text, "the start is longer ago than a mistaken tap"


def test_a_late_time_needs_its_reason_and_is_marked(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0))
    form = form_with(client, 90, encounter, "late")
    asked = {**form.fields, "act": "late", "what": what("pause", encounter), "at": "1005"}
    reply = post(client, 90, encounter, **asked)
    assert reply.status_code == 422
    text = reply.content.decode()
    assert "Say why the time is entered late" in text
    assert 'value="1005"' in text
    for _ in range(2):
        assert post(client, 81, encounter, **{**asked, "reason": "At the bedside"}).status_code == 302
    line = words_of(live(client, 82, encounter))
    assert "10:05 Paused Late entry at 10:21, L. Ames, RN: At the bedside" in line
    kept = encounter.taps.get(kind="pause")
    assert (kept.happened_at, kept.entered_at) == (minutes(65), minutes(81))


def test_a_late_reason_is_kept_as_the_form_takes_it(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0)
    form = form_with(client, 30, encounter, "late")
    asked = {**form.fields, "act": "late", "what": what("start", encounter), "at": "0905"}
    for reason, status in (("\u200e\u00a0", 422), ("\u00a0pump\u00a0alarm\u200e", 302)):
        assert post(client, 30, encounter, **{**asked, "reason": reason}).status_code == status
    assert encounter.administrations.get().late_reason == "pump alarm"
    address = reverse("encounter", args=[encounter.public_id])
    opened = Page(get(client, 31, "encounter", encounter.public_id).content).form_to(address).fields
    with client.at(31):
        assert client.post(address, {**opened, "act": "save"}).status_code == 302
    assert encounter.administrations.get().late_reason == "pump alarm"


def seconds_tapped(encounter: Encounter, nurse: User, *taps: tuple[str, int]) -> None:
    for kind, second in taps:
        with time_machine.travel(NINE + timedelta(seconds=second, microseconds=123456), tick=False):
            tap(by=nurse, encounter=encounter, position=0, kind=kind, tap_id=uuid4())


def times_of(encounter: Encounter) -> list[Any]:
    names = ("started_at", "started_entered_at", "stopped_at", "stopped_entered_at")
    row = encounter.administrations.get()
    return [*row.pauses.values_list(*names), *(getattr(row, name) for name in names)]


@pytest.mark.parametrize(
    "ends", [(("resume", 1245), ("stop", 5830)), (("stop", 1245),), (("resume", 1245), ("stop", 1250))]
)
def test_a_pause_within_one_minute_passes_the_form_with_its_seconds(
    client: Tablet, run: Any, nurse: User, ends: Any
) -> None:
    encounter = run(3, "Sarah Whitfield", 0)
    seconds_tapped(encounter, nurse, ("start", 5), ("pause", 1205), *ends)
    before, address = times_of(encounter), reverse("encounter", args=[encounter.public_id])
    page = get(client, 100, "encounter", encounter.public_id)
    opened = Page(page.content).form_to(address).fields
    outside = "has to end after it starts"
    assert outside not in words_of(page.content.decode())
    with client.at(100):
        for added in ({"d1-administered": "600"}, {"d1-ordered": "600"}):
            drawn = client.post(address, {**opened, **added, "act": "add-discard-d1"})
            assert outside not in words_of(drawn.content.decode())
            opened = {**Page(drawn.content).form_to(address).fields, "act": "remove-d1-w1"}
            opened = Page(client.post(address, opened).content).form_to(address).fields
        assert client.post(address, {**opened, "act": "save"}).status_code == 302
    assert times_of(encounter) == before


@pytest.mark.parametrize("typed", [("0930", "0930"), ("0921", "0921"), ("0920", "0919")])
def test_a_pause_of_no_minute_that_is_typed_is_refused(
    client: Tablet, run: Any, nurse: User, typed: tuple[str, str]
) -> None:
    encounter = run(3, "Sarah Whitfield", 0)
    seconds_tapped(encounter, nurse, ("start", 5), ("pause", 1205), ("resume", 1245), ("stop", 5830))
    address = reverse("encounter", args=[encounter.public_id])
    opened = Page(get(client, 100, "encounter", encounter.public_id).content).form_to(address).fields
    with client.at(100):
        reply = client.post(address, {**opened, "d1-p1-start": typed[0], "d1-p1-stop": typed[1], "act": "save"})
        assert reply.status_code == 200
        assert "is not after Pause 1 start" in words_of(reply.content.decode())
        another = {**opened, "d1-p2-start": "0920", "d1-p2-stop": "0920", "act": "save"}
        assert "Pause 2 stop 09:20 is not after" in words_of(client.post(address, another).content.decode())


@pytest.mark.parametrize(
    ("at", "says"),
    [("", "Write the time"), ("2560", "past the end of the clock"), ("1130", "has not come yet"),
     ("0859", "not after what was recorded")],
)  # fmt: skip
def test_a_time_that_cannot_be_is_explained(client: Tablet, run: Any, at: str, says: str) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0))
    reply = post(client, 90, encounter, act="late", what=what("stop", encounter), at=at, reason="busy", tap=uuid4())
    assert reply.status_code == 422
    assert says in reply.content.decode()
    assert "<title>Error: " in reply.content.decode()
    assert encounter.taps.count() == 1


def test_yesterdays_stop_is_entered_on_its_day(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0))
    sent = {"act": "late", "what": what("stop", encounter), "at": "1130", "reason": "forgotten", "tap": str(uuid4())}
    assert "Tuesday, March 10, 2026" in live(client, 24 * 60, encounter)
    post(client, 24 * 60, encounter, **sent, day="2026-03-10")
    assert encounter.administrations.get().stopped_at == minutes(150)


def test_a_stop_that_is_missing_is_asked_for_with_its_time(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0))
    assert "No stop since" not in live(client, 150, encounter).partition('id="live"')[2]
    text = live(client, 24 * 60, encounter).partition('id="live"')[2]
    assert "No stop since March 10, 09:00. If the infusion has ended" in words_of(text)
    assert f'<option value="{what("stop", encounter)}" selected>' in text
    assert '<details class="late" id="late" open>' in text


def test_the_repeated_hour_is_asked_about(client: Tablet, run: Any) -> None:
    night = 236 * 24 * 60 - 120  # the night to November 1, when 01:30 comes twice
    encounter = run(3, "Sarah Whitfield", night, ("start", night))
    later = night + 24 * 60
    sent = {
        "act": "late",
        "what": what("stop", encounter),
        "at": "0130",
        "reason": "busy",
        "tap": str(uuid4()),
        "day": "2026-11-01",
    }
    reply = post(client, later, encounter, **sent)
    assert "comes twice on this night" in reply.content.decode()


def confirmed(client: Tablet, encounter: Encounter, after: int) -> HttpResponse:
    form = form_with(client, after, encounter, "dose")
    return post(client, after, encounter, **form.fields, act="dose")


def test_the_whole_visit_makes_its_lines(client: Tablet, run: Any, nurse: User) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0), ("stop", 150))
    assert "600 mg given, all of it" in words_of(live(client, 151, encounter))
    assert "2 vials of 300 mg; nothing discarded" in words_of(live(client, 151, encounter))
    form = form_with(client, 151, encounter, "dose")
    for _ in range(2):
        post(client, 151, encounter, **form.fields, act="dose")
    assert "meanwhile" not in live(client, 151, encounter), "the second tap is no conflict"
    form = form_with(client, 152, encounter, "hand-over")
    replies = [post(client, 152, encounter, **form.fields, act="hand-over") for _ in range(2)]
    assert {reply.headers["Location"] for reply in replies} == {reverse("chairs")}
    encounter.refresh_from_db()
    assert encounter.state == "with_billing"
    lines = [(line.code, line.modifiers, line.units) for line in review_of(encounter).statement.lines]
    assert lines == [("96365", (), 1), ("96366", (), 1), ("J2350", ("JZ",), 600)]
    assert buttons(live(client, 153, encounter)) == []


def test_what_is_given_before_needs_one_tap_each(client: Tablet, place: Place) -> None:
    order = place(3, "Sarah Whitfield", 0, premedication=("methylprednisolone", "acetaminophen"))
    with client.at(0):
        client.post(reverse("order-begin", args=[order.public_id]))
    encounter = Encounter.objects.get()
    text = live(client, 0, encounter)
    assert words_of(text).count("Given now") == 2
    assert buttons(text) == ["start", "start", "start"]
    assert "Acetaminophen 650 mg" in words_of(text)
    drugs = dict(encounter.administrations.values_list("position", "pk"))
    for position, after, kind in ((0, 1, "start"), (1, 2, "start"), (2, 30, "start"), (2, 180, "stop")):
        post(client, after, encounter, act=kind, position=position, drug=drugs[position], tap=uuid4())
    text = words_of(live(client, 181, encounter))
    assert "1 vial of 125 mg; 25 mg discarded, rest of the vial" in text
    assert re.search("Methylprednisolone[^:]*: Given", text)
    confirmed(client, encounter, 181)
    given = encounter.administrations.values_list("drug", "administered").order_by("position")
    assert list(given) == [("J2919", 100), ("acetaminophen", 650), ("J2350", 600)]
    encounter.refresh_from_db()
    lines = [(line.code, *line.modifiers, line.units) for line in review_of(encounter).statement.lines]
    assert lines == [
        ("96365", 1), ("96366", 1), ("96375", 1), ("J2919", 20), ("J2919", "JW", 5), ("J2350", "JZ", 600),
    ]  # fmt: skip
    assert "Hand to billing" in words_of(live(client, 182, encounter))


def test_the_rest_of_the_vial_is_discarded_in_the_same_tap(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0), ("stop", 150), ordered=Decimal(575))
    assert "25 mg discarded, rest of the vial" in words_of(live(client, 151, encounter))
    confirmed(client, encounter, 151)
    discard = encounter.administrations.get().discards.get()
    assert (discard.amount, discard.reason) == (25, "vial_remainder")


def test_a_dose_the_vials_do_not_hold_is_typed(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0), ("stop", 150), ordered=Decimal(650))
    text = live(client, 151, encounter)
    assert "hold 600 mg, less than was ordered" in text
    assert buttons(text) == []


def test_the_amount_that_was_shown_is_the_one_that_is_kept(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0), ("stop", 150))
    form = form_with(client, 151, encounter, "dose")
    post(client, 151, encounter, **{**form.fields, "amount-0": "900"}, act="dose")
    post(client, 151, encounter, **{**form.fields, "version": "1"}, act="dose")
    assert encounter.administrations.get().administered is None
    assert "changed meanwhile" in live(client, 151, encounter)


def test_a_clinic_that_asks_for_a_witness_names_one(client: Tablet, run: Any, clinic: Clinic, person: Any) -> None:
    Clinic.objects.filter(pk=clinic.pk).update(asks_witness=True)
    person("second", "nurse", clinic, first_name="O.", last_name="Berg", credentials="RN")
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0), ("stop", 150), ordered=Decimal(575))
    form = form_with(client, 151, encounter, "dose")
    post(client, 151, encounter, **form.fields, act="dose")
    assert encounter.administrations.get().administered is None
    post(client, 151, encounter, **{**form.fields, "witness": "second"}, act="dose")
    assert encounter.administrations.get().discards.get().witness.username == "second"


def record_discard(encounter: Encounter, amount: int, reason: str, witness: User | None = None) -> None:
    row = encounter.administrations.get()
    Discard.objects.create(administration=row, position=0, amount=amount, reason=reason, witness=witness)


@pytest.mark.parametrize(
    ("amount", "reason"),
    [(50, "broken_or_spilled"), (50, "prepared_not_given"), (50, "line_residual"), (30, "vial_remainder")],
)
def test_discards_in_the_record_are_not_replaced_by_the_rest_of_the_vial(
    client: Tablet, run: Any, amount: int, reason: str
) -> None:
    vials = ((Decimal(100), 4),)
    encounter = run(3, "Tor Lindqvist", 0, ("start", 0), ("stop", 150), drug="J1745", ordered=Decimal(350), vials=vials)
    older = form_with(client, 151, encounter, "dose")
    record_discard(encounter, amount, reason)
    page = live(client, 152, encounter)
    assert "Discards are recorded already, so type what was given." in words_of(page)
    assert f'href="{reverse("encounter", args=[encounter.public_id])}#d1-administered"' in page
    assert buttons(page) == []
    post(client, 152, encounter, **older.fields, act="dose")
    row = encounter.administrations.get()
    assert (row.administered, [(each.amount, each.reason) for each in row.discards.all()]) == (None, [(amount, reason)])


def test_the_rest_of_the_vial_keeps_who_saw_it(client: Tablet, run: Any, clinic: Clinic, person: Any) -> None:
    Clinic.objects.filter(pk=clinic.pk).update(asks_witness=True)
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0), ("stop", 150), ordered=Decimal(575))
    record_discard(encounter, 25, "vial_remainder", person("second", "nurse", clinic))
    assert "Who saw it" not in live(client, 151, encounter)
    confirmed(client, encounter, 151)
    row = encounter.administrations.get()
    assert (row.administered, row.discards.get().witness.username) == (575, "second")


def test_what_is_missing_is_listed_in_two_status_words(client: Tablet, run: Any) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0), diagnoses=())
    text = words_of(live(client, 151, encounter)).partition("things to do")[2].partition("Times recorded")[0]
    assert text.split("  ")[0].startswith(" Start time Done Stop time To do Dose and waste To do")
    assert "hand-over" not in buttons(live(client, 151, encounter))


# Renewing itself ------------------------------------------------------------------------------------------------------


def test_what_renews_itself_says_so_and_brings_only_what_changed(client: Tablet, run: Any, nurse: User) -> None:
    encounter = run(3, "Sarah Whitfield", 0, ("start", 0))
    encounter.refresh_from_db()
    text = live(client, 5, encounter)
    assert text.count("""hx-headers='{"X-Idle": "1"}'""") == 2
    address = f"{reverse('chair', args=[encounter.public_id])}?seen={encounter.version}"
    with client.at(40):
        same = client.get(address, headers={"X-Idle": "1"})
        press(encounter, nurse, "pause", 39)
        changed = client.get(address, headers={"X-Idle": "1"})
    assert same.headers["HX-Retarget"] == "#so-far"
    assert "40 min" in words_of(same.content.decode())
    assert "<button" not in same.content.decode()
    assert "HX-Retarget" not in changed.headers
    assert buttons(changed.content.decode()) == ["stop", "resume", "new_bag"]
    board = get(client, 40, **{"X-Idle": "1"}).content.decode()
    assert "<html" not in board
    assert "Paused at" in board


def test_the_clinics_time_is_on_the_page(client: Tablet, run: Any) -> None:
    text = get(client, 137).content.decode()
    assert "Clinic time 11:17" in words_of(text)
    assert 'data-server-now="2026-03-10T11:17:00-04:00"' in text
