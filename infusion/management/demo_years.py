"""A busy year of invented encounters, for trying lists, reports and exports on: `manage.py demo --encounters 10000`.

The same seed gives the same year. Rows are written in bulk, and still nothing is short-cut that anyone relies on: each
record is calculated by the rules, only what the rules support is approved, and each encounter has its audit row in the
chain.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from infusion import audit, judgements
from infusion.actions import document_of, hold, return_to_nurse
from infusion.claim_review import claim_findings_of_many
from infusion.models import (
    Administration,
    Approval,
    Clinic,
    Coverage,
    Discard,
    Encounter,
    Judgement,
    Patient,
    Pause,
    User,
    Vial,
)
from infusion.selectors import Review, encounters_of, with_record
from payers.models import Payer

State = Encounter.State
SEED = 2026
ROWS_AT_ONCE = 500
DAYS, DAYS_AT_THE_DESK = 365, 30
VISITS_OF_A_PATIENT = 5
FIRST = (
    "Ada", "Ben", "Carla", "Dev", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jonas", "Kaya", "Leo", "Mira", "Nils",
    "Olga", "Pablo", "Quinn", "Rosa", "Sami", "Tara", "Uma", "Viktor", "Wanda", "Xenia", "Yara", "Zoe",
)  # fmt: skip
FAMILY = (
    "Abara", "Berg", "Castell", "Dahl", "Eriksen", "Farrow", "Gruber", "Haas", "Ibarra", "Jansen", "Kowal", "Lindgren",
    "Moreau", "Novak", "Okoye", "Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Ueda", "Varga", "Weber", "Yilmaz",
)  # fmt: skip
# How often each payer comes, by its name in addresses; one that is not listed comes once in a hundred.
SHARES = {"medicare": 44, "unitedhealthcare": 12, "aetna": 10, "cigna": 9, "anthem-bcbs": 9, "bcbs": 8, "medicaid": 7}


@dataclass(frozen=True, slots=True)
class Regimen:
    """One drug as it is usually given, in mg and minutes. `spread` is how many minutes a visit may differ."""

    drug: str
    amount: int
    vials: tuple[tuple[int, int], ...]
    minutes: int
    spread: int
    share: int
    diagnosis: str
    ndc: str = ""


REGIMENS = (
    Regimen("J2350", 600, ((300, 2),), 150, 40, 22, "G35.A", "50242-0150-01"),
    Regimen("J2350", 300, ((300, 1),), 150, 20, 6, "G35.A", "50242-0150-01"),
    Regimen("J2323", 300, ((300, 1),), 62, 6, 16, "G35.A"),
    Regimen("J1745", 400, ((100, 4),), 125, 15, 12, "K50.90"),
    Regimen("J1745", 450, ((100, 5),), 128, 15, 6, "K51.90"),
    Regimen("J3380", 300, ((300, 1),), 32, 4, 12, "K50.90"),
    Regimen("J9312", 700, ((500, 1), (100, 2)), 240, 40, 5, "M05.79"),
    Regimen("J3262", 520, ((400, 1), (80, 2)), 65, 6, 4, "M05.79"),
    Regimen("J0490", 720, ((120, 6),), 64, 8, 16, "M32.10"),
)
# What goes otherwise than planned, in a thousand.
PAUSED, STOPPED_EARLY, NO_STOP, NO_DOSE, PREMEDICATED, NO_NDC = 60, 15, 12, 6, 120, 200


@dataclass(slots=True)
class Visit:
    """One encounter with the rows that belong to it, before any of them is written."""

    encounter: Encounter
    administrations: list[Administration]
    pauses: list[Pause]
    vials: list[Vial]
    discards: list[Discard]
    approve: bool = False


class Year:
    """The encounters of one clinic over the twelve months that end yesterday."""

    def __init__(self, clinic: Clinic, nurses: Sequence[User], biller: User, count: int, seed: int = SEED) -> None:
        self.clinic, self.nurses, self.biller, self.count = clinic, nurses, biller, count
        self.random = random.Random(seed)  # noqa: S311  a year that can be had again, and no secret
        self.now = timezone.now()
        self.zone = ZoneInfo(clinic.time_zone)
        self.today = self.now.astimezone(self.zone).date()
        self.payers = list(Payer.objects.order_by("slug"))

    def add(self) -> int:
        """Write what is not there yet. How many encounters that were."""
        there = set(Encounter.objects.filter(clinic=self.clinic).values_list("client_id", flat=True))
        left = [visit for visit in self.visits() if visit.encounter.client_id not in there]
        for start in range(0, len(left), ROWS_AT_ONCE):
            with transaction.atomic():
                self.write(left[start : start + ROWS_AT_ONCE])
        if left:
            with transaction.atomic():
                self.touch(left)
        return len(left)

    # What happened ----------------------------------------------------------------------------------------------------

    @cached_property
    def patients(self) -> list[tuple[Patient, Payer, Regimen]]:
        """Each patient with who pays and what is given, the same at every visit."""
        weights = [SHARES.get(payer.slug, 1) for payer in self.payers]
        known = {each.reference: each for each in Patient.objects.filter(clinic=self.clinic)}
        patients = []
        for number in range(max(1, self.count // VISITS_OF_A_PATIENT)):
            given, family = self.random.choice(FIRST), self.random.choice(FAMILY)
            born = date(1940, 1, 1) + timedelta(days=self.random.randrange(23_000))
            reference = f"RIC-{10_000 + number}"
            patient = known.get(reference) or Patient(
                clinic=self.clinic, reference=reference, name=f"{given} {family}", given_name=given,
                family_name=family, birth_date=born, sex=self.random.choice("FM"),
                public_id=self.id_of("patient", number),
            )  # fmt: skip
            payer = self.random.choices(self.payers, weights)[0]
            regimen = self.random.choices(REGIMENS, [each.share for each in REGIMENS])[0]
            patients.append((patient, payer, regimen))
        return patients

    def visits(self) -> Iterator[Visit]:
        for number in range(self.count):
            patient, payer, regimen = self.patients[number % len(self.patients)]
            days = 1 + int(self.random.random() * DAYS)
            yield self.visit(number, patient, payer, regimen, days)

    def happens(self, of_a_thousand: int) -> bool:
        return self.random.randrange(1000) < of_a_thousand

    def visit(self, number: int, patient: Patient, payer: Payer, regimen: Regimen, days: int) -> Visit:
        day = self.today - timedelta(days=days)
        begin = datetime.combine(day, time(8), self.zone) + timedelta(minutes=5 * self.random.randrange(72))
        minutes = regimen.minutes + self.random.randint(-regimen.spread, regimen.spread)
        at_the_desk = days <= DAYS_AT_THE_DESK
        recent = at_the_desk and self.happens(80)
        no_stop, no_dose = self.happens(NO_STOP if not at_the_desk else 4 * NO_STOP), self.happens(NO_DOSE)
        draft = recent or no_stop or no_dose
        encounter = Encounter(
            clinic=self.clinic, client_id=self.id_of("client", number), public_id=self.id_of("public", number),
            patient=patient, payer=payer, setting=self.clinic.setting, place_of_service=self.clinic.place_of_service,
            date_of_service=day, diagnoses=[diagnosis_on(regimen.diagnosis, day)],
            recorded_by=self.random.choice(self.nurses), entered_at=begin, version=1 if draft else 2,
            state=State.DRAFT if draft else State.WITH_BILLING,
        )  # fmt: skip
        if not draft:
            encounter.handed_over_at = begin + timedelta(minutes=minutes + self.random.randrange(20, 300))
            encounter.handed_over_by = encounter.recorded_by
        visit = Visit(encounter, [], [], [], [], approve=not draft and (not at_the_desk or self.happens(150)))
        self.give(visit, regimen, begin, minutes, no_stop=no_stop, no_dose=no_dose)
        return visit

    def id_of(self, kind: str, number: int) -> UUID:
        return uuid5(NAMESPACE_URL, f"demo/{self.clinic.name}/{kind}/{number}")

    def give(
        self, visit: Visit, regimen: Regimen, begin: datetime, minutes: int, *, no_stop: bool, no_dose: bool
    ) -> None:
        if self.happens(PREMEDICATED):
            self.push(visit, begin)
            begin += timedelta(minutes=30)
        amount = regimen.amount
        stopped_early = self.happens(STOPPED_EARLY)
        if stopped_early:
            minutes, discarded, amount = (
                max(20, minutes // 2),
                regimen.amount // 2,
                regimen.amount - regimen.amount // 2,
            )
        row = self.administration(visit, regimen.drug, "iv_infusion", begin, None if no_stop else minutes)
        row.ordered = Decimal(regimen.amount)
        row.administered = None if no_dose else Decimal(amount)
        if self.happens(PAUSED) and not no_stop:
            paused = begin + timedelta(minutes=minutes // 3)
            stamp = {"started_entered_at": paused, "stopped_entered_at": paused + timedelta(minutes=12)}
            visit.pauses.append(
                Pause(
                    administration=row,
                    position=0,
                    started_at=paused,
                    stopped_at=paused + timedelta(minutes=12),
                    **stamp,
                )
            )
        ndc = "" if self.happens(NO_NDC) else regimen.ndc
        self.vials(visit, row, regimen.vials, ndc)
        discarded = sum(size * count for size, count in regimen.vials) - amount
        if discarded and not no_dose:
            reason = "stopped_early" if stopped_early else "vial_remainder"
            visit.discards.append(Discard(administration=row, position=0, amount=Decimal(discarded), reason=reason))

    def push(self, visit: Visit, begin: datetime) -> None:
        row = self.administration(visit, "J2919", "iv_push", begin, 3)
        row.ordered = row.administered = Decimal(125)
        self.vials(visit, row, ((125, 1),), "")

    def administration(
        self, visit: Visit, drug: str, route: str, begin: datetime, minutes: int | None
    ) -> Administration:
        stop = None if minutes is None else begin + timedelta(minutes=minutes)
        row = Administration(
            encounter=visit.encounter, position=len(visit.administrations), drug=drug, route=route, started_at=begin,
            started_entered_at=begin, stopped_at=stop, stopped_entered_at=stop,
        )  # fmt: skip
        visit.administrations.append(row)
        return row

    def vials(self, visit: Visit, row: Administration, sizes: Sequence[tuple[int, int]], ndc: str) -> None:
        visit.vials += [
            Vial(administration=row, position=n, amount=Decimal(size), count=count, single_dose=True, ndc=ndc)
            for n, (size, count) in enumerate(sizes)
        ]

    # Writing ----------------------------------------------------------------------------------------------------------

    def write(self, visits: Sequence[Visit]) -> None:
        """One block of encounters: the rows, what the rules say of each, the approvals, and the audit of all."""
        patients = {visit.encounter.patient.reference: visit.encounter.patient for visit in visits}
        new = [patient for patient in patients.values() if patient.pk is None]
        Patient.objects.bulk_create(new)
        payers = {visit.encounter.patient.reference: visit.encounter.payer for visit in visits}
        Coverage.objects.bulk_create([self.coverage(each, payers[each.reference]) for each in new])
        for visit in visits:
            visit.encounter.patient_id = visit.encounter.patient.pk
        Encounter.objects.bulk_create([visit.encounter for visit in visits])
        Administration.objects.bulk_create([row for visit in visits for row in visit.administrations])
        Pause.objects.bulk_create([row for visit in visits for row in visit.pauses])
        Vial.objects.bulk_create([row for visit in visits for row in visit.vials])
        Discard.objects.bulk_create([row for visit in visits for row in visit.discards])
        self.judge({visit.encounter.pk: visit for visit in visits}, new)

    def coverage(self, patient: Patient, payer: Payer) -> Coverage:
        """The patient's own membership, in force before the first visit of the year."""
        return Coverage(
            patient=patient, payer=payer, member_id=f"M{patient.reference.removeprefix('RIC-')}0",
            effective_from=self.today - timedelta(days=2 * DAYS), public_id=uuid5(patient.public_id, "coverage"),
        )  # fmt: skip

    def judge(self, visits: dict[int, Visit], new: Sequence[Patient]) -> None:
        policies = judgements.policies_of_payers()
        digests = judgements.rules_of(self.clinic, policies)
        approvals: list[Approval] = []
        told: list[tuple[Encounter, str]] = []
        kept: list[Judgement] = []
        changed: list[Encounter] = []
        rows = with_record(encounters_of(self.clinic).filter(pk__in=visits)).prefetch_related("skips")
        reviewed = [(encounter, judgements.review_under(encounter, policies)) for encounter in rows]
        of_claims = claim_findings_of_many(reviewed)
        for encounter, review in reviewed:
            if review.statement.errors and encounter.state != State.DRAFT:
                encounter.state, encounter.handed_over_at, encounter.handed_over_by = State.DRAFT, None, None
                changed.append(encounter)
            elif visits[encounter.pk].approve:
                encounter.state, encounter.version = State.APPROVED, 3
                changed.append(encounter)
                approvals.append(self.approval(encounter, review))
            found = of_claims.get(encounter.pk, ())
            kept.append(judgements.judgement_of(encounter, review, found, digests[encounter.payer_id]))
            told.append((encounter, review.content_hash if encounter.state == State.APPROVED else ""))
        Encounter.objects.bulk_update(changed, ["state", "version", "handed_over_at", "handed_over_by"], batch_size=250)
        Approval.objects.bulk_create(approvals)
        judgements.keep(kept)
        self.tell(told, new)

    def approval(self, encounter: Encounter, review: Review) -> Approval:
        handed = encounter.handed_over_at or self.now
        return Approval(
            encounter=encounter, encounter_version=encounter.version, approved_by=self.biller,
            approved_at=min(self.now, handed + timedelta(minutes=self.random.randrange(30, 6 * 24 * 60))),
            acknowledged=sorted(finding.message for finding in review.statement.warnings), input=review.input_text,
            policy=review.policy_text, reference_version=review.statement.reference_version,
            statement=review.statement_text, content_hash=review.content_hash,
        )  # fmt: skip

    def tell(self, told: Sequence[tuple[Encounter, str]], new: Sequence[Patient]) -> None:
        """One audit row for each encounter and each new patient, linked into the chain."""
        audit.AuditHead.objects.get_or_create(pk=1)
        head = audit.AuditHead.objects.select_for_update(no_key=True).get(pk=1)
        rows: list[tuple[str, User, str, object, audit.Document]] = [
            (
                "patient.save",
                self.nurses[0],
                "patient",
                each.public_id,
                {"reference": each.reference, "name": each.name},
            )
            for each in new
        ]
        rows += [
            ("encounter.demo", each.recorded_by, "encounter", each.public_id,
             {**document_of(each), **({"approval": content} if content else {})})
            for each, content in told
        ]  # fmt: skip
        events = []
        for action, by, subject, subject_id, after in rows:
            event = audit.AuditEvent(
                sequence=head.sequence + 1, at=self.now, by=by, by_name=by.get_username(), action=action,
                subject=subject, subject_id=str(subject_id), clinic_id=self.clinic.pk, before=None, after=after,
                previous_hash=head.hash,
            )  # fmt: skip
            event.hash = event.expected_hash()
            head.sequence, head.hash = event.sequence, event.hash
            events.append(event)
        audit.AuditEvent.objects.bulk_create(events, batch_size=250)
        head.save()
        # One event takes the rows of the whole block.
        audit.record(
            "demo.write", by=None, subject="clinic", subject_id=self.clinic.pk, clinic_id=self.clinic.pk, before=None,
            after={"encounters": len(told), "patients": len(new)},
        )  # fmt: skip

    def touch(self, added: Sequence[Visit]) -> None:
        """What a person did to a few of them since: questions to the nurse, holds, a list under a name."""
        waiting = Encounter.objects.filter(
            client_id__in=[visit.encounter.client_id for visit in added[-2000:]], state=State.WITH_BILLING
        ).order_by("pk")
        for encounter in waiting[:12]:
            return_to_nurse(
                by=self.biller, encounter=encounter, version=encounter.version,
                question="The times look short for this dose. Did the bag run empty?",
            )  # fmt: skip
        for encounter in waiting[12:20]:
            hold(by=self.biller, encounter=encounter, reason="Waits for the new insurance card.")


def diagnosis_on(code: str, on: date) -> str:
    """A code in force on a day: multiple sclerosis was one code until September 2025."""
    return "G35" if code == "G35.A" and on < date(2025, 10, 1) else code
