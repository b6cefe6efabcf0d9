"""Lists and review: who sees which encounter, what is approved, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from infusion.actions import Recorded, hand_to_billing, return_to_nurse, save_encounter
from infusion.approved import approved_content
from infusion.models import Approval, Clinic, Encounter, User
from infusion.selectors import encounter_for, review_of
from infusion.services.facts import Discard
from infusion.services.findings import ERRORS, WARNINGS
from infusion.views.few_words import ACKNOWLEDGED, LACKS
from infusion.worklist import Worklist
from payers.actions import Departure, add_payer, publish_override
from payers.models import Payer
from payers.selectors import policy_for
from tests.web.conftest import questions

State = Encounter.State
Make = Callable[..., Encounter]


def rule(payer: Payer, parameter: str, value: object, **more: Any) -> None:
    departure = Departure(
        parameter=parameter,
        value=value,
        effective_from=date(2024, 1, 1),
        source_document="Payer summary 001",
        source_read_on=date(2026, 1, 12),
        **more,
    )
    publish_override(by=None, payer=payer, departure=departure, status="unverified")


@pytest.fixture
def thirty(db: None) -> Payer:
    payer = add_payer(by=None, slug="thirty-minute-plan", name="30-Minute Plan")
    rule(payer, "additional_hour_minimum_minutes", 30)
    return payer


@pytest.fixture
def anthem(db: None) -> Payer:
    payer = add_payer(by=None, slug="anthem-bcbs", name="Anthem BCBS")
    rule(payer, "discarded_drug", "not_billed")
    return payer


@pytest.fixture
def make(clinic: Clinic, nurse: User, sarah: Recorded) -> Make:
    """Sarah's encounter with what a test changes, as a draft or handed to billing."""

    def write(
        reference: str = "MRN-1001", *, handed: bool = True, payer: Payer | None = None, **given: Any
    ) -> Encounter:
        administration = replace(sarah.facts.administrations[0], **given)
        recorded = replace(
            sarah,
            patient_reference=reference,
            payer=payer or sarah.payer,
            facts=replace(sarah.facts, administrations=(administration,)),
        )
        encounter = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=recorded)
        return hand_to_billing(by=nurse, encounter=encounter, version=encounter.version) if handed else encounter

    return write


WASTE = {"administered": Decimal(580), "discards": (Discard(amount=Decimal(20), reason="vial_remainder"),)}


@pytest.fixture
def billing(client: Client, biller: User) -> Client:
    client.force_login(biller)
    return client


def page(client: Client, encounter: Encounter, view: str = "") -> Any:
    return client.get(f"/encounters/{encounter.public_id}/review/", {"view": view} if view else {})


def lines(response: Any) -> list[tuple[str, str, int]]:
    return [(line.code, line.modifiers, line.units) for line in response.context["shown"].lines]


def form_of(response: Any, *, acknowledge: bool = False) -> dict[str, Any]:
    """What the approval form on a page sends."""
    return {
        "version": response.context["encounter"].version,
        "content": response.context["shown"].review.content_hash,
        "acknowledge": [each.key for each in response.context["acknowledgements"]] if acknowledge else [],
    }


def approve(client: Client, encounter: Encounter, form: dict[str, Any]) -> Any:
    return client.post(f"/encounters/{encounter.public_id}/review/approve/", form)


def state_of(encounter: Encounter) -> str:
    return Encounter.objects.get(pk=encounter.pk).state


