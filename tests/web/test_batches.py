"""A batch: what stands on it, each line once, its files byte for byte, and what takes back what has left."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from infusion import batches
from infusion.access import ADMIN, BILLING
from infusion.actions import (
    NewFees,
    Recorded,
    Refused,
    add_coverage,
    approve,
    begin_batch,
    correct,
    hand_to_billing,
    hold,
    load_fees,
    make_batch,
    record_payer_reference,
    save_encounter,
    skip_finding,
    take_back,
    void,
    warning_key,
    write_file,
)
from infusion.approved import Approved
from infusion.audit import AuditEvent
from infusion.batches import Standing, content_of, ready, standing_of, waiting
from infusion.models import (
    Approval,
    Batch,
    BatchClaim,
    BatchFile,
    BatchLine,
    Clinic,
    Encounter,
    Patient,
    PayerReference,
    Provider,
    User,
)
from infusion.replay import differences
from infusion.selectors import encounter_for, review_of
from infusion.services.facts import Administration
from infusion.services.payment import Rate
from infusion.skips import finding_key
from infusion.views.review import findings_of, shown_of
from payers.actions import Departure, add_payer, publish_override
from payers.models import Payer
from tests.counting import worker
from tests.processes import together
from tests.web.batch_presses import press
from tests.web.conftest import House
from tests.web.page import Page
from tests.web.test_audit import flaw

RATES = {"96365": "200", "96366": "60", "J2350": "61.25"}
TOTAL = Decimal("37010.00")  # 200 + 60 + 600 x 61.25
COMPLETE = {
    "legal_name": "Riverside Infusion LLC", "npi": "1999999984", "tax_id": "12-3456789", "taxonomy": "261QI0500X",
    "address": "200 River Road", "city": "Rochester", "state_code": "NY", "postal_code": "14604-1201",
    "contact_name": "D. Reyes", "contact_phone": "585-555-0143", "sender_id": "RIVERSIDE",
    "receiver_name": "Clearinghouse", "receiver_id": "CLEAR01",
}  # fmt: skip
PERSON = {
    "family_name": "Lindqvist", "given_name": "Sarah", "birth_date": date(1984, 6, 2), "sex": "F",
    "address": "4 Elm Street", "city": "Rochester", "state_code": "NY", "postal_code": "14604",
}  # fmt: skip


class Site:
    """A clinic whose claims lack nothing, and its people."""

    def __init__(self, clinic: Clinic, nurse: User, biller: User, medicare: Payer, sarah: Recorded) -> None:
        Clinic.objects.filter(pk=clinic.pk).update(**COMPLETE)
        Payer.objects.filter(pk=medicare.pk).update(electronic_id="13202", filing_code="MB")
        self.clinic, self.nurse, self.biller, self.medicare = Clinic.objects.get(pk=clinic.pk), nurse, biller, medicare
        self.sarah = sarah
        self.provider = Provider.objects.create(
            clinic=clinic, family_name="Imai", given_name="Rin", npi="1999999976", taxonomy="207RR0500X"
        )
        fees = NewFees(
            payer=None, name="Charges", source="Ours", effective_from=date(2026, 1, 1), effective_until=None,
            checksum="0" * 64, rates=tuple(Rate(code=code, rate=Decimal(rate)) for code, rate in RATES.items()),
        )  # fmt: skip
        load_fees(by=biller, clinic=clinic, fees=fees)

    def approved(self, reference: str = "MRN-1001", **facts: Any) -> Encounter:
        recorded = replace(self.sarah, patient_reference=reference, facts=replace(self.sarah.facts, **facts))
        encounter = save_encounter(by=self.nurse, clinic=self.clinic, client_id=uuid4(), recorded=recorded)
        Encounter.objects.filter(pk=encounter.pk).update(attending=self.provider)
        Patient.objects.filter(pk=encounter.patient_id).update(**PERSON)
        self.cover(encounter.patient, self.medicare)
        return self.approve_again(encounter)

    def cover(self, patient: Patient, payer: Payer) -> None:
        values = {"payer": payer, "member_id": "1EG4TE5MK73", "effective_from": date(2026, 1, 1)}
        add_coverage(by=self.biller, patient=patient, values=values)

    def approve_again(self, encounter: Encounter) -> Encounter:
        """Through billing as far as it has to go."""
        encounter = self.found(encounter)
        if encounter.state == Encounter.State.DRAFT:
            encounter = hand_to_billing(by=self.nurse, encounter=encounter, version=encounter.version)
        review = review_of(encounter)
        approve(
            by=self.biller, encounter=encounter, version=encounter.version, content_hash=review.content_hash,
            acknowledged=[warning_key(finding) for finding in review.statement.warnings],
        )  # fmt: skip
        return self.found(encounter)

    def found(self, encounter: Encounter) -> Encounter:
        found = encounter_for(self.biller, encounter.public_id)
        assert found is not None
        return found

    def corrected(self, encounter: Encounter, **given: Any) -> Encounter:
        """Taken up again, something of its administration changed, and approved anew."""
        encounter = self.found(encounter)
        correct(by=self.biller, encounter=encounter, version=encounter.version, reason="Wrong time.")
        changed: Administration = replace(self.sarah.facts.administrations[0], **given)
        recorded = replace(
            self.sarah, patient_reference=encounter.patient.reference,
            facts=replace(self.sarah.facts, administrations=(changed,)),
        )  # fmt: skip
        draft = self.found(encounter)
        save_encounter(
            by=self.nurse, clinic=self.clinic, client_id=draft.client_id, public_id=draft.public_id,
            version=draft.version, recorded=recorded,
        )  # fmt: skip
        return self.approve_again(encounter)

    def standing(self) -> list[Standing]:
        return standing_of(self.clinic, waiting(self.clinic))

    def lacks(self) -> list[str]:
        """Why what stands is not ready, in sentences."""
        return [
            sentence
            for standing in self.standing()
            for each in standing.candidates
            for sentence in (
                *([f"hold: {each.hold}"] if each.hold else []),
                *(lack.item for lack in each.missing),
                *(finding.code for finding in each.findings),
            )
        ]

    def batch(self, *encounters: Encounter, client_id: UUID | None = None) -> Batch:
        return make_batch(by=self.biller, clinic=self.clinic, client_id=client_id or uuid4(), encounters=encounters)

    def numbered(self, batch: Batch, number: str = "ICN-77") -> None:
        for claim in batch.claims.all():
            record_payer_reference(by=self.biller, claim=claim, number=number)

    def file(self, batch: Batch, format: str) -> bytes:
        return bytes(write_file(by=self.biller, batch=batch, format=format).content)

    def rows(self, batch: Batch) -> list[tuple[str, str, str, str]]:
        """Kind, code with modifiers, units and charge of each row of the CSV."""
        rows = csv.DictReader(io.StringIO(self.file(batch, "csv").decode()))
        return [(row["kind"], f"{row['code']} {row['modifiers']}".strip(), row["units"], row["charge"]) for row in rows]


@pytest.fixture
def site(clinic: Clinic, nurse: User, biller: User, medicare: Payer, sarah: Recorded) -> Site:
    return Site(clinic, nurse, biller, medicare, sarah)


def kinds(batch: Batch) -> list[tuple[str, str]]:
    return [(claim.frequency, claim.payer.slug) for claim in batch.claims.order_by("pk")]


def left() -> Counter[tuple[int, int, str]]:
    """How often each line was charged or credited."""
    return Counter(BatchLine.objects.values_list("approval", "position", "kind"))


# Originals ------------------------------------------------------------------------------------------------------------


def test_what_is_approved_leaves_once_with_its_charges(site: Site) -> None:
    encounter = site.approved()
    [candidate] = ready(site.clinic)
    assert (candidate.kind, candidate.total, candidate.missing) == ("1", TOTAL, ())
    batch = site.batch(encounter)
    assert (batch.number, kinds(batch)) == (1, [("1", "medicare")])
    claim = content_of(batch.claims.get())
    assert [(str(line), line.units, line.charge) for line in claim.charges] == [
        ("96365", 1, Decimal(200)), ("96366", 1, Decimal(60)), ("J2350-JZ", 600, Decimal(36750)),
    ]  # fmt: skip
    assert (claim.membership.member_id, claim.attending.npi, claim.place_of_service) == (  # type: ignore[union-attr]
        "1EG4TE5MK73", "1999999976", "11",
    )  # fmt: skip
    assert site.standing() == []
    assert len(left()) == 3
    assert set(left().values()) == {1}
    with pytest.raises(Refused, match="not ready any more: MRN-1001"):
        site.batch(encounter)
    assert Batch.objects.count() == 1


def test_the_claim_is_written_from_what_was_approved(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that changes between the approval and the batch changes nothing of it."""
    encounter = site.approved()
    monkeypatch.setattr("infusion.selectors.calculate", lambda *_: 1 / 0)
    [claim] = site.batch(encounter).claims.all()
    assert [line.units for line in content_of(claim).charges] == [1, 1, 600]


