"""What a change would have done: counted by hand, equal to what it does once it is published, and nothing written."""

import csv
import io
import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from infusion import impact
from infusion.access import ADMIN
from infusion.actions import save_encounter
from infusion.impact import Forecast, Question, all_changes, forecast, forecast_part
from infusion.models import Clinic, Encounter, User
from infusion.selectors import encounters_of, with_record
from payers import changes
from payers.actions import Departure, draft_override, publish_override
from payers.models import Payer, PolicyOverride
from payers.proposals import Wanted, propose, publish_proposal
from payers.selectors import policy_for
from payers.whatif import DATED, HELD, policies
from tests.web.conftest import everything
from tests.web.page import unpacked

pytestmark = pytest.mark.django_db
TODAY = date(2026, 3, 10)
HOUR = "additional_hour_minimum_minutes"
CITED = {"source_document": "Bulletin", "source_read_on": date(2026, 3, 6)}
# Running minutes, and the units of 96366 now and under "30 minutes earn a unit".
VISITS = ((90, 0, 1), (91, 1, 1), (149, 1, 1), (150, 1, 2), (151, 2, 2), (210, 2, 3))


@pytest.fixture(autouse=True)
def on_march_10():
    with time_machine.travel("2026-03-10T23:00:00Z", tick=False):
        yield


@pytest.fixture
def draft(medicare: Payer, admin_user: User) -> PolicyOverride:
    return draft_override(by=admin_user, payer=medicare, departure=departure(date(2026, 4, 1)))


def departure(first_day: date, **more: Any) -> Departure:
    return Departure(**{"parameter": HOUR, "value": 30, "effective_from": first_day, **CITED, **more})


def asked(override: PolicyOverride, clinic: Clinic, days: str = HELD, since: date | None = None) -> Question:
    return Question(override=override, clinic=clinic, since=since, until=TODAY, days=days)


def units_of_hours(statement: Any) -> int:
    return sum(line.units for line in statement.lines if line.code == "96366")


def test_exactly_those_change_that_ran_thirty_minutes_past_an_hour(visited, medicare, clinic, draft) -> None:
    made = {visited(minutes, medicare).public_id: (now, then) for minutes, now, then in VISITS}
    found = {
        each.public_id: [(line.code, line.now, line.then) for line in each.lines]
        for each in all_changes(asked(draft, clinic))
    }
    assert found == {public_id: [("96366", now, then)] for public_id, (now, then) in made.items() if now != then}
    answer = forecast(asked(draft, clinic))
    assert (answer.of, answer.looked_at, answer.changed) == (6, 6, 3)
    assert answer.lines == {("96366", ()): 3}
    assert (answer.more_units, answer.fewer_units) == (3, 0)


def test_records_that_wait_for_billing_count_and_drafts_and_other_payers_do_not(
    visited, medicare, clinic, draft, admin_user, nurse, sarah
) -> None:
    other = Payer.objects.create(slug="other", name="Other")
    visited(90, medicare, until="with billing")
    visited(90, other)
    save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    answer = forecast(asked(draft, clinic))
    assert (answer.of, answer.changed) == (1, 1)


def test_parts_add_up_to_the_whole(visited, medicare, clinic, draft) -> None:
    for minutes, _, _ in VISITS:
        visited(minutes, medicare)
    question, found = asked(draft, clinic), Forecast(of=len(VISITS))
    while not found.done:
        found = forecast_part(question, found, 2)
    assert found == forecast(question)


def test_nothing_is_written(visited, medicare, clinic, draft) -> None:
    visited(90, medicare)
    before = everything()
    assert forecast(asked(draft, clinic)).changed == 1
    assert everything() == before


def real(encounters: list[Encounter], policy: Any) -> dict[Any, int]:
    read = with_record(encounters_of(encounters[0].clinic)).filter(pk__in=[each.pk for each in encounters])
    return {each.public_id: units_of_hours(impact.calculate(impact.facts_of(each), policy, impact.current_reference()))
            for each in read}  # fmt: skip