# Who ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("nurse", "get", "/encounters/", 200),
        ("nurse", "get", "/encounters/{id}/review/", 403),
        ("nurse", "post", "/encounters/{id}/review/approve/", 403),
        ("nurse", "post", "/encounters/{id}/review/return/", 403),
        ("biller", "get", "/encounters/", 200),
        ("biller", "get", "/encounters/{id}/review/", 200),
        ("biller", "get", "/encounters/{id}/review/approve/", 405),
        ("biller", "post", "/encounters/{id}/review/", 405),
        ("admin_user", "get", "/encounters/", 200),
        ("admin_user", "get", "/encounters/{id}/review/", 200),
        ("admin_user", "post", "/encounters/{id}/review/approve/", 403),
        ("admin_user", "post", "/encounters/{id}/review/return/", 403),
        ("other_biller", "get", "/encounters/{id}/review/", 404),
        ("other_biller", "post", "/encounters/{id}/review/approve/", 404),
        ("other_biller", "post", "/encounters/{id}/review/return/", 404),
    ],
)
def test_each_role_reaches_what_is_its_own(
    client: Client, make: Make, request: pytest.FixtureRequest, role: str, method: str, path: str, status: int
) -> None:
    encounter = make()
    client.force_login(request.getfixturevalue(role))
    assert getattr(client, method)(path.format(id=encounter.public_id)).status_code == status
    assert state_of(encounter) == State.WITH_BILLING


def test_nobody_looks_without_signing_in(client: Client, make: Make) -> None:
    for path in ("/encounters/", f"/encounters/{make().public_id}/review/"):
        assert client.get(path).headers["Location"].startswith("/accounts/login/")


def test_lists_hold_nothing_of_another_clinic(client: Client, make: Make, other_biller: User) -> None:
    make()
    client.force_login(other_biller)
    response = client.get("/encounters/?view=all")
    assert response.context["page"].paginator.count == 0
    assert "No encounter is recorded yet." in response.text
    assert "MRN-1001" not in response.text


def test_an_admin_sees_every_encounter_and_no_form(client: Client, make: Make, anthem: Payer, admin_user: User) -> None:
    encounter, draft = make(payer=anthem, **WASTE), make("MRN-2", handed=False)
    client.force_login(admin_user)
    listed = client.get("/encounters/?view=all")
    assert {row.encounter.pk for row in listed.context["rows"]} == {encounter.pk, draft.pk}
    assert "New encounter" not in listed.text
    text = page(client, encounter).text
    assert "Only billing approves an encounter" in text
    assert "nobody has verified" in text
    assert 'name="acknowledge"' not in text
    assert f"/encounters/{encounter.public_id}/review/approve/" not in text


# Lists ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "ends"), [("nurse", "/"), ("biller", "/review/?view=with-billing")])
def test_every_home_ends_with_the_newest_of_the_others(
    client: Client, make: Make, request: pytest.FixtureRequest, role: str, ends: str
) -> None:
    """An infusion of an older day that was handed over, and one still open, stay in sight with their state."""
    handed, draft = make(), make("MRN-2", handed=False)
    client.force_login(request.getfixturevalue(role))
    response = client.get("/encounters/")
    shown = {row.encounter.pk: row for row in (*response.context["rows"], *response.context["lately"])}
    assert set(shown) == {handed.pk, draft.pk}
    assert [shown[each.pk].state.words for each in (handed, draft)] == ["With billing", "Draft"]
    assert shown[handed.pk].address.endswith(f"{handed.public_id}{ends}")
    assert client.get(shown[handed.pk].address).status_code == 200
    assert client.get("/encounters/?view=all").context["lately"] == []