def test_a_double_press_is_one_batch(site: Site) -> None:
    encounter, client_id = site.approved(), uuid4()
    first = site.batch(encounter, client_id=client_id)
    assert site.batch(encounter, client_id=client_id).pk == first.pk
    assert AuditEvent.objects.filter(action="batch.make").count() == Batch.objects.count() == 1


def test_a_page_sent_again_with_another_choice_makes_nothing(site: Site) -> None:
    one, two, client = site.approved(), site.approved("MRN-1002"), client_of(site.biller)
    form = Page(client.get(reverse("batches")).content).form_to(reverse("batches"))
    client.post(reverse("batches"), {**form.fields, "encounter": str(one.public_id)})
    reply = client.post(reverse("batches"), {**form.fields, "encounter": str(two.public_id)})
    assert reply.status_code == 422
    assert "This page has made batch 1 already, of another choice." in reply.content.decode()
    with pytest.raises(Refused, match="batch 1 already"):
        begin_batch(by=site.biller, clinic=site.clinic, client_id=UUID(form.fields["client_id"]))
    again = Page(reply.content).form_to(reverse("batches"))
    assert client.post(reverse("batches"), again.fields).status_code == 302
    assert [claim.encounter for claim in Batch.objects.get(number=2).claims.all()] == [two]


