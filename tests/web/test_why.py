"""Why a line is what it is, under every payer and on no page of a nurse."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from infusion.actions import Recorded, approve, hand_to_billing, save_encounter
from infusion.models import Clinic, Encounter, User
from infusion.selectors import review_of
from infusion.services.facts import Discard, Pause
from infusion.services.findings import CLAIM_MESSAGES, MESSAGES
from infusion.services.reference import shipped_reference
from infusion.views.issues import PARAMETER_OF, RULE_OF
from payers.actions import Departure, add_payer, publish_override
from payers.models import Payer
from payers.policy import PARAMETERS


def rule(payer: Payer, parameter: str, value: object, first: date = date(2024, 1, 1), **more: Any) -> None:
    departure = Departure(
        parameter=parameter, value=value, effective_from=first, source_document="Payer summary 001",
        source_read_on=date(2026, 1, 12), **more,
    )  # fmt: skip
    publish_override(by=None, payer=payer, departure=departure, status="verified")


@pytest.fixture
def make(clinic: Clinic, nurse: User, sarah: Recorded) -> Any:
    def write(**given: Any) -> Encounter:
        facts = replace(sarah.facts, administrations=(replace(sarah.facts.administrations[0], **given),))
        saved = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=replace(sarah, facts=facts))
        return hand_to_billing(by=nurse, encounter=saved, version=saved.version)

    return write


@pytest.fixture
def billing(client: Client, biller: User) -> Client:
    client.force_login(biller)
    return client


def whys(client: Client, encounter: Encounter) -> dict[str, Any]:
    context = client.get(f"/encounters/{encounter.public_id}/review/").context
    return {" ".join(filter(None, [why.line.code, why.line.modifiers])): why for why in context["whys"]}


def test_a_line_answers_in_two_sentences_and_says_what_is_near(billing: Client, make: Any) -> None:
    """150 running minutes: 60 and 60 and 30; one more would be 31, which earns an hour, and 60 fewer lose it."""
    found = whys(billing, make())
    assert found["96366"].answer == (
        "Ocrelizumab: 150 running minutes. The first 60 are the initial hour; 90 more are 1 full hour and 30 minutes, "
        "and 31 past a full hour earn another unit."
    )
    assert found["96366"].near == (
        "1 more minute, a stop at 11:31, would have earned another hour: 96366 with 2 units instead of 1.",
        "60 fewer minutes, a stop at 10:30, would have lost an hour: no 96366.",
    )
    assert found["J2350 JZ"].near[0] == (
        "1 mg less, discarded instead, would have made it no J2350 JZ, J2350 with 599 units and J2350 JW with 1 unit."
    )


def test_the_tree_names_every_time_and_what_it_adds_up_to(billing: Client, make: Any) -> None:
    """9:00 to 11:30 are 150 minutes, less 15 of a pause are 135."""
    pause = Pause(start=datetime(2026, 3, 10, 10, 0), stop=datetime(2026, 3, 10, 10, 15))
    [reckoning] = whys(billing, make(pauses=(pause,)))["96365"].reckonings
    assert [(step.name, step.value, step.total) for step in reckoning.steps] == [
        ("Start", "09:00", ""), ("Paused", "10:00 to 10:15", "less 15 minutes"), ("Stop", "11:30", ""),
        ("Running", "start to stop, less pauses", "135 minutes"),
    ]  # fmt: skip


def test_the_amounts_of_a_drug_are_told(billing: Client, make: Any) -> None:
    given = {"administered": Decimal(480), "discards": (Discard(amount=Decimal(120), reason="vial_remainder"),)}
    [reckoning] = whys(billing, make(**given))["J2350 JW"].reckonings
    assert [(step.name, step.total) for step in reckoning.steps][1:] == [
        ("Opened", "600 mg"), ("Given", "480 mg"), ("Discarded", "120 mg"),
    ]  # fmt: skip


def test_the_values_read_carry_layer_source_and_dates(billing: Client, make: Any, medicare: Payer) -> None:
    rule(medicare, "additional_hour_minimum_minutes", 30, effective_until=date(2026, 12, 31))
    why = whys(billing, make())["96366"]
    [value] = [each for each in why.parameters if each.name == "additional_hour_minimum_minutes"]
    assert (value.value, value.layer.whose, value.source, value.dates) == (
        "30 minutes", "Medicare", "Payer summary 001, read January 12, 2026", "January 1, 2024 to December 31, 2026",
    )  # fmt: skip
    assert [(layer.whose, layer.value) for layer in value.others] == [("National baseline", "31 minutes")]
    assert why.near[0].startswith("60 more minutes, a stop at 12:30, would have earned another hour: 96366 with 3")


def test_how_far_a_limit_is(billing: Client, make: Any, medicare: Payer) -> None:
    """480 mg ordered and given under a limit of 600 mg are 120 mg away from it."""
    rule(medicare, "prior_authorization", "above_dose", drug="J2350")
    rule(medicare, "prior_authorization_dose_limit", "600", drug="J2350")
    given = {
        "ordered": Decimal(480), "administered": Decimal(480),
        "discards": (Discard(amount=Decimal(120), reason="vial_remainder"),),
    }  # fmt: skip
    near = whys(billing, make(**given))["J2350"].near
    assert [words for words in near if words.startswith("120 mg away from a prior authorization. Above it")]


def test_an_approval_is_told_by_the_rules_it_rests_on(
    billing: Client, make: Any, medicare: Payer, biller: User
) -> None:
    encounter = make()
    approve(
        by=biller, encounter=encounter, version=encounter.version, acknowledged=(),
        content_hash=review_of(encounter).content_hash,
    )  # fmt: skip
    before = whys(billing, encounter)["96366"].near
    rule(medicare, "additional_hour_minimum_minutes", 60)
    assert whys(billing, encounter)["96366"].near == before


@pytest.mark.parametrize("address", ["/encounters/{id}/", "/encounters/?view=today", "/encounters/{id}/live/"])
def test_no_nurse_reads_what_a_minute_earns(client: Client, nurse: User, make: Any, address: str) -> None:
    encounter = make()
    client.force_login(nurse)
    text = client.get(address.format(id=encounter.public_id), follow=True).text
    for words in ("would have earned", "more minute", "How it was reckoned", "Why?"):
        assert words not in text
    assert client.get(f"/encounters/{encounter.public_id}/review/").status_code == 403
    assert client.get(f"/encounters/{encounter.public_id}/review/payers/").status_code == 403


# Under every payer ----------------------------------------------------------------------------------------------------


def beside(client: Client, encounter: Encounter) -> dict[str, Any]:
    response = client.get(f"/encounters/{encounter.public_id}/review/payers/")
    assert response.status_code == 200
    return {row.name: {f"{col.code} {col.modifiers}".strip(): cell for col, cell in row.cells} | {"": row}
            for row in response.context["rows"]}  # fmt: skip


def test_each_payer_stands_beside_the_others_with_its_reason(billing: Client, make: Any) -> None:
    """580 given and 20 discarded in 150 minutes: a 30-minute plan adds an hour, one that bills no waste drops JW."""
    rule(add_payer(by=None, slug="thirty", name="Thirty"), "additional_hour_minimum_minutes", 30)
    rule(add_payer(by=None, slug="nowaste", name="No Waste"), "discarded_drug", "not_billed")
    given = {"administered": Decimal(580), "discards": (Discard(amount=Decimal(20), reason="vial_remainder"),)}
    encounter = make(**given)
    table = beside(billing, encounter)
    assert list(table) == ["Medicare", "National baseline", "No Waste", "Thirty"]
    hours, waste = table["Thirty"]["96366"], table["No Waste"]["J2350 JW"]
    assert (hours.units, hours.difference) == (2, "instead of 1")
    assert hours.rule == "Minutes that earn another hour: 30 minutes instead of 31 minutes"
    assert hours.reason.startswith("Ocrelizumab: 150 running minutes.")
    assert (waste.units, waste.difference) == (0, "no line")
    assert waste.rule == "Discarded drug: Not billed instead of On its own line, with JW"
    assert table["National baseline"][""].same
    assert not table["Thirty"][""].same
    text = billing.get(f"/encounters/{encounter.public_id}/review/payers/").text
    assert '<span aria-hidden="true">≠ </span>2' in text
    assert "Differs: " in text


def test_the_rules_are_those_of_the_day(billing: Client, make: Any) -> None:
    """A rule from April on says nothing of a day in March."""
    rule(add_payer(by=None, slug="later", name="Later"), "additional_hour_minimum_minutes", 30, date(2026, 4, 1))
    assert beside(billing, make())["Later"]["96366"].units == 1


def test_findings_point_at_rules_that_exist() -> None:
    assert set(PARAMETER_OF) | set(RULE_OF) <= {*MESSAGES, *CLAIM_MESSAGES}
    assert set(PARAMETER_OF.values()) <= set(PARAMETERS)
    assert set(RULE_OF.values()) <= set(shipped_reference().rules)