@time_machine.travel(datetime(2026, 3, 11, 3, 30, tzinfo=UTC), tick=False)
def test_a_nurse_sees_the_clinics_day_and_older_drafts(
    client: Client, make: Make, nurse: User, biller: User, clinic: Clinic, sarah: Recorded
) -> None:
    """23:30 on March 10 at the clinic, although it is the next day elsewhere."""
    today = make()
    asked = make("MRN-3")
    return_to_nurse(by=biller, encounter=asked, version=asked.version, question="When did it stop?")
    early = replace(sarah.facts.administrations[0], start=datetime(2026, 3, 2, 9, 0), stop=None)
    for reference, administration in (("MRN-2", early), ("MRN-4", replace(early, stop=datetime(2026, 3, 2, 11, 0)))):
        recorded = replace(
            sarah, patient_reference=reference, date_of_service=date(2026, 3, 2),
            facts=replace(sarah.facts, date_of_service=date(2026, 3, 2), administrations=(administration,)),
        )  # fmt: skip
        saved = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=recorded)
    hand_to_billing(by=nurse, encounter=saved, version=1)

    client.force_login(nurse)
    response = client.get("/encounters/")
    rows = {row.encounter.patient.reference: row for row in response.context["rows"]}

    assert set(rows) == {"MRN-1001", "MRN-2", "MRN-3"}, "MRN-4 is older and no longer a draft"
    assert [rows[reference].state.words for reference in ("MRN-1001", "MRN-2", "MRN-3")] == [
        "With billing", "Draft", "Draft",
    ]  # fmt: skip
    assert rows["MRN-2"].lacking == "stop time"
    assert rows["MRN-3"].question == "When did it stop?"
    assert rows["MRN-1001"].drugs == "Ocrelizumab"
    assert rows["MRN-1001"].address == f"/encounters/{today.public_id}/"
    assert ">New encounter</a>" in response.text
    assert "J2350" not in response.text
    assert "Sarah Lindqvist" in response.text, "whose encounter it is"


def test_billing_counts_its_lists(billing: Client, make: Make, thirty: Payer, biller: User) -> None:
    make("MRN-1")
    make("MRN-2", payer=thirty)
    asked = make("MRN-3")
    return_to_nurse(by=biller, encounter=asked, version=asked.version, question="Which arm?")
    make("MRN-4", handed=False, stop=None)
    done = make("MRN-5")
    approve(billing, done, form_of(page(billing, done)))
    back = make("MRN-6")
    returned = return_to_nurse(by=biller, encounter=back, version=back.version, question="Which lot?")
    returned.questions.update(answer="The second one.")
    hand_to_billing(by=biller, encounter=returned, version=returned.version, attested=True)

    response = billing.get("/encounters/")
    assert {view.name: view.count for view in response.context["views"]} == {
        "with-billing": 3, "warnings": 1, "asked": 1, "back": 1, "no-stop": 1, "approved": 1, "all": 6,
    }  # fmt: skip
    for view in response.context["views"]:
        listed = billing.get("/encounters/", {"view": view.name})
        assert len(listed.context["rows"]) == view.count, view.name
    ready = {row.encounter.patient.reference: row.readiness.words for row in response.context["rows"]}
    assert ready == {"MRN-1": "Ready", "MRN-2": "1 warning", "MRN-6": "Ready"}


def test_what_a_changed_rule_blocks_has_a_list_of_its_own(billing: Client, make: Make, medicare: Payer) -> None:
    make(start=datetime(2026, 3, 10, 9, 0), stop=datetime(2026, 3, 10, 9, 10))
    assert [view.name for view in billing.get("/encounters/").context["views"]].count("blocked") == 0
    held = make("MRN-2")
    # Only an edit around the actions could leave a record with billing incomplete.
    held.administrations.all().update(stopped_at=None)
    Encounter.objects.filter(pk=held.pk).update(version=held.version + 1)
    response = billing.get("/encounters/?view=blocked")
    assert [row.readiness.words for row in response.context["rows"]] == ["Blocked"]
    assert next(view.count for view in response.context["views"] if view.name == "blocked") == 1
    refused = approve(billing, held, form_of(page(billing, held)))
    assert refused.status_code == 422
    assert "has no stop time" in refused.context["sent"].refusal
    assert state_of(held) == State.WITH_BILLING


def test_a_list_is_judged_as_a_review_is(make: Make, clinic: Clinic, thirty: Payer) -> None:
    encounter = make(payer=thirty)
    worklist = Worklist(clinic, date(2026, 3, 10))
    (item,) = worklist.items([encounter.pk])
    assert item.judgement is not None
    assert item.judgement.content_hash == review_of(encounter).content_hash
    assert len(policy_for(thirty).layers) == len(worklist.policies[thirty.pk].layers) == 2