def test_all_or_nothing(site: Site) -> None:
    one, two = site.approved(), site.approved("MRN-1002")
    site.batch(one)
    with pytest.raises(Refused, match="MRN-1001"):
        site.batch(one, two)
    assert [standing.encounter.pk for standing in site.standing()] == [two.pk]
    with pytest.raises(Refused, match="Nothing is chosen"):
        site.batch()


def test_a_hospitals_claim_is_institutional(site: Site) -> None:
    encounter = site.approved(setting="hospital_outpatient")
    Encounter.objects.filter(pk=encounter.pk).update(place_of_service="22")
    assert site.lacks() == []
    batch = site.batch(encounter)
    assert b"*005010X223A2~" in site.file(batch, "837i")
    with pytest.raises(Refused, match="does not leave as 837p"):
        site.file(batch, "837p")


# What keeps it back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda site, each: Patient.objects.update(postal_code=""), "The patient has no ZIP code"),
        (lambda site, each: each.patient.coverages.update(effective_from=date(2026, 3, 11)),
         "No coverage with Medicare is recorded for March 10, 2026. Add it to the patient."),
        (lambda site, each: each.patient.coverages.update(effective_until=date(2026, 3, 9)),
         "No coverage with Medicare"),
        (lambda site, each: Encounter.objects.update(attending=None), "names no rendering practitioner"),
        (lambda site, each: Payer.objects.update(electronic_id=""), "Medicare has no electronic payer number"),
        (lambda site, each: Clinic.objects.update(npi=""), "The clinic has no NPI"),
        (lambda site, each: Clinic.objects.update(receiver_id=""), "no receiver number"),
        (lambda site, each: site.clinic.fee_schedules.get().fees.filter(code="J2350").delete(), "J2350 has no charge"),
        (lambda site, each: hold(by=site.biller, encounter=each, reason="Ask first."), "hold: Ask first."),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_and_keeps_it_back(site: Site, change: Any, said: str) -> None:
    encounter = site.approved()
    assert site.lacks() == []
    change(site, encounter)
    site.clinic.refresh_from_db()
    assert any(said in sentence for sentence in site.lacks()), site.lacks()
    assert ready(site.clinic) == []
    with pytest.raises(Refused, match="not ready any more"):
        site.batch(encounter)
    assert not BatchLine.objects.exists()


def test_the_last_days_of_a_coverage_count(site: Site) -> None:
    site.approved().patient.coverages.update(effective_from=date(2026, 3, 10), effective_until=date(2026, 3, 10))
    assert site.lacks() == []


def test_a_site_that_feeds_a_billing_system_lacks_nothing_but_lines(site: Site) -> None:
    encounter = site.approved()
    Clinic.objects.update(sends_claims=False, npi="", legal_name="")
    Patient.objects.update(family_name="")
    site.clinic.refresh_from_db()
    assert site.lacks() == []
    assert len(site.rows(site.batch(encounter))) == 3


def test_an_error_of_the_claim_keeps_it_back_until_it_is_set_aside(site: Site) -> None:
    encounter = site.approved()
    Encounter.objects.filter(pk=encounter.pk).update(place_of_service="")
    [standing] = site.standing()
    [finding] = standing.candidates[0].findings
    assert (finding.code, standing.ready) == ("claim.place_missing", False)
    skip_finding(by=site.biller, encounter=encounter, finding=finding, reason="The clearinghouse fills it in.")
    assert all(not each.candidates[0].findings for each in site.standing())


def test_the_page_says_what_keeps_an_approved_claim_back_and_it_can_be_set_aside(site: Site) -> None:
    """Both go by the rules known now, also where one was published after the approval."""
    encounter, client = site.approved(), client_of(site.biller)
    departure = Departure(
        parameter="maximum_claim_charge", value="30000", effective_from=date(2026, 1, 1), source_document="Manual",
        source_read_on=date(2026, 1, 2),
    )  # fmt: skip
    publish_override(by=None, payer=site.medicare, departure=departure, status="verified")
    [finding] = site.standing()[0].candidates[0].findings
    assert finding.code == "claim.total_too_high"
    assert finding.message in [each.message for each in findings_of(encounter, shown_of(encounter))]
    skip = reverse("skip", args=[encounter.public_id])
    sent = {"version": encounter.version, "finding": finding_key(finding), "reason": "They take it as it is."}
    assert client.post(skip, sent).status_code == 302
    assert site.standing()[0].ready