@pytest.mark.parametrize("rule_before", [False, True], ids=["baseline before", "a rule before"])
def test_what_is_published_later_does_what_was_foretold(
    rule_before, visited, medicare, clinic, admin_user, admin2
) -> None:
    followed = None
    if rule_before:
        followed = publish_override(
            by=None, payer=medicare, status="unverified", departure=departure(date(2024, 1, 1), value=60)
        )
    encounters = [visited(minutes, medicare, TODAY - timedelta(days=days), until="with billing")
                  for days in (1, 5, 6, 40) for minutes, _, _ in VISITS]  # fmt: skip
    draft = draft_override(
        by=admin_user, payer=medicare, departure=departure(TODAY - timedelta(days=5)), replaces=followed
    )
    question = asked(draft, clinic, DATED)
    before, foretold = real(encounters, policy_for(medicare)), list(all_changes(question))
    wanted = Wanted(kind="publish", override=draft, status="unverified", reason="Late bulletin")
    proposal = propose(by=admin_user, payer=medicare, wanted=wanted, today=TODAY)
    publish_proposal(by=admin2, proposal=proposal)
    after = real(encounters, policy_for(medicare))
    assert {each.public_id: (line.now, line.then) for each in foretold for line in each.lines} == {
        public_id: (before[public_id], after[public_id])
        for public_id in before
        if before[public_id] != after[public_id]
    }
    assert foretold
    assert {each.date_of_service for each in foretold} == {TODAY - timedelta(days=5), TODAY - timedelta(days=1)}


def test_the_end_of_a_rule_is_foretold_too(visited, medicare, clinic, admin_user, admin2) -> None:
    rule = publish_override(by=None, payer=medicare, status="unverified", departure=departure(date(2024, 1, 1)))
    for days in (1, 5, 6):
        visited(90, medicare, TODAY - timedelta(days=days), until="with billing")
    assert forecast(asked(rule, clinic)).lines == {("96366", ()): -3}
    last_day = TODAY - timedelta(days=6)
    wanted = Wanted(kind="end", override=rule, last_day=last_day, reason="It had ended.")
    proposal = propose(by=admin_user, payer=medicare, wanted=wanted, today=TODAY)
    assert forecast(asked(rule, clinic, DATED)).lines == {("96366", ()): -2}
    publish_proposal(by=admin2, proposal=proposal)
    units = real(list(Encounter.objects.all()), policy_for(medicare))
    assert sorted(units.values()) == [0, 0, 1]


@pytest.mark.parametrize(("first", "last"), [
    (date(2024, 1, 1), None), (date(2026, 3, 1), None), (date(2023, 1, 1), date(2023, 12, 31)),
    (date(2026, 2, 1), date(2026, 2, 28)), (date(2023, 12, 1), date(2025, 5, 31)),
])  # fmt: skip
def test_a_dated_policy_is_the_one_that_publishing_makes(first, last, medicare, admin_user, admin2) -> None:
    rule = publish_override(
        by=None, payer=medicare, status="unverified",
        departure=departure(date(2024, 1, 1), value=60, effective_until=date(2026, 5, 31)),
    )  # fmt: skip
    draft = draft_override(
        by=admin_user, payer=medicare, departure=departure(first, effective_until=last), replaces=None
    )
    _, foretold = policies(draft, DATED)
    touches = first <= date(2026, 5, 31) and (last is None or last >= date(2024, 1, 1))
    wanted = Wanted(
        kind="publish", override=draft, status="unverified", reason="Late", in_the_way=rule if touches else None
    )
    publish_proposal(by=admin2, proposal=propose(by=admin_user, payer=medicare, wanted=wanted, today=TODAY))
    real_policy = policy_for(medicare)
    days = [date(2022, 12, 31) + timedelta(days=n) for n in range(0, 1400, 3)]
    days += [day + timedelta(days=n) for day in (first, last or first, rule.effective_from, date(2026, 5, 31))
             for n in (-1, 0, 1)]  # fmt: skip
    assert [foretold.on(day, "office").look_up(HOUR).value for day in days] == [
        real_policy.on(day, "office").look_up(HOUR).value for day in days
    ]


@pytest.mark.parametrize(("first", "last"), [
    (date(2026, 1, 1), date(2026, 1, 31)), (date(2026, 1, 1), None), (date(2026, 3, 1), date(2026, 3, 5)),
    (date(2026, 4, 1), None), (date(2026, 4, 1), date(2026, 4, 30)),
])  # fmt: skip
@pytest.mark.parametrize("drug", ["", "J2350"])
def test_another_wording_of_a_rule_does_what_was_foretold(first, last, drug, medicare, admin_user, admin2) -> None:
    """One that does not begin later replaces the rule, also where its days lie before it or its drug is another."""
    rule = publish_override(
        by=None, payer=medicare, departure=departure(date(2026, 3, 1), value=60), status="unverified"
    )
    draft = draft_override(
        by=admin_user, payer=medicare, departure=departure(first, effective_until=last, drug=drug), replaces=rule
    )
    _, foretold = policies(draft, DATED)
    changes.publish(by=admin2, draft=draft, status="unverified")
    real, days = policy_for(medicare), [date(2025, 12, 30) + timedelta(days=n) for n in range(150)]
    assert [[foretold.on(day, "office").look_up(HOUR, each).value for each in ("", "J2350")] for day in days] == [
        [real.on(day, "office").look_up(HOUR, each).value for each in ("", "J2350")] for day in days
    ]