@pytest.mark.usefixtures("no_touch_is_written")
@pytest.mark.parametrize("view", ["with-billing", "warnings", "all"])
def test_the_number_of_queries_does_not_grow(billing: Client, make: Make, thirty: Payer, view: str) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert billing.get(path, {"view": view}).status_code == 200
        return questions(captured)

    first = make("MRN-0", payer=thirty)
    for number in range(1, 5):
        make(f"MRN-{number}", payer=thirty)
    queries(f"/encounters/{first.public_id}/review/")  # the first reading of a site begins its record
    few = [queries("/encounters/"), queries(f"/encounters/{first.public_id}/review/")]
    for number in range(5, 50):
        make(f"MRN-{number}", payer=thirty)
    assert [queries("/encounters/"), queries(f"/encounters/{first.public_id}/review/")] == few
    assert max(few) < 45


def test_a_long_list_has_pages(billing: Client, make: Make) -> None:
    for number in range(52):
        make(f"MRN-{number}", handed=False)
    first, second = (billing.get("/encounters/", {"view": "all", "page": number}) for number in (1, 2))
    assert [len(response.context["rows"]) for response in (first, second)] == [50, 2]
    assert "?view=all&amp;page=2" in first.text
    assert billing.get("/encounters/?view=all&page=nonsense").status_code == 200


def test_neighbours_follow_the_list(billing: Client, make: Make, thirty: Payer) -> None:
    made = [make(f"MRN-{number}", payer=thirty if number % 2 else None) for number in range(6)]
    place = page(billing, made[2]).context["place"]
    assert (place.number, place.total, place.previous, place.next) == (3, 6, made[1].public_id, made[3].public_id)
    place = page(billing, made[3], "warnings").context["place"]
    assert (place.number, place.total, place.previous, place.next) == (2, 3, made[1].public_id, made[5].public_id)
    approve(billing, made[2], form_of(page(billing, made[2])))
    place = page(billing, made[2], "with-billing").context["place"]
    assert (place.number, place.total, place.previous, place.next) == (None, 5, made[1].public_id, made[3].public_id)


# What is shown --------------------------------------------------------------------------------------------------------


def test_sarah_under_medicare_is_ready(billing: Client, make: Make) -> None:
    response = page(billing, make())
    assert lines(response) == [("96365", "", 1), ("96366", "", 1), ("J2350", "JZ", 600)]
    assert response.context["acknowledgements"] == []
    assert [(figure.value, figure.label) for figure in response.context["shown"].figures] == [
        ("150", "running minutes"), ("600", "of 600 mg given"), ("0", "mg discarded"),
    ]  # fmt: skip
    assert "Sarah Lindqvist" in response.text
    title = response.text[response.text.index("<title>") : response.text.index("</title>")]
    assert "Sarah" not in title
    assert "MRN" not in title
    assert "Recorded by L. Ames, RN" in response.text
    assert "One more minute would add one unit of 96366" in response.text


def test_the_rule_of_a_plan_is_shown_with_the_layers_below_it(billing: Client, make: Make, thirty: Payer) -> None:
    response = page(billing, make(payer=thirty))
    assert lines(response)[1] == ("96366", "", 2)
    reason = next(
        reason
        for line in response.context["shown"].lines
        for reason in line.reasons
        if reason.rule == "Minutes that earn another hour"
    )
    assert [(layer.whose, layer.value, layer.status, layer.decides) for layer in reason.layers] == [
        ("National baseline", "31 minutes", "Verified", False), ("30-Minute Plan", "30 minutes", "Unverified", True),
    ]  # fmt: skip
    assert reason.source == "Payer summary 001, read January 12, 2026"
    assert reason.in_force == "In force from January 1, 2024."
    (warning,) = response.context["acknowledgements"]
    assert warning.title == "the rule on minutes that earn another hour is unverified"
    assert "30-Minute Plan" in warning.message
    assert warning.cost == "If it does not hold: 96366 has 1 unit instead of 2."


