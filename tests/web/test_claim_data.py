"""What staff record for claims: who may, what is checked at the field, and that nobody's change is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from infusion.access import ADMIN, BILLING, NURSE
from infusion.actions import (
    Changed,
    Refused,
    add_coverage,
    change_coverage,
    correct_patient,
    keep_claim_facts,
    save_encounter,
)
from infusion.actions.claim_data import shown_digest
from infusion.audit import AuditEvent
from infusion.exchange.claim import npi_holds
from infusion.forms.claims import ClaimFactsForm, ClinicForm, CoverageForm, ProviderForm
from infusion.models import Authorization, Clinic, Coverage, Encounter, Patient, Provider
from infusion.selectors import facts_of, review_of
from payers.actions import Departure, identify_payer, publish_override
from payers.actions import Refused as PayerRefused
from payers.models import Payer
from tests.web.conftest import House
from tests.web.page import Page

SINCE = {"effective_from": date(2026, 1, 1)}


@pytest.fixture
def desk(house: House) -> Callable[..., Client]:
    def of(role: str = BILLING) -> Client:
        client = Client()
        client.force_login(house.people[role])
        return client

    return of


def filled(client: Client, page: str, /, **typed: str) -> dict[str, str]:
    """What the page's form would send, with some of it typed over."""
    form = next(each for each in Page(client.get(page).content).forms.values() if "shown" in each.fields)
    assert set(typed) <= set(form.fields), "the page has these fields"
    return {**form.fields, **typed}


def send(client: Client, page: str, /, **typed: str) -> HttpResponse:
    return client.post(page, filled(client, page, **typed))


def last_event(action: str) -> AuditEvent:
    return AuditEvent.objects.filter(action=action).latest("sequence")


# Patients -------------------------------------------------------------------------------------------------------------


def test_billing_corrects_all_of_who_a_patient_is_and_the_audit_keeps_both(house: House, desk: Any) -> None:
    patient = house.draft.patient
    address = reverse("patient", args=[patient.public_id])
    reply = send(
        desk(), address, family_name="Lindqvist", given_name="Sarah", sex="F", address="4 Elm Street",
        city="Rochester", state_code="ny", postal_code="146041201",
    )  # fmt: skip
    assert (reply.status_code, reply["Location"]) == (302, address)
    patient.refresh_from_db()
    assert (patient.family_name, patient.state_code, patient.postal_code) == ("Lindqvist", "NY", "14604-1201")
    event = last_event("patient.correct")
    assert (event.before["city"], event.after["city"]) == ("", "Rochester")  # type: ignore[index]
    assert event.by == house.people[BILLING]


def test_a_nurse_corrects_names_and_birth_date_and_nothing_else(house: House, desk: Any) -> None:
    patient = house.draft.patient
    Patient.objects.filter(pk=patient.pk).update(city="Rochester")
    address = reverse("patient", args=[patient.public_id])
    page = desk(NURSE).get(address).content.decode()
    assert "Coverages" not in page
    assert 'name="city"' not in page
    sent = filled(desk(NURSE), address, name="Sarah Lindquist", birth_date="6/3/1984")
    assert desk(NURSE).post(address, {**sent, "city": "Elsewhere", "sex": "M"}).status_code == 302
    patient.refresh_from_db()
    assert (patient.name, patient.birth_date, patient.city, patient.sex) == (
        "Sarah Lindquist", date(1984, 6, 3), "Rochester", "F",
    )  # fmt: skip


def test_saving_what_stands_there_writes_nothing(house: House, desk: Any) -> None:
    before = AuditEvent.objects.count()
    assert send(desk(), reverse("patient", args=[house.draft.patient.public_id])).status_code == 302
    assert AuditEvent.objects.count() == before


def test_a_stale_form_is_refused_with_both_shown(house: House, desk: Any) -> None:
    patient = house.draft.patient
    address = reverse("patient", args=[patient.public_id])
    mine = filled(desk(), address, city="Rochester")
    assert send(desk(NURSE), address, name="Theirs Now").status_code == 302
    reply = desk().post(address, mine)
    text = reply.content.decode()
    assert reply.status_code == 409
    assert "Someone else has changed this meanwhile" in text
    assert 'value="Rochester"' in text
    assert "<dd>Theirs Now</dd>" in text
    patient.refresh_from_db()
    assert (patient.city, patient.name) == ("", "Theirs Now")
    again = next(each for each in Page(reply.content).forms.values() if "shown" in each.fields)
    assert desk().post(address, again.fields).status_code == 302, "now that both were seen, mine is written"
    patient.refresh_from_db()
    assert patient.city == "Rochester"