# The pages ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(client: Client, admin_user: User) -> Client:
    client.force_login(admin_user)
    return client


@pytest.fixture
def two_at_once(visited, medicare, clinic, draft, monkeypatch) -> str:
    """Six visits, looked at two by two: the address at which that begins."""
    monkeypatch.setattr(impact.forecast_part, "__defaults__", (2,))
    for minutes, _, _ in VISITS:
        visited(minutes, medicare)
    return reverse("impact", args=[draft.public_id])


def test_the_page_goes_on_until_all_are_looked_at(two_at_once, admin) -> None:
    address, seen = two_at_once, []
    while address:
        response = admin.get(address)
        seen.append(response.context["shown"].forecast.looked_at)
        address = response.context["next"]
        told = unpacked(address)
        assert not address or '"looked_at"' in told
        assert "P-90-9" not in told
        for each in Encounter.objects.all():
            assert not any(what in told for what in (str(each.public_id), str(each.date_of_service)[:7]))
    assert seen == [2, 4, 6]
    page = response.content.decode()
    assert "<strong>3</strong> of 6 encounters change" in page
    assert "<strong>+3</strong> <span>units of 96366</span>" in page
    assert "P-90-9" in page
    assert admin.session["impact"] == {}


def test_what_belongs_to_another_question_session_or_clinic_begins_anew(
    two_at_once, draft, admin, medicare, admin_user, person, other_clinic
) -> None:
    def looked_at(who: Client, address: str) -> int:
        return who.get(address).context["shown"].forecast.looked_at  # type: ignore[attr-defined, no-any-return]

    following = admin.get(two_at_once).context["next"]
    other = draft_override(by=admin_user, payer=medicare, departure=departure(date(2026, 5, 1)))
    of_other, made_up = following.replace(str(draft.public_id), str(other.public_id)), f"{two_at_once}?so_far=made-up"
    for address in (of_other, f"{following}&days=dated", made_up):
        assert looked_at(admin, address.replace("so_far", "x")) == 2, "the session knows this question too"
        assert looked_at(admin, address) == 2
    again, elsewhere = Client(), Client()
    again.force_login(admin_user)
    assert looked_at(again, following) == 2
    assert looked_at(admin, following) == 4
    elsewhere.force_login(person("admin3", ADMIN, other_clinic))
    Encounter.objects.update(clinic=other_clinic)
    assert looked_at(elsewhere, two_at_once) == 2
    assert looked_at(elsewhere, following) == 2


def test_a_rule_about_whole_claims_says_that_lines_alone_are_looked_at(medicare, admin_user, draft, admin) -> None:
    about = draft_override(
        by=admin_user, payer=medicare,
        departure=departure(date(2026, 4, 1), parameter="maximum_claim_charge", value="30000"),
    )  # fmt: skip
    said = "This rule is about whole claims, which are not looked at here"
    assert said in admin.get(reverse("impact", args=[about.public_id])).text
    assert said not in admin.get(reverse("impact", args=[draft.public_id])).text


def test_the_list_and_the_file_name_every_encounter(visited, medicare, clinic, draft, admin) -> None:
    changed = {str(visited(minutes, medicare).public_id) for minutes in (90, 150)}
    visited(91, medicare)
    page = admin.get(reverse("impact-encounters", args=[draft.public_id]))
    assert {str(row.change.public_id) for row in page.context["rows"]} == changed
    file = admin.get(reverse("impact-file", args=[draft.public_id])).getvalue().decode()  # type: ignore[attr-defined]
    assert {(row["encounter"], row["units_now"], row["units_then"]) for row in csv.DictReader(io.StringIO(file))} == {
        (public_id, now, then) for public_id, (now, then) in zip(sorted(changed, key=lambda each: Encounter.objects.get(
            public_id=each).pk), (("0", "1"), ("1", "2")), strict=True)
    }  # fmt: skip


def test_the_command_says_the_same(visited, medicare, clinic, draft, capsys) -> None:
    for minutes, _, _ in VISITS:
        visited(minutes, medicare)
    call_command("impact", str(draft.public_id))
    answer = json.loads(capsys.readouterr().out)["clinics"][clinic.name]
    assert answer["units"] == [{"code": "96366", "modifiers": [], "more": 3}]
    assert (answer["encounters"], answer["changed"]) == (6, 3)
    assert Decimal(answer["more_expected"]) == 0