def test_anthem_bills_no_waste_and_says_what_that_costs(billing: Client, make: Make, anthem: Payer) -> None:
    response = page(billing, make(payer=anthem, **WASTE))
    assert lines(response)[2] == ("J2350", "", 580)
    assert response.context["shown"].figures[2].label == "mg discarded, not billed"
    (warning,) = response.context["acknowledgements"]
    assert warning.title == "the rule on discarded drug is unverified"
    assert warning.cost == "If it does not hold: J2350 JW with 20 units is missing here."


def test_a_rule_that_changes_no_unit_is_told_so(billing: Client, make: Make, medicare: Payer) -> None:
    rule(medicare, "step_therapy", "Copaxone", drug="J2350")
    first, unverified = page(billing, make()).context["acknowledgements"]
    assert (first.title, first.message) == (
        "another treatment comes first",
        "Medicare wants this tried before ocrelizumab: Copaxone.",
    )
    assert unverified.title == "the rule on step therapy is unverified"
    assert unverified.cost == "If it does not hold, the units and modifiers are the same."


def test_a_draft_can_be_looked_at_and_not_approved(billing: Client, make: Make) -> None:
    draft = make(handed=False, stop=None)
    response = page(billing, draft)
    assert "This encounter is a draft, so it can be looked at and not approved." in response.text
    assert "has no stop time" in response.text
    assert 'action="' + f"/encounters/{draft.public_id}/review/approve/" not in response.text
    refused = approve(billing, draft, form_of(response))
    assert refused.status_code == 422
    assert state_of(draft) == State.DRAFT


def test_every_finding_has_its_few_words() -> None:
    assert set(LACKS) == set(ERRORS)
    assert set(ACKNOWLEDGED) == set(WARNINGS)


# Approving ------------------------------------------------------------------------------------------------------------


def test_an_approval_is_shown_as_it_was_stored(
    billing: Client, make: Make, thirty: Payer, anthem: Payer, biller: User
) -> None:
    encounter = make(payer=thirty)
    response = page(billing, encounter)
    before = response.context["shown"]
    done = approve(billing, encounter, form_of(response, acknowledge=True))
    assert done.status_code == 302
    assert done.headers["Location"] == f"/encounters/{encounter.public_id}/review/?view=with-billing"

    approval = Approval.objects.get()
    assert approval.approved_by == biller
    stored = approved_content(approval)
    assert lines_of(stored) == lines_of(before)
    assert stored.statement.findings == before.statement.findings
    assert [each.minutes for each in stored.statement.lines] == [150, 150, None]

    rule(thirty, "infusion_minimum_minutes", 60)
    shown = page(billing, encounter)
    assert lines(shown) == [("96365", "", 1), ("96366", "", 2), ("J2350", "JZ", 600)]
    assert "D. Reyes" in shown.text
    assert approval.content_hash[:12] in shown.text
    assert "nobody has verified" in shown.text
    assert f"/encounters/{encounter.public_id}/review/approve/" not in shown.text
    assert [deed.what for deed in shown.context["history"]] == [
        "recorded the encounter", "handed it to billing", "approved it",
    ]  # fmt: skip


def lines_of(content: Any) -> list[Any]:
    """Lines with their reasons as values that can be compared: a layer is only equal to itself."""
    return [
        (line._replace(because=()), [(why.rule, why.text, why.source, reading_of(why)) for why in line.because])
        for line in content.statement.lines
    ]


def reading_of(why: Any) -> tuple[object, ...]:
    return why.reading and (why.reading.value, why.reading.drug, why.reading.whose, why.reading.unverified)


