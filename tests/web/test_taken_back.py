"""What has left and cannot be replaced: it is taken back as it was, and what takes its place is an original."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from infusion.actions import NewFees, correct, load_fees, save_encounter, void, withdraw_fees
from infusion.batches import Candidate, content_of, lacking, sender_of
from infusion.models import Batch, Clinic, Coverage, Encounter, Patient
from infusion.services.facts import Administration
from infusion.services.payment import Rate
from payers.models import Payer
from tests.web.test_batches import COMPLETE, Site, kinds, left, site

__all__ = ["site"]
FACTS = ("setting", "administrations", "date_of_service")
HYDRATION = Administration(
    id="a1", route="hydration", purpose="ordered", start=datetime(2026, 3, 10, 9, 0), stop=datetime(2026, 3, 10, 9, 40)
)


def taken_up(site: Site, encounter: Encounter, **changed: Any) -> Encounter:
    """An approved encounter as a draft again, saved with some of what was recorded changed."""
    encounter = site.found(encounter)
    correct(by=site.biller, encounter=encounter, version=encounter.version, reason="Mixed up.")
    draft = site.found(encounter)
    recorded = replace(site.sarah, patient_reference=encounter.patient.reference)
    facts = replace(recorded.facts, **{name: changed[name] for name in FACTS if name in changed})
    changed = {name: value for name, value in changed.items() if name not in ("setting", "administrations")}
    return save_encounter(
        by=site.nurse, clinic=site.clinic, client_id=draft.client_id, public_id=draft.public_id, version=draft.version,
        recorded=replace(recorded, facts=facts, **changed),
    )  # fmt: skip


def another_patient(site: Site, encounter: Encounter) -> Encounter:
    own = site.approved("MRN-2002")
    void(by=site.biller, encounter=own, version=own.version, reason="Recorded twice.")
    return taken_up(site, encounter, patient_reference="MRN-2002")


def another_day(site: Site, encounter: Encounter) -> Encounter:
    day = timedelta(days=1)
    given = tuple(
        replace(each, start=each.start and each.start + day, stop=each.stop and each.stop + day)
        for each in site.sarah.facts.administrations
    )
    assert site.sarah.date_of_service is not None
    on = site.sarah.date_of_service + day
    return taken_up(site, encounter, administrations=given, date_of_service=on)


def another_form(site: Site, encounter: Encounter) -> Encounter:
    return taken_up(site, encounter, setting="hospital_outpatient", place_of_service="22")


@pytest.mark.parametrize("change", [another_patient, another_day, another_form])
def test_a_claim_of_another_patient_day_or_form_is_taken_back_as_it_was(
    site: Site, client: Client, change: Callable[[Site, Encounter], Encounter]
) -> None:
    encounter = site.approved()
    first = site.batch(encounter)
    site.numbered(first)
    was = content_of(first.claims.get())
    client.force_login(site.biller)
    draft = change(site, encounter)
    shown = client.get(f"/encounters/{encounter.public_id}/review/").context
    assert f"takes claim {was.number} back from Medicare" in shown["will_be_sent"]
    assert "Medicare gets an original claim with the new lines." in shown["will_be_sent"]
    site.approve_again(draft)
    second = site.batch(site.found(encounter))
    assert kinds(second) == [("8", "medicare"), ("1", "medicare")]
    back, new = (content_of(each) for each in second.claims.order_by("pk"))
    assert (back.patient_reference, back.date_of_service, back.form) == (
        was.patient_reference, was.date_of_service, was.form,
    )  # fmt: skip
    assert (new.patient_reference, new.date_of_service, new.form) != (
        was.patient_reference, was.date_of_service, was.form,
    )  # fmt: skip
    assert left_over(first, second, site) == {(new.patient_reference, new.date_of_service.isoformat()): 3}
    messages = site.file(second, "dft").decode()
    assert re.findall(r"FT1\|\d\|[^|]*\|\d\|(\d+)\|\|(CR|CG)", messages) == [
        *[(f"{was.date_of_service:%Y%m%d}", "CR")] * 3, *[(f"{new.date_of_service:%Y%m%d}", "CG")] * 3,
    ]  # fmt: skip
    assert re.findall(r"PID\|1\|\|([^|]*)", messages) == [was.patient_reference, new.patient_reference]
    assert set(left().values()) == {1}


def left_over(first: Batch, second: Batch, site: Site) -> Counter[tuple[str, str]]:
    """By patient and day, the charges less the credits of both batches."""
    found: Counter[tuple[str, str]] = Counter()
    for batch in (first, second):
        for row in csv.DictReader(io.StringIO(site.file(batch, "csv").decode())):
            found[row["patient"], row["date_of_service"]] += 1 if row["kind"] == "charge" else -1
    return +found


def test_another_form_leaves_in_both_files(site: Site) -> None:
    encounter = site.approved()
    site.numbered(site.batch(encounter))
    site.approve_again(another_form(site, encounter))
    second = site.batch(site.found(encounter))
    assert re.findall(r"CLM\*[^~]*\*11:B:(\d)", site.file(second, "837p").decode()) == ["8"]
    institutional = site.file(second, "837i").decode()
    assert re.findall(r"CLM\*[^~]*\*13:A:(\d)", institutional) == ["1"]
    assert "REF*F8" not in institutional


def test_whoever_approves_sees_another_patient_and_another_place(site: Site, client: Client) -> None:
    encounter = site.approved()
    taken_up(site, encounter, patient_reference="MRN-2002", place_of_service="12")
    client.force_login(site.biller)
    shown = client.get(f"/encounters/{encounter.public_id}/review/").context["was_now"]
    assert shown.changed
    assert [(each.label, each.was, each.now) for each in shown.record] == [
        ("Patient", "MRN-1001", "MRN-2002"), ("Place of service", "11", "12"),
    ]  # fmt: skip


@pytest.mark.parametrize("correction", [None, another_patient])
def test_what_left_before_the_clinic_sent_its_own_claims_is_taken_back_too(
    site: Site, correction: Callable[[Site, Encounter], Encounter] | None
) -> None:
    """What the claim that left did not name is as it is known now, of the patient it was about."""
    encounter = site.approved()
    fees = site.clinic.fee_schedules.get().fees
    dear = fees.get(code="J2350")
    feeds(site, True, encounter)
    fees.filter(code="J2350").update(code="J2351")
    first = site.batch(encounter)
    fees.filter(pk=dear.pk).update(code="J2350")
    feeds(site, False, encounter)
    if correction is None:
        stored = site.found(encounter)
        void(by=site.biller, encounter=stored, version=stored.version, reason="Never given.")
    else:
        site.approve_again(correction(site, encounter))
        Patient.objects.filter(reference="MRN-2002").update(family_name="Okafor")
    mine = [each for each in site.standing() if each.encounter.pk == encounter.pk]
    assert [lack.item for each in mine for candidate in each.candidates for lack in candidate.missing] == [
        f"The number that Medicare gave claim {first.claims.get().number} is not recorded. Enter it from the payer's "
        "answer, on the batch of that claim."
    ]
    site.numbered(first)
    second = site.batch(site.found(encounter))
    taken_back = content_of(second.claims.order_by("pk")[0])
    assert (taken_back.frequency, taken_back.patient.name.family, taken_back.membership.member_id) == (
        "8", "Lindqvist", "1EG4TE5MK73",
    )  # fmt: skip
    assert sum(line.charge or 0 for line in taken_back.credits) == Decimal("37010.00")
    assert "*37010***11:B:8*" in site.file(second, "837p").decode()


def feeds(site: Site, system: bool, encounter: Encounter) -> None:
    """Whether a billing system sends the clinic's claims, which knows all but the lines."""
    Clinic.objects.update(sends_claims=not system, npi="" if system else COMPLETE["npi"])
    Payer.objects.update(electronic_id="" if system else "13202")
    Patient.objects.filter(pk=encounter.patient_id).update(family_name="" if system else "Lindqvist")
    Encounter.objects.filter(pk=encounter.pk).update(attending=None if system else site.provider)
    Coverage.objects.update(member_id="" if system else "1EG4TE5MK73")
    site.clinic.refresh_from_db()