def test_without_the_digest_a_change_is_lost(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same two writers, so that the test above is one of the check."""
    patient, by = house.draft.patient, house.people[BILLING]
    shown = shown_digest(patient)
    correct_patient(by=by, patient=patient, shown=shown, values={"name": "Theirs", "city": "Troy"})
    with pytest.raises(Changed):
        correct_patient(by=by, patient=patient, shown=shown, values={"name": "Mine", "city": ""})
    monkeypatch.setattr("infusion.actions.claim_data.shown_digest", lambda row: shown)
    correct_patient(by=by, patient=patient, shown=shown, values={"name": "Mine", "city": ""})
    patient.refresh_from_db()
    assert patient.city == "", "Troy is gone"


# Coverages and authorizations -----------------------------------------------------------------------------------------


def test_a_coverage_is_added_changed_and_ended(house: House, desk: Any, medicare: Payer) -> None:
    patient = house.draft.patient
    add = reverse("coverage-add", args=[patient.public_id])
    reply = send(desk(), add, payer="medicare", member_id="1eg4-te5-mk73", effective_from="2026-01-01")
    assert reply.status_code == 302
    coverage = Coverage.objects.get(patient=patient)
    assert (coverage.member_id, coverage.relationship, coverage.effective_until) == ("1EG4TE5MK73", "18", None)
    change = reverse("coverage", args=[coverage.public_id])
    assert send(desk(), change, effective_until="2026-06-30", group_number="G7").status_code == 302
    coverage.refresh_from_db()
    assert (coverage.effective_until, coverage.group_number) == (date(2026, 6, 30), "G7")
    assert last_event("coverage.change").before["effective_until"] is None  # type: ignore[index]
    text = desk().get(reverse("patient", args=[patient.public_id])).content.decode()
    assert "Member 1EG4TE5MK73, group G7" in text


def test_the_same_coverage_twice_is_one_and_a_second_for_the_day_is_refused(house: House, medicare: Payer) -> None:
    patient, by = house.draft.patient, house.people[BILLING]
    given = {**SINCE, "payer": medicare, "member_id": "A1", "effective_until": date(2026, 6, 30)}
    first = add_coverage(by=by, patient=patient, values=given)
    assert add_coverage(by=by, patient=patient, values=given).pk == first.pk
    with pytest.raises(Refused, match=r"Medicare has member A1 .* from January 1, 2026 to June 30, 2026. End that one"):
        add_coverage(by=by, patient=patient, values={**given, "member_id": "B2", "effective_from": date(2026, 6, 30)})
    later = {**given, "member_id": "B2", "effective_from": date(2026, 7, 1), "effective_until": None}
    second = add_coverage(by=by, patient=patient, values=later)
    with pytest.raises(Refused, match="member A1"):
        change_coverage(by=by, coverage=second, shown=shown_digest(second), values=SINCE)
    second.refresh_from_db()
    assert second.effective_from == date(2026, 7, 1)
    assert Coverage.objects.count() == 2


def test_the_members_own_data_are_kept_only_where_it_is_someone_else(house: House, desk: Any, medicare: Payer) -> None:
    patient = house.draft.patient
    add = reverse("coverage-add", args=[patient.public_id])
    about = {"family_name": "Lindqvist", "given_name": "Per", "birth_date": "1980-02-01", "postal_code": "14604"}
    sent = {"payer": "medicare", "member_id": "A1", "effective_from": "2026-01-01", **about}
    assert send(desk(), add, **sent, relationship="01").status_code == 302
    coverage = Coverage.objects.get(patient=patient)
    assert (coverage.given_name, coverage.birth_date) == ("Per", date(1980, 2, 1))
    assert send(desk(), reverse("coverage", args=[coverage.public_id]), relationship="18").status_code == 302
    coverage.refresh_from_db()
    assert (coverage.given_name, coverage.birth_date, coverage.postal_code) == ("", None, "")


def test_what_is_hidden_for_the_patients_own_membership_blocks_nothing(db: None, medicare: Payer) -> None:
    sent = {"payer": "medicare", "member_id": "A1", "effective_from": "2026-01-01", "relationship": "18"}
    form = CoverageForm({**sent, "postal_code": "no"}, payers={"medicare": medicare}, today=date(2026, 3, 1))
    assert form.is_valid(), form.errors
    form = CoverageForm(
        {**sent, "relationship": "01", "postal_code": "no"}, payers={"medicare": medicare}, today=date(2026, 3, 1)
    )
    assert form.issues == [
        {"field": "postal_code", "message": "ZIP code: write five digits or nine, for example 14604-1201."}
    ]


def test_an_authorization_names_a_drug_and_a_dose(house: House, desk: Any, medicare: Payer) -> None:
    patient = house.draft.patient
    add = reverse("authorization-add", args=[patient.public_id])
    wrong = send(desk(), add, payer="medicare", drug="Ocrelizumab", number="PA-7", dose_limit="0", effective_from="x")
    assert wrong.status_code == 422
    assert "a limit is more than 0" in wrong.content.decode()
    reply = send(
        desk(), add, payer="medicare", drug="Ocrelizumab", number="PA-7", dose_limit="600",
        effective_from="2026-01-01", effective_until="2026-12-31",
    )  # fmt: skip
    assert reply.status_code == 302
    row = Authorization.objects.get()
    assert (row.drug, row.number, row.dose_limit) == ("J2350", "PA-7", 600)
    text = desk().get(reverse("patient", args=[patient.public_id])).content.decode()
    assert "number PA-7, up to 600 mg a visit" in text
    assert send(desk(), reverse("authorization", args=[row.public_id]), number="PA-8").status_code == 302
    row.refresh_from_db()
    assert (row.drug, row.number, row.dose_limit) == ("J2350", "PA-8", 600)


@pytest.mark.parametrize("sex", ["F", ""])
def test_a_last_day_before_the_first_is_said_at_the_field(house: House, desk: Any, medicare: Payer, sex: str) -> None:
    add = reverse("coverage-add", args=[house.draft.patient.public_id])
    sent = {"payer": "medicare", "member_id": "A1", "effective_from": "2026-03-01", "effective_until": "2026-02-28"}
    reply = send(desk(), add, **sent, sex=sex)
    assert reply.status_code == 422
    assert '<a href="#effective_until">Last day: it lies before the first day.' in reply.content.decode()
    assert 'value="2026-02-28"' in reply.content.decode()


# Numbers and codes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("npi", "holds"),
    [("1234567893", True), ("1245319599", True), ("1234567890", False), ("1234567983", False), ("2234567893", False)],
)
def test_an_npi_is_held_to_its_check_digit(npi: str, holds: bool) -> None:
    form = ProviderForm({"family_name": "Imai", "npi": f"{npi[:3]} {npi[3:6]}-{npi[6:]}"})
    assert form.is_valid() == holds == npi_holds(npi)
    if not holds:
        assert form.errors["npi"] == [f"NPI: {npi} fails its check digit, so a digit is mistyped. Compare it."]


@pytest.mark.parametrize(
    ("name", "typed", "kept"),
    [
        ("tax_id", "123456789", "12-3456789"), ("tax_id", "12-345678", None), ("taxonomy", "261qi0500x", "261QI0500X"),
        ("taxonomy", "261QI0500Y", None), ("postal_code", "14604 1201", "14604-1201"), ("postal_code", "1460", None),
        ("state_code", "ny", "NY"), ("state_code", "ZZ", None), ("state_code", "L ", None),
        ("contact_phone", "(585) 555-0143", "585-555-0143"), ("contact_phone", "555-0143", None),
        ("sender_id", "ric 01", "RIC01"), ("receiver_id", "A" * 16, None), ("npi", "12345", None),
        ("legal_name", "A\x07B", None),
    ],
)  # fmt: skip
def test_shapes_are_checked_at_the_field(name: str, typed: str, kept: str | None) -> None:
    form = ClinicForm({name: typed})
    assert form.is_valid() == (kept is not None)
    if kept is not None:
        assert form.values[name] == kept
    else:
        assert form.errors[name][0].startswith(f"{form.fields[name].label}: ")
        assert not {"invalid", "please", "required"} & set(form.errors[name][0].lower().split())


# The clinic, the payer, the encounter ---------------------------------------------------------------------------------


def test_only_an_admin_says_who_bills(house: House, desk: Any) -> None:
    address = reverse("clinic-claims")
    assert desk(BILLING).get(address).status_code == 403
    reply = send(
        desk(ADMIN), address, sends_claims="", legal_name="Riverside Infusion LLC", npi="1245319599",
        tax_id="12 3456789",
    )  # fmt: skip
    assert reply.status_code == 302
    clinic = Clinic.objects.get(pk=house.clinic.pk)
    assert (clinic.legal_name, clinic.tax_id, clinic.sends_claims) == ("Riverside Infusion LLC", "12-3456789", False)
    assert clinic.name == house.clinic.name


def test_a_second_person_under_one_npi_is_refused(house: House, desk: Any) -> None:
    add = reverse("provider-add")
    assert send(desk(), add, family_name="Imai", given_name="Rin", npi="1234567893").status_code == 302
    assert send(desk(), add, family_name="Imai", given_name="Rin", npi="1234567893").status_code == 302
    assert Provider.objects.count() == 1, "the same one twice is one"
    reply = send(desk(), add, family_name="Other", npi="1234567893")
    assert reply.status_code == 422
    assert "NPI: 1234567893 is on record here for someone else" in reply.content.decode()
    assert Provider.objects.count() == 1


def test_who_treated_is_someone_who_was_here(house: House, desk: Any) -> None:
    here = Provider.objects.create(clinic=house.clinic, family_name="Imai", npi="1234567893")
    gone = Provider.objects.create(
        clinic=house.clinic, family_name="Gone", npi="1245319599", left_on=date(2026, 3, 9)
    )  # fmt: skip
    address = reverse("claim-facts", args=[house.approved.public_id])
    version = house.approved.version
    assert str(gone.public_id) not in desk().get(address).content.decode()
    assert desk().post(
        address, {**filled(desk(), address), "attending": str(gone.public_id)}
    ).status_code == 422  # fmt: skip
    assert send(desk(), address, attending=str(here.public_id), trial_number="01234567").status_code == 302
    encounter = Encounter.objects.get(pk=house.approved.pk)
    assert (encounter.attending, encounter.trial_number, encounter.version) == (here, "01234567", version)
    assert last_event("encounter.claim").after == {
        "attending": str(here.public_id), "trial_number": "01234567", "bought_340b": False,
    }  # fmt: skip
    assert not ClaimFactsForm({"trial_number": "NCT0123"}, providers=[]).is_valid()


def test_the_price_changes_the_modifiers_and_so_never_under_an_approval(
    house: House, desk: Callable[..., Client]
) -> None:
    publish_override(
        by=None, payer=house.draft.payer, status="unverified",
        departure=Departure(
            parameter="modifier_340b", value="TB", effective_from=date(2025, 1, 1), source_document="Bulletin",
            source_read_on=date(2026, 1, 2),
        ),
    )  # fmt: skip
    address = reverse("claim-facts", args=[house.with_billing.public_id])
    assert desk().post(address, {**filled(desk(), address), "bought_340b": "on"}).status_code == 302
    waiting = Encounter.objects.get(pk=house.with_billing.pk)
    assert waiting.version == house.with_billing.version + 1
    drug = [line for line in review_of(waiting).statement.lines if line.code == "J2350"]
    assert [line.modifiers for line in drug] == [("JZ", "TB")]
    address = reverse("claim-facts", args=[house.approved.public_id])
    reply = desk().post(address, {**filled(desk(), address), "bought_340b": "on"})
    assert reply.status_code in (409, 422)
    assert "Correct the encounter first." in reply.content.decode()
    assert not Encounter.objects.get(pk=house.approved.pk).bought_340b
    read_before = Encounter.objects.get(pk=house.approved.pk)
    read_before.state = Encounter.State.WITH_BILLING  # and approved since
    with pytest.raises(Refused, match="The lines are approved"):
        keep_claim_facts(
            by=house.people[BILLING], encounter=read_before, shown=shown_digest(read_before),
            values={"bought_340b": True},
        )  # fmt: skip


def test_earlier_doses_are_read_only_where_a_rule_looks_at_them(house: House) -> None:
    assert facts_of(house.with_billing).past_doses is None
    publish_override(
        by=None, payer=house.draft.payer, status="unverified",
        departure=Departure(
            parameter="minimum_days_between_doses", value=150, effective_from=date(2025, 1, 1),
            source_document="Bulletin", source_read_on=date(2026, 1, 2),
        ),
    )  # fmt: skip
    assert facts_of(Encounter.objects.get(pk=house.with_billing.pk)).past_doses == ()
    moved = Encounter.objects.get(pk=house.approved.pk)
    moved.patient, moved.date_of_service = house.with_billing.patient, date(2026, 1, 10)
    moved.save()
    warned = review_of(Encounter.objects.get(pk=house.with_billing.pk)).statement.warnings
    assert "dose.too_soon" in [finding.code for finding in warned]


def test_a_payer_is_named_on_claims_by_admins(house: House, desk: Any, medicare: Payer) -> None:
    address = reverse("payers:identity", args=["medicare"])
    assert desk(BILLING).get(address).status_code == 403
    form = Page(desk(ADMIN).get(address).content).forms
    sent = next(each for each in form.values() if "electronic_id" in each.fields).fields
    wrong = desk(ADMIN).post(address, {**sent, "electronic_id": "no: such"})
    assert "write its letters and digits" in wrong.content.decode()
    assert desk(ADMIN).post(address, {**sent, "electronic_id": " 13 202", "filing_code": "MB"}).status_code == 302
    medicare.refresh_from_db()
    assert (medicare.electronic_id, medicare.filing_code) == ("13202", "MB")
    stale = desk(ADMIN).post(address, {**sent, "electronic_id": "99999"})
    assert "Someone else has changed this meanwhile" in stale.content.decode()
    medicare.refresh_from_db()
    assert medicare.electronic_id == "13202"
    with pytest.raises(PayerRefused):
        identify_payer(by=None, payer=medicare, shown={}, electronic_id="1", filing_code="MB")


# Next door ------------------------------------------------------------------------------------------------------------


def test_another_clinics_rows_are_not_there(house: House, next_door: House, claim_rows: dict[str, Any]) -> None:
    patient = claim_rows["patients"].public_id
    addresses = [
        reverse("patient", args=[patient]), reverse("coverage-add", args=[patient]),
        reverse("authorization-add", args=[patient]), reverse("coverage", args=[claim_rows["coverages"].public_id]),
        reverse("authorization", args=[claim_rows["authorizations"].public_id]),
        reverse("provider", args=[claim_rows["providers"].public_id]),
        reverse("claim-facts", args=[house.approved.public_id]),
    ]  # fmt: skip
    theirs, ours = Client(), Client()
    theirs.force_login(next_door.people[BILLING])
    ours.force_login(house.people[BILLING])
    before = AuditEvent.objects.count()
    for address in addresses:
        assert ours.get(address).status_code == 200, address
        for method in ("get", "post"):
            assert getattr(theirs, method)(address).status_code == 404, address
    assert AuditEvent.objects.count() == before
    assert "Imai" not in theirs.get(reverse("providers")).content.decode()
    assert ours.get(reverse("patient", args=[uuid4()])).status_code == 404


def test_another_clinics_provider_cannot_be_chosen(house: House, next_door: House, desk: Any) -> None:
    theirs = Provider.objects.create(clinic=next_door.clinic, family_name="Quist", npi="1234567893")
    address = reverse("claim-facts", args=[house.approved.public_id])
    sent = {**filled(desk(), address), "attending": str(theirs.public_id)}
    assert desk().post(address, sent).status_code == 422
    assert Encounter.objects.get(pk=house.approved.pk).attending is None


def test_an_encounter_saved_again_keeps_who_treated(house: House, sarah: Any) -> None:
    here = Provider.objects.create(clinic=house.clinic, family_name="Imai", npi="1234567893")
    Encounter.objects.filter(pk=house.draft.pk).update(attending=here)
    saved = save_encounter(
        by=house.people[NURSE], clinic=house.clinic, client_id=house.draft.client_id, recorded=sarah,
        public_id=house.draft.public_id, version=house.draft.version,
    )  # fmt: skip
    assert saved.attending == here