def test_a_line_of_another_day_waits(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim has one day here; a line of another would leave under the wrong one."""
    encounter = site.approved()
    read = batches.approved_content

    def of_a_night(approval: Approval) -> Approved:
        content = read(approval)
        first, *others = content.statement.lines
        lines = (first._replace(date_of_service=date(2026, 3, 11)), *others)
        return Approved(content.facts, content.statement._replace(lines=lines))

    monkeypatch.setattr(batches, "approved_content", of_a_night)
    assert site.lacks() == [
        "96365 is of March 11, 2026 and the claim of March 10, 2026. Hold it, and enter this claim with both days by "
        "hand."
    ]
    with pytest.raises(Refused):
        site.batch(encounter)


# Corrections, payers, voids -------------------------------------------------------------------------------------------


def test_a_correction_is_credited_and_charged_anew_in_the_next_batch_and_nothing_twice(site: Site) -> None:
    encounter, other = site.approved(), site.approved("MRN-1002")
    first = site.batch(encounter, other)
    stop = site.sarah.facts.administrations[0].stop
    assert stop is not None
    again = site.corrected(encounter, stop=stop + timedelta(minutes=60))
    number = first.claims.order_by("pk")[0].number
    assert site.lacks() == [
        f"The number that Medicare gave claim {number} is not recorded. Enter it from the payer's answer, on the batch "
        "of that claim."
    ]
    site.numbered(first)
    second = site.batch(again)
    assert kinds(second) == [("7", "medicare")]
    assert site.rows(second) == [
        ("credit", "96365", "-1", "-200.00"), ("credit", "96366", "-1", "-60.00"),
        ("credit", "J2350 JZ", "-600", "-36750.00"),
        ("charge", "96365", "1", "200.00"), ("charge", "96366", "2", "120.00"),
        ("charge", "J2350 JZ", "600", "36750.00"),
    ]  # fmt: skip
    sent = site.file(second, "837p").decode()
    assert re.findall(r"CLM\*[^*]+\*([0-9.]+)\*\*\*11:B:(\d)", sent) == [("37070", "7")]
    assert "REF*F8*ICN-77~" in sent
    assert sent.count("SV1*HC:96366") == 1
    claim = second.claims.get()
    assert claim.replaces is not None
    assert (claim.replaces.number, claim.approval.encounter_version) == (number, again.version)
    assert set(left().values()) == {1}
    assert len(left()) == 6 + 3 + 3
    assert site.standing() == []
    assert content_of(first.claims.get(number=number)).charges[1].units == 1, "what left stays as it was"


def test_a_correction_of_a_correction_credits_the_newest(site: Site) -> None:
    encounter = site.approved()
    sent = [site.batch(encounter)]
    stop = site.sarah.facts.administrations[0].stop
    assert stop is not None
    for hours in (1, 2):
        site.numbered(sent[-1], f"ICN-{hours}")
        sent.append(site.batch(site.corrected(encounter, stop=stop + timedelta(hours=hours))))
    last = content_of(sent[-1].claims.get())
    assert [line.units for line in last.credits] == [1, 2, 600]
    assert [line.units for line in last.charges] == [1, 3, 600]
    assert last.original_reference == "ICN-2"
    assert set(left().values()) == {1}


def test_while_it_is_being_corrected_nothing_stands(site: Site) -> None:
    encounter = site.approved()
    site.numbered(site.batch(encounter))
    encounter = site.found(encounter)
    correct(by=site.biller, encounter=encounter, version=encounter.version, reason="Wrong dose.")
    assert site.standing() == []


def test_another_payer_gets_an_original_and_the_first_a_void(site: Site) -> None:
    encounter = site.approved()
    first = site.batch(encounter)
    aetna = add_payer(by=None, slug="aetna", name="Aetna")
    Payer.objects.filter(pk=aetna.pk).update(electronic_id="60054")
    encounter = site.found(encounter)
    correct(by=site.biller, encounter=encounter, version=encounter.version, reason="Other plan.", payer=aetna)
    again = site.approve_again(encounter)
    [standing] = site.standing()
    assert [(each.kind, each.payer.slug) for each in standing.candidates] == [("8", "medicare"), ("1", "aetna")]
    assert "No coverage with Aetna" in " ".join(site.lacks())
    site.cover(again.patient, aetna)
    with pytest.raises(Refused, match="not ready any more"):
        site.batch(again)
    assert Batch.objects.count() == 1, "the original does not leave before the void"
    site.numbered(first)
    second = site.batch(again)
    assert kinds(second) == [("8", "medicare"), ("1", "aetna")]
    assert [row[0] for row in site.rows(second)] == ["credit"] * 3 + ["charge"] * 3
    assert sum(Decimal(row[3]) for row in site.rows(second)) == 0
    assert set(left().values()) == {1}
    assert site.standing() == []


def test_a_void_gives_back_what_was_sent_and_only_then(site: Site) -> None:
    sent, never_sent = site.approved(), site.approved("MRN-1002")
    first = site.batch(sent)
    site.numbered(first)
    for each in (sent, never_sent):
        stored = site.found(each)
        void(by=site.biller, encounter=stored, version=stored.version, reason="Another patient's.")
    [standing] = site.standing()
    assert standing.encounter.pk == sent.pk
    second = site.batch(site.found(sent))
    assert kinds(second) == [("8", "medicare")]
    assert site.rows(second) == [
        ("credit", "96365", "-1", "-200.00"), ("credit", "96366", "-1", "-60.00"),
        ("credit", "J2350 JZ", "-600", "-36750.00"),
    ]  # fmt: skip
    text = site.file(second, "837p").decode()
    assert re.search(r"CLM\*[^~]*11:B:8", text)
    assert "REF*F8*ICN-77~" in text
    assert site.standing() == []


def test_the_payers_number_is_corrected_by_whoever_saw_the_old_one(site: Site) -> None:
    claim = site.batch(site.approved()).claims.get()
    record_payer_reference(by=site.biller, claim=claim, number=" icn-1 ")
    with pytest.raises(Refused, match="Someone else has recorded ICN-1"):
        record_payer_reference(by=site.biller, claim=claim, number="ICN-2", shown="")
    record_payer_reference(by=site.biller, claim=claim, number="ICN-2", shown="ICN-1")
    assert PayerReference.objects.get(claim=claim).number == "ICN-2"
    event = AuditEvent.objects.filter(action="claim.reference").latest("sequence")
    assert (event.before, event.after) == ({"number": "ICN-1"}, {"number": "ICN-2"})
    for odd in ("", "A*B", "é", "1" * 51):
        with pytest.raises(Refused):
            record_payer_reference(by=site.biller, claim=claim, number=odd, shown="ICN-2")


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["csv", "csv-spreadsheet", "837p", "fhir", "dft", "pdf"])
def test_a_file_is_the_same_bytes_ever_after(site: Site, format: str) -> None:
    batch = site.batch(site.approved())
    first = write_file(by=site.biller, batch=batch, format=format)
    assert first.checksum == hashlib.sha256(bytes(first.content)).hexdigest()
    Clinic.objects.update(legal_name="Something Else", contact_phone="")
    again = write_file(by=site.biller, batch=batch, format=format)
    assert (again.pk, bytes(again.content)) == (first.pk, bytes(first.content))
    client = Client()
    client.force_login(site.biller)
    for _ in range(2):
        reply = client.get(reverse("batch-file", args=[batch.public_id, format]))
        assert reply.content == bytes(first.content)
        assert reply["X-Checksum-SHA256"] == hashlib.sha256(reply.content).hexdigest() == first.checksum
        assert re.fullmatch(rf'attachment; filename="batch-1-{format}\.\w+"', reply["Content-Disposition"])
    assert AuditEvent.objects.filter(action="batch.write").count() == BatchFile.objects.count() == 1


def test_a_file_that_cannot_be_written_leaves_nothing(site: Site) -> None:
    batch = site.batch(site.approved())
    Clinic.objects.update(sender_id="")
    with pytest.raises(Refused, match="sender number"):
        write_file(by=site.biller, batch=Batch.objects.get(pk=batch.pk), format="837p")
    assert not BatchFile.objects.exists()


def test_the_command_writes_the_same_bytes(
    site: Site, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    batch = site.batch(site.approved())
    out = tmp_path / "claims.x12"
    call_command("export_claims", "--format", "837p", "--batch", str(batch.public_id), "--output", str(out))
    capfdbinary.readouterr()
    call_command("export_claims", "--format", "837p", "--batch", "1")
    assert capfdbinary.readouterr().out == out.read_bytes() == bytes(BatchFile.objects.get().content)
    assert out.stat().st_mode & 0o077 == 0
    assert [each.name for each in tmp_path.iterdir()] == ["claims.x12"]
    for wrong, said in (("77", "no batch 77"), ("x", "neither the id nor the number"), (str(uuid4()), "no batch")):
        with pytest.raises(CommandError, match=said):
            call_command("export_claims", "--format", "csv", "--batch", wrong)
    with pytest.raises(CommandError, match="does not leave as 837i"):
        call_command("export_claims", "--format", "837i", "--batch", "1")
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("export_claims", "--format", "csv", "--batch", "1", "--output", str(tmp_path / "no" / "x"))


# Two people at once ---------------------------------------------------------------------------------------------------

PROCESSES, PRESSES, ENCOUNTERS = 4, 6, 8


def pressed(database: str | Path = "", *, careful: bool) -> Counter[str]:
    """What became of every press."""
    name = str(database or connection.settings_dict["NAME"])
    return sum(together(press, PROCESSES, name, PRESSES, careful, seconds=120), Counter())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("careful", [True, False], ids=["with the look under the lock", "with the constraint alone"])
def test_each_line_leaves_once_however_many_press_at_once(site: Site, careful: bool) -> None:
    for number in range(ENCOUNTERS):
        site.approved(f"MRN-{number}")
    said = pressed(careful=careful)
    assert set(said) == {"made", "refused"}, "nobody sees an error of the database"
    assert said["made"] == Batch.objects.count() >= ENCOUNTERS / 2
    assert set(left().values()) == {1}
    assert len(left()) == ENCOUNTERS * 3, "every line has left"
    assert sorted(Batch.objects.values_list("number", flat=True)) == list(range(1, said["made"] + 1)), "without a gap"
    assert BatchClaim.objects.count() * 3 == BatchLine.objects.count()
    assert flaw() is None


@pytest.mark.django_db(transaction=True)
def test_lines_leave_twice_without_look_and_constraint(site: Site, tmp_path: Path) -> None:
    """The same presses on a copy without the constraint, or the test above would not be one of doing things at once."""
    if connection.vendor != "sqlite":
        pytest.skip("a copy of the database is a file here")
    for number in range(ENCOUNTERS):
        site.approved(f"MRN-{number}")
    copy = tmp_path / "copy.sqlite3"
    connection.close()
    shutil.copy(connection.settings_dict["NAME"], copy)
    rows = sqlite3.connect(copy)
    [[made]] = rows.execute("SELECT sql FROM sqlite_master WHERE name = 'infusion_batchline'")
    without = re.sub(r',\s*CONSTRAINT "a_line_leaves_once" UNIQUE \([^)]*\)', "", made)
    assert without != made
    rows.execute("DROP TABLE infusion_batchline")
    rows.execute(without)
    rows.commit()
    pressed(copy, careful=False)
    twice = rows.execute(
        "SELECT count(*) FROM "
        "(SELECT 1 FROM infusion_batchline GROUP BY approval_id, position, kind HAVING count(*) > 1)"
    ).fetchone()
    rows.close()
    assert twice[0] > 0


# Pages ----------------------------------------------------------------------------------------------------------------


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_biller_makes_a_batch_of_what_is_ticked(site: Site) -> None:
    client, encounter = client_of(site.biller), site.approved()
    lacking = site.approved("MRN-1002")
    Encounter.objects.filter(pk=lacking.pk).update(attending=None)
    page = client.get(reverse("batches")).content.decode()
    assert str(lacking.public_id) not in page.partition("Not ready yet")[0]
    assert f'href="{reverse("claim-facts", args=[lacking.public_id])}"' in page
    form = Page(client.get(reverse("batches")).content).form_to(reverse("batches"))
    assert form.fields["encounter"] == str(encounter.public_id)
    first = client.post(reverse("batches"), form.fields)
    again = client.post(reverse("batches"), form.fields)
    batch = Batch.objects.get()
    assert first["Location"] == again["Location"] == reverse("batch", args=[batch.public_id])
    stale = client.post(reverse("batches"), {**form.fields, "client_id": str(uuid4())})
    assert stale.status_code == 422
    assert "not ready any more: MRN-1001" in stale.content.decode()
    page = client.get(first["Location"]).content.decode()
    assert "Claim 1-1-0001".replace("1-1", f"{site.clinic.pk}-1") in page
    assert "$36,750.00" in page


def test_everything_that_is_ready_also_beyond_the_page(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infusion.views.batches.WAITING_ON_A_PAGE", 2)
    for number in range(5):
        site.approved(f"MRN-{number}")
    client = client_of(site.biller)
    form = Page(client.get(reverse("batches")).content).form_to(reverse("batches"))
    for _ in range(2):
        assert client.post(reverse("batches"), {**form.fields, "all": "yes"}).status_code == 302
    assert Batch.objects.get().claims.count() == 5
    site.approved("MRN-6")
    reply = client.post(reverse("batches"), {**form.fields, "all": "yes"})
    assert "This page has made batch 1 already" in reply.content.decode()


# Behind the pages -----------------------------------------------------------------------------------------------------


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.setattr("django_tasks_db.management.commands.db_worker.close_old_connections", lambda: None)
    monkeypatch.setattr("infusion.jobs.PAUSE_SECONDS", 0)
    return lambda: worker().run()


@pytest.mark.parametrize("at_once", [1, 2, 3, 50])
def test_everything_that_is_ready_fills_a_batch(
    site: Site, worked: Callable[[], None], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("infusion.actions.batches.FILLED_AT_ONCE", at_once)
    ready = [site.approved(f"MRN-{number}") for number in range(5)]
    lacking = site.approved("MRN-9")
    Encounter.objects.filter(pk=lacking.pk).update(attending=None)
    batch = begin_batch(by=site.biller, clinic=site.clinic, client_id=(once := uuid4()))
    later = site.approved("MRN-10")
    assert begin_batch(by=site.biller, clinic=site.clinic, client_id=once) == batch
    with pytest.raises(Refused, match=r"Batch 1 is still being made\. Open it"):
        begin_batch(by=site.biller, clinic=site.clinic, client_id=uuid4())
    with pytest.raises(Refused, match="Write its files once it is"):
        write_file(by=site.biller, batch=batch, format="csv")
    worked()
    claims = list(batch.claims.order_by("number"))
    assert [claim.encounter for claim in claims] == ready
    assert [claim.number for claim in claims] == [f"{site.clinic.pk}-1-{n:04d}" for n in range(1, 6)]
    assert list(waiting(site.clinic)) == [lacking, later]
    assert max(left().values()) == 1
    filled = [event.after["claims"] for event in AuditEvent.objects.filter(action="batch.fill").order_by("sequence")]
    assert [claim["number"] for part in filled for claim in part] == [claim.number for claim in claims]
    assert write_file(by=site.biller, batch=batch, format="csv").content
    assert list(differences()) == []
    following = begin_batch(by=site.biller, clinic=site.clinic, client_id=uuid4())
    worked()
    assert [claim.encounter for claim in following.claims.all()] == [later]


@pytest.mark.parametrize("where", ["infusion.batches.approved_content", "infusion.actions.batches.claim_document"])
def test_an_encounter_at_which_the_program_fails_stays_and_the_others_leave(
    site: Site, worked: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    where: str,
) -> None:  # fmt: skip
    first, broken, last = (site.approved(f"MRN-{number}") for number in range(3))
    module, name = where.rsplit(".", 1)
    real = getattr(import_module(module), name)

    def fails(given: Any) -> Any:
        if given.encounter_id in (broken.pk, str(broken.public_id)):
            raise ValueError("a flaw")
        return real(given)

    monkeypatch.setattr(where, fails)
    batch = begin_batch(by=site.biller, clinic=site.clinic, client_id=uuid4())
    worked()
    assert [claim.encounter for claim in batch.claims.order_by("number")] == [first, last]
    assert list(waiting(site.clinic)) == [broken]
    assert f"no claim could be made of encounter {broken.public_id}" in caplog.text
    with pytest.raises(ValueError if "actions" in where else Refused):
        site.batch(broken)
    if "actions" not in where:
        assert "The program failed at its claim." in client_of(site.biller).get(reverse("batches")).content.decode()


def test_what_left_meanwhile_leaves_once(site: Site, worked: Callable[[], None]) -> None:
    one, other = site.approved("MRN-1"), site.approved("MRN-2")
    batch = begin_batch(by=site.biller, clinic=site.clinic, client_id=uuid4())
    site.batch(one)
    take_back(by=site.biller, encounter=other, version=other.version)
    worked()
    assert (batch.claims.count(), max(left().values())) == (0, 1)
    with pytest.raises(Refused, match="Nothing waits to leave"):
        begin_batch(by=site.biller, clinic=site.clinic, client_id=uuid4())


def test_a_batch_takes_no_more_than_it_may(
    site: Site, worked: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infusion.actions.batches.FILLED_AT_ONCE", 2)
    monkeypatch.setattr("infusion.actions.batches.MOST_CLAIMS", 4)
    for number in range(5):
        site.approved(f"MRN-{number}")
    batch = begin_batch(by=site.biller, clinic=site.clinic, client_id=uuid4())
    worked()
    assert (batch.claims.count(), waiting(site.clinic).count()) == (4, 1)


def test_a_large_batch_is_made_behind_the_page(
    site: Site, worked: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infusion.views.batches.WAITING_ON_A_PAGE", 2)
    monkeypatch.setattr("infusion.views.batches.MADE_AT_ONCE", 4)
    for number in range(5):
        site.approved(f"MRN-{number}")
    client = client_of(site.biller)
    form = Page(client.get(reverse("batches")).content).form_to(reverse("batches"))
    reply = client.post(reverse("batches"), {**form.fields, "all": "yes"}, follow=True)
    batch = Batch.objects.get()
    assert reply.redirect_chain == [(reverse("batch", args=[batch.public_id]), 302)]
    waits = reply.content.decode()
    assert "0 claims, $0.00 in all so far" in waits
    assert "Waiting to begin: 0 of 5" in waits
    assert "Write the file" not in waits
    assert "still being made" in client.get(reverse("batches")).content.decode()
    worked()
    done = client.get(reverse("batch", args=[batch.public_id])).content.decode()
    assert "5 claims" in done
    assert "Write the file" in done
    assert "still being made" not in client.get(reverse("batches")).content.decode()


def test_batches_are_listed_newest_first_without_what_is_in_them(site: Site) -> None:
    made = [site.batch(site.approved(f"MRN-{number}")) for number in range(3)]
    write_file(by=site.biller, batch=made[1], format="csv")
    client = client_of(site.biller)
    with CaptureQueriesContext(connection) as captured:
        page = client.get(reverse("batches"))
    assert [(each.number, each.claim_count) for each in page.context["made"]] == [(3, 1), (2, 1), (1, 1)]
    assert "1 claim, written as csv" in page.content.decode()
    read = " ".join(each["sql"] for each in captured if "infusion_batch" in each["sql"])
    assert '."content"' not in read


def test_credits_are_shown_as_such_and_numbers_are_recorded(site: Site) -> None:
    client, encounter = client_of(site.biller), site.approved()
    first = site.batch(encounter)
    claim = first.claims.get()
    stop = site.sarah.facts.administrations[0].stop
    assert stop is not None
    again = site.corrected(encounter, stop=stop + timedelta(minutes=60))
    lists = client.get(reverse("batches")).content.decode()
    assert f"Replacement of {claim.number}" in lists
    assert f"{reverse('batch', args=[first.public_id])}?claim={claim.number}#claim-{claim.number}" in lists
    address = reverse("batch-reference", args=[first.public_id])
    wrong = client.post(address, {"claim": claim.number, "number": "A*B", "shown": ""})
    assert wrong.status_code == 422
    assert 'value="A*B"' in wrong.content.decode()
    assert client.post(address, {"claim": claim.number, "number": "ICN-77", "shown": ""}).status_code == 302
    second = site.batch(again)
    page = client.get(reverse("batch", args=[second.public_id])).content.decode()
    assert page.count('<span class="state tag">Credit</span>') == 3
    assert "−$36,750.00" in page
    assert "Taken back" in client.get(reverse("batch", args=[first.public_id])).content.decode()


def test_a_file_is_written_by_a_press_and_then_downloaded(site: Site) -> None:
    client, batch = client_of(site.biller), site.batch(site.approved())
    download = reverse("batch-file", args=[batch.public_id, "837p"])
    assert client.get(download).status_code == 404, "looking writes nothing"
    reply = client.post(reverse("batch-write", args=[batch.public_id]), {"format": "837p"})
    assert reply.status_code == 302
    assert BatchFile.objects.get().checksum in client.get(reverse("batch", args=[batch.public_id])).content.decode()
    assert client.get(download).content.startswith(b"ISA*")
    refused = client.post(reverse("batch-write", args=[batch.public_id]), {"format": "837i"})
    assert (refused.status_code, "does not leave as 837i" in refused.content.decode()) == (422, True)


def test_a_longer_page_asks_no_more_questions(site: Site) -> None:
    asked = []
    for number in range(6):
        site.approved(f"MRN-{number}")
        client = client_of(site.biller)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(reverse("batches")).status_code == 200
        asked.append(len(queries))
    assert asked[5] == asked[1] < 50


# Next door ------------------------------------------------------------------------------------------------------------


def test_another_clinics_batch_and_encounters_are_not_there(house: House, next_door: House, claim_rows: Any) -> None:
    batch = claim_rows["batches"]
    claim = batch.claims.get()
    addresses = {
        "get": [reverse("batch", args=[batch.public_id]), reverse("batch-file", args=[batch.public_id, "csv"])],
        "post": [reverse("batch-write", args=[batch.public_id]), reverse("batch-reference", args=[batch.public_id])],
    }
    theirs = client_of(next_door.people[BILLING])
    before = AuditEvent.objects.count()
    for method, each in addresses.items():
        for address in each:
            reply = getattr(theirs, method)(address, {"claim": claim.number, "number": "1", "format": "dft"})
            assert reply.status_code == 404, address
    assert client_of(house.people[ADMIN]).get(addresses["get"][0]).status_code == 200
    foreign = theirs.post(reverse("batches"), {"client_id": str(uuid4()), "encounter": [str(house.approved.public_id)]})
    assert (foreign.status_code, "can no longer be found here" in foreign.content.decode()) == (422, True)
    with pytest.raises(Refused):
        make_batch(
            by=next_door.people[BILLING], clinic=next_door.clinic, client_id=uuid4(), encounters=[house.approved]
        )  # fmt: skip
    assert AuditEvent.objects.count() == before
    mine = batch.claims.get()
    reply = client_of(house.people[BILLING]).post(
        reverse("batch-reference", args=[batch.public_id]), {"claim": "77-1-0001", "number": "1"}
    )
    assert reply.status_code == 404
    assert not hasattr(mine, "payer_reference")


@pytest.mark.parametrize(("sender", "number"), [("RIVERSIDE", 2), ("HILLSIDE", 1), ("", 1)])
def test_a_number_leaves_once_under_a_senders_name(
    site: Site, other_clinic: Clinic, other_nurse: User, other_biller: User, sender: str, number: int
) -> None:
    """Who receives the files of one sender takes a number once, whichever clinic of theirs it comes from."""
    here = site.batch(site.approved())
    there = Site(other_clinic, other_nurse, other_biller, site.medicare, site.sarah)
    Clinic.objects.filter(pk=other_clinic.pk).update(sender_id=sender, sends_claims=bool(sender))
    batch = there.batch(there.approved("MRN-2001"))
    assert (here.number, batch.number) == (1, number)


def test_two_clinics_bundles_have_names_of_their_own(
    site: Site, other_clinic: Clinic, other_nurse: User, other_biller: User
) -> None:
    there = Site(other_clinic, other_nurse, other_biller, site.medicare, site.sarah)
    Clinic.objects.update(sender_id="", sends_claims=False)
    made = [(site, site.batch(site.approved())), (there, there.batch(there.approved("MRN-2001")))]
    bundles = [json.loads(each.file(batch, "fhir")) for each, batch in made]
    assert len({bundle["id"] for bundle in bundles}) == len({bundle["identifier"]["value"] for bundle in bundles}) == 2