# Nothing is left to bill ----------------------------------------------------------------------------------------------


@pytest.fixture
def hydrated(site: Site) -> Encounter:
    """Forty minutes of hydration alone, which have left as one line."""
    withdraw_fees(by=site.biller, schedule=site.clinic.fee_schedules.get(), reason="Incomplete.")
    rates = {"96360": 100, "96365": 200, "96366": 60, "J2350": 61}
    fees = NewFees(
        payer=None, name="Charges", source="Ours", effective_from=site.sarah.date_of_service.replace(day=1),
        effective_until=None, checksum="1" * 64,
        rates=tuple(Rate(code=code, rate=Decimal(rate)) for code, rate in rates.items()),
    )  # fmt: skip
    load_fees(by=site.biller, clinic=site.clinic, fees=fees)
    encounter = site.approved(administrations=(HYDRATION,))
    site.numbered(site.batch(encounter))
    return encounter


def shortened(site: Site, encounter: Encounter) -> Encounter:
    short = replace(HYDRATION, stop=datetime(2026, 3, 10, 9, 20))
    return taken_up(site, encounter, administrations=(short,))


def test_a_correction_that_leaves_no_line_only_takes_back(site: Site, hydrated: Encounter, client: Client) -> None:
    other = site.approved("MRN-5")
    draft = shortened(site, hydrated)
    client.force_login(site.biller)
    told = client.get(f"/encounters/{draft.public_id}/review/").context["will_be_sent"]
    assert told.endswith("void (frequency 8). There is no new line, so nothing takes its place.")
    site.approve_again(draft)
    batch = site.batch(site.found(hydrated), site.found(other))
    assert sorted(kinds(batch)) == [("1", "medicare"), ("8", "medicare")]
    assert len(re.findall(r"CLM\*", site.file(batch, "837p").decode())) == 2
    assert site.rows(batch)[0][0] == "credit"


def test_a_replacement_without_a_line_is_never_ready(site: Site) -> None:
    encounter = site.approved()
    first = site.batch(encounter)
    site.numbered(first)
    stop = site.sarah.facts.administrations[0].stop
    assert stop is not None
    site.corrected(encounter, stop=stop + timedelta(hours=1))
    [candidate] = [each for standing in site.standing() for each in standing.candidates]
    assert isinstance(candidate, Candidate)
    empty = replace(candidate.claim, charges=())
    assert [each.item for each in lacking(candidate.encounter, candidate.claim, sender_of(site.clinic))] == []
    assert "It replaces a claim and has no line of its own. Make it void." in [
        each.item for each in lacking(candidate.encounter, empty, sender_of(site.clinic))
    ]
