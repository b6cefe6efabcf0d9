"""The claim checklist: each item's state comes from the findings, and nothing that is found is left out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from infusion.actions.tables import load_edits
from infusion.claim_checklist import GROUPS, LOOK, MET, MISSING, NOT_HERE, Row, claim_checklist, counts_of
from infusion.claim_review import claim_findings_of
from infusion.models import Coverage, Encounter, Skip
from infusion.selectors import review_of, with_record
from infusion.services.findings import CLAIM_MESSAGES, MESSAGES, Severity
from infusion.skips import skip_name
from payers.actions import publish_override
from payers.models import Payer
from tests.web.access_table import ADMIN, BILLING
from tests.web.conftest import House
from tests.web.test_edit_tables import NCCI, new

MEMBERSHIP = "A membership holds on the day"
CHARGES = "Every line has its charge, and the total fits on one claim"
PAIRS = "No pair of codes that is not paid together"
LIMITS = "Units are within the limits of a day"
PLACE = "The place of service goes with the setting"


def rows(encounter: Encounter) -> dict[str, Row]:
    stored = with_record(Encounter.objects.select_related("patient", "payer", "recorded_by")).get(pk=encounter.pk)
    return {row.label: row for group in claim_checklist(stored).values() for row in group}


def test_every_finding_belongs_to_an_item() -> None:
    prefixes = tuple(code for items in GROUPS.values() for item in items for code in item.codes)
    grave = [code for code, (weight, _) in {**MESSAGES, **CLAIM_MESSAGES}.items() if weight is not Severity.INFO]
    assert [code for code in grave if not code.startswith(prefixes)] == []
    assert not "nothing.known".startswith(prefixes)


def test_every_item_names_findings_or_documentation_that_exist() -> None:
    known = {**MESSAGES, **CLAIM_MESSAGES}
    for items in GROUPS.values():
        for item in items:
            assert item.codes or item.documented
            assert [code for code in item.codes if not any(each.startswith(code) for each in known)] == []


def test_states_follow_the_findings(house: House) -> None:
    found = rows(house.with_billing)
    assert found["What was opened is given or discarded, to the milligram"].state == MET
    assert found["Units are milligrams by the billing unit, not vials"].words == "J2350 JZ x600"
    assert found["Hours are earned by running minutes"].words == "96365 x1, 96366 x1"
    assert (found[MEMBERSHIP].state, found[MEMBERSHIP].where) == (LOOK, "patient")
    assert found["Discarded drug has its reason"].state == NOT_HERE
    assert found["In a trial, the sponsor's drug is not charged"].state == NOT_HERE
    assert found["An order is on file"] == Row("An order is on file", MISSING, "Not documented", "record")
    assert (found[CHARGES].state, found[CHARGES].words) == (LOOK, "3 lines without a charge")
    Coverage.objects.create(
        patient=house.with_billing.patient, payer=house.with_billing.payer, member_id="M",
        effective_from=house.with_billing.date_of_service,
    )  # fmt: skip
    assert rows(house.with_billing)[MEMBERSHIP] == Row(MEMBERSHIP, MET, "", "")


def test_an_error_is_missing_until_it_is_mended_or_set_aside(house: House) -> None:
    encounter = house.with_billing
    Encounter.objects.filter(pk=encounter.pk).update(place_of_service="22")
    encounter.refresh_from_db()
    found = rows(encounter)[PLACE]
    assert (found.state, found.where) == (MISSING, "record")
    assert "the facility bills them" in found.words
    [finding] = [each for each in claim_findings_of(encounter, review_of(encounter)) if "place" in each.code]
    Skip.objects.create(
        encounter=encounter, finding=skip_name(finding), message=finding.message, reason="A leased suite",
        by=house.people[BILLING], at=encounter.entered_at,
    )  # fmt: skip
    assert rows(encounter)[PLACE] == Row(PLACE, LOOK, "Set aside by D. Reyes: A leased suite", "record")
    Encounter.objects.filter(pk=encounter.pk).update(place_of_service="11")
    assert rows(encounter)[PLACE] == Row(PLACE, MET, "11", "")


def test_a_warning_is_to_be_looked_at(house: House, medicare: Payer) -> None:
    from payers.actions import Departure

    for parameter, value in (("prior_authorization", "always"), ("step_therapy", "another drug")):
        said = Departure(
            parameter=parameter, value=value, effective_from=house.with_billing.date_of_service,
            source_document="Handbook", source_read_on=house.with_billing.date_of_service,
        )  # fmt: skip
        publish_override(by=house.people[ADMIN], payer=medicare, departure=said, status="verified")
    found = rows(house.with_billing)
    authorization = found["A prior authorization covers the day and the dose"]
    assert (authorization.state, authorization.where) == (MISSING, "patient")
    assert authorization.words.endswith("And 1 more.")
    assert found["What had to be tried first was tried"].state == LOOK


def test_the_tables_that_were_asked_are_named(house: House) -> None:
    found = rows(house.with_billing)
    assert (found[PAIRS].state, found[PAIRS].words) == (NOT_HERE, "No table is loaded for the day")
    assert (found[LIMITS].state, found[LIMITS].words) == (MET, "By the shipped limits, which nobody has verified")
    load_edits(by=None, new=new())
    load_edits(by=None, new=new(NCCI, "ncci"))
    found = rows(house.with_billing)
    assert (found[PAIRS].state, found[PAIRS].words) == (MET, "NCCI 2026Q1, practitioner")
    assert (found[LIMITS].state, found[LIMITS].words) == (MET, "MUE 2026Q1, practitioner")


def test_who_sends_no_claims_needs_no_charges(house: House) -> None:
    house.clinic.sends_claims = False
    house.clinic.save()
    found = rows(house.with_billing)
    assert (found[CHARGES].state, found[MEMBERSHIP].state) == (MET, NOT_HERE)


def test_an_approved_claim_is_checked_as_it_was_approved(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infusion.claim_checklist.review_of", lambda encounter: pytest.fail("calculated again"))
    assert rows(house.approved)["Units are milligrams by the billing unit, not vials"].words == "J2350 JZ x600"


@pytest.mark.parametrize("state", ["draft", "with_billing", "returned", "approved"])
def test_the_page_lists_every_item_with_its_state(house: House, state: str) -> None:
    encounter = getattr(house, state)
    client = Client()
    client.force_login(house.people[BILLING])
    page: Any = client.get(f"/encounters/{encounter.public_id}/review/checklist/")
    text = re.sub(r"<[^>]*>", " ", page.content.decode().partition("<article")[2].partition("</article>")[0])
    text = " ".join(text.replace("&#x27;", "'").split())
    for items in GROUPS.values():
        for item in items:
            assert item.label in text
    stored = with_record(Encounter.objects.select_related("patient", "payer", "recorded_by")).get(pk=encounter.pk)
    counts = counts_of(claim_checklist(stored))
    assert sum(counts.values()) == sum(len(items) for items in GROUPS.values())
    assert f"{counts[MISSING] + counts[LOOK]} open {counts[MET]} met, {counts[MISSING]} missing" in text
    assert "Mend in the record" in text
    assert b"<title>Claim checklist" in page.content
    assert "no-store" in page.headers["Cache-Control"]