def test_what_is_not_acknowledged_is_not_approved(billing: Client, make: Make, anthem: Payer) -> None:
    rule(anthem, "step_therapy", "Copaxone")
    encounter = make(payer=anthem, **WASTE)
    response = page(billing, encounter)
    form = form_of(response, acknowledge=True)
    assert len(form["acknowledge"]) == 3
    ticked = form["acknowledge"][:1]
    refused = approve(billing, encounter, {**form, "acknowledge": ticked})
    assert refused.status_code == 422
    assert "left to acknowledge" in refused.context["sent"].refusal
    assert [each.key for each in refused.context["acknowledgements"] if each.checked] == ticked
    assert "2 warnings are left to acknowledge." in refused.text
    assert 'id="refusal" role="alert" tabindex="-1" autofocus' in refused.text
    assert "<title>Error: " in refused.text
    assert state_of(encounter) == State.WITH_BILLING
    assert approve(billing, encounter, form).status_code == 302
    assert state_of(encounter) == State.APPROVED


@pytest.mark.parametrize("version", ["1", "99", "", "two", "２", "-2", "9" * 30])
def test_a_version_that_is_not_the_stored_one_is_refused(billing: Client, make: Make, version: str) -> None:
    encounter = make()
    refused = approve(billing, encounter, {**form_of(page(billing, encounter)), "version": version})
    assert refused.status_code == 409
    assert "Someone else has changed this encounter meanwhile." in refused.text
    assert state_of(encounter) == State.WITH_BILLING


def test_a_rule_that_changed_since_the_page_was_shown_refuses(billing: Client, make: Make, medicare: Payer) -> None:
    encounter = make()
    form = form_of(page(billing, encounter))
    rule(medicare, "additional_hour_minimum_minutes", 30)
    refused = approve(billing, encounter, form)
    assert refused.status_code == 422
    assert "The lines have changed since they were shown" in refused.text
    assert lines(refused)[1] == ("96366", "", 2)
    assert len(refused.context["acknowledgements"]) == 1
    assert not Approval.objects.exists()


def test_approving_twice_is_refused_and_keeps_one_approval(billing: Client, make: Make) -> None:
    encounter = make()
    form = form_of(page(billing, encounter))
    assert approve(billing, encounter, form).status_code == 302
    assert approve(billing, encounter, form).status_code == 409
    assert Approval.objects.count() == 1


# Returning ------------------------------------------------------------------------------------------------------------


def test_a_question_goes_to_the_nurse_and_comes_back(billing: Client, make: Make, nurse: User, clinic: Clinic) -> None:
    encounter = make()
    back = f"/encounters/{encounter.public_id}/review/return/"
    done = billing.post(back, {"version": encounter.version, "question": "Did it <really> stop at 11:30?"})
    assert done.status_code == 302
    assert state_of(encounter) == State.DRAFT
    shown = page(billing, encounter)
    assert "Did it &lt;really&gt; stop at 11:30?" in shown.text
    assert "The nurse has not answered yet." in shown.text
    assert [row.encounter.pk for row in billing.get("/encounters/?view=asked").context["rows"]] == [encounter.pk]

    again = encounter_for(nurse, encounter.public_id)
    assert again is not None
    again.questions.update(answer="Yes, <11:30>.")
    hand_to_billing(by=nurse, encounter=again, version=again.version, attested=True)
    shown = page(billing, encounter)
    assert "Yes, &lt;11:30&gt;." in shown.text
    assert "I, L. Ames, RN, made this late entry on " in shown.text
    assert [deed.what for deed in shown.context["history"]][2:] == [
        "returned it to the nurse with a question", "handed it to billing",
    ]  # fmt: skip


def test_an_empty_or_late_question_is_refused_with_its_words_kept(billing: Client, make: Make) -> None:
    encounter = make()
    back = f"/encounters/{encounter.public_id}/review/return/"
    empty = billing.post(back, {"version": encounter.version, "question": "  "})
    assert empty.status_code == 422
    assert "Write what the nurse should answer." in empty.text
    late = billing.post(back, {"version": 1, "question": "Which arm was it?"})
    assert late.status_code == 409
    assert ">Which arm was it?</textarea>" in late.text
    assert '<details class="send-back" open>' in late.text
    assert state_of(encounter) == State.WITH_BILLING
