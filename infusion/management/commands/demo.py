"""`manage.py demo`: two invented clinics with their people, payers and a few days of encounters, to try things on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from infusion import audit
from infusion.access import ADMIN, BILLING, NURSE
from infusion.actions import (
    Late,
    Ordered,
    Recorded,
    approve,
    begin_order,
    hand_to_billing,
    place_order,
    return_to_nurse,
    save_encounter,
    tap,
    warning_key,
)
from infusion.management.demo_claims import record_claim_data
from infusion.management.demo_fees import load_demo_fees
from infusion.management.demo_years import Year
from infusion.models import Chair, Clinic, Encounter, FeeSchedule, Order, Patient, User
from infusion.selectors import patient_named, review_of
from infusion.services.facts import Administration, Discard, Pause, Vial
from infusion.services.facts import Encounter as Record
from payers.actions import Departure, add_payer, draft_override
from payers.models import Payer
from payers.proposals import Wanted, propose, publish_proposal
from payers.shipped import load_shipped

PASSWORD = "infusion-demo"  # noqa: S105  public, and refused where it could matter
RIVERSIDE, HILLSIDE = "Riverside Infusion Center", "Hillside Infusion"
CLINICS = {RIVERSIDE: "America/New_York", HILLSIDE: "America/Chicago"}
# The setting and the place of service of a clinic that is no office.
HOSPITAL = {HILLSIDE: {"setting": "hospital_outpatient", "place_of_service": "22"}}
# Sign-in, role, clinic, first and last name, credentials.
PEOPLE = (
    ("nurse", NURSE, RIVERSIDE, "L.", "Ames", "RN"),
    ("billing", BILLING, RIVERSIDE, "D.", "Reyes", ""),
    ("admin", ADMIN, RIVERSIDE, "M.", "Osei", ""),
    ("admin2", ADMIN, RIVERSIDE, "K.", "Lund", ""),
    ("nurse2", NURSE, HILLSIDE, "P.", "Quist", "RN"),
    ("billing2", BILLING, HILLSIDE, "T.", "Vance", ""),
)
QUESTION = "The stop stands at 11:35, the pharmacy expected two hours. Is that when the bag ran empty?"


@dataclass(frozen=True, slots=True)
class Given:
    """One drug: its amount, vials and discard in mg, and its minutes after the visit began; no stop is still open."""

    drug: str
    amount: int
    vial: int
    count: int
    start: int
    stop: int | None
    discarded: int = 0
    pause: tuple[int, int] | None = None
    ndc: str = ""

    def recorded(self, begin: datetime) -> Administration:
        def at(minute: int) -> datetime:
            return begin + timedelta(minutes=minute)

        return Administration(
            id="",
            route="iv_push" if self.drug in ("J1200", "J2919") else "iv_infusion",
            drug=self.drug,
            start=at(self.start),
            stop=None if self.stop is None else at(self.stop),
            pauses=(Pause(start=at(self.pause[0]), stop=at(self.pause[1])),) if self.pause else (),
            ordered=Decimal(self.amount),
            administered=Decimal(self.amount),
            vials=(Vial(amount=Decimal(self.vial), count=self.count, ndc=self.ndc),),
            discards=(Discard(amount=Decimal(self.discarded), reason="vial_remainder"),) if self.discarded else (),
        )


@dataclass(frozen=True, slots=True)
class Visit:
    """`days` ago, or today when 0: then it began `began` minutes ago, otherwise at that minute of the day."""

    clinic: str
    patient: str
    name: str
    payer: str
    days: int
    began: int
    given: tuple[Given, ...]
    until: str
    diagnosis: str = ""

    @property
    def client_id(self) -> UUID:
        return uuid5(NAMESPACE_URL, f"demo/{self.clinic}/{self.patient}")

    def began_at(self, now: datetime) -> datetime:
        if self.days == 0:
            return now - timedelta(minutes=self.began + now.minute % 5)
        day = now - timedelta(days=self.days)
        return day.replace(hour=0, minute=0) + timedelta(minutes=self.began)


OCREVUS = "50242-0150-01"
PREMEDICATION = (Given("J2919", 125, 125, 1, 0, 3), Given("J1200", 50, 50, 1, 5, 7))
VISITS = (
    Visit(RIVERSIDE, "RIC-2041", "Grace Okafor", "medicare", 0, 70, (Given("J2323", 300, 300, 1, 0, None),), "draft"),
    Visit(RIVERSIDE, "RIC-2038", "Martin Feld", "medicare", 0, 230, (Given("J1745", 400, 100, 4, 0, 130),), "draft"),
    Visit(RIVERSIDE, "RIC-1977", "Ines Duarte", "cigna", 0, 260, (Given("J3380", 300, 300, 1, 0, 30),), "handed"),
    Visit(
        RIVERSIDE, "RIC-2012", "Howard Pell", "anthem-bcbs", 0, 290,
        (Given("J2350", 580, 300, 2, 0, 150, 20, None, OCREVUS),), "handed", "G35.A",
    ),
    Visit(
        RIVERSIDE, "RIC-1893", "Yuki Tanabe", "30-minute-plan", 1, 540,
        (Given("J2350", 600, 300, 2, 0, 150),), "handed", "G35.A",
    ),
    Visit(RIVERSIDE, "RIC-1764", "Lena Brandt", "medicare", 1, 600, (Given("J2323", 300, 300, 1, 0, 60),), "approved"),
    Visit(
        RIVERSIDE, "RIC-2005", "Omar Haddad", "medicare", 1, 495,
        (*PREMEDICATION, Given("J9312", 700, 100, 7, 30, 285)), "approved",
    ),
    Visit(
        RIVERSIDE, "RIC-1820", "Paula Nieves", "aetna", 2, 570,
        (Given("J1745", 450, 100, 5, 0, 125, 50),), "returned",
    ),
    Visit(RIVERSIDE, "RIC-1911", "Samuel Roth", "medicare", 2, 615, (Given("J1745", 500, 100, 5, 0, 120),), "approved"),
    Visit(
        RIVERSIDE, "RIC-2044", "Dora Whitfield", "medicaid", 2, 660,
        (Given("J2350", 300, 300, 1, 0, 150, 0, None, OCREVUS),), "handed", "G35.A",
    ),
    Visit(
        RIVERSIDE, "RIC-1688", "Anton Weiss", "bcbs", 3, 525,
        (Given("J2350", 600, 300, 2, 0, 240, 0, (45, 75)),), "approved", "G35.A",
    ),
    Visit(
        RIVERSIDE, "RIC-1702", "Carla Mota", "medicare", 3, 585,
        (Given("J2919", 125, 125, 1, 0, 3), Given("J3380", 300, 300, 1, 20, 52)), "approved",
    ),
    Visit(HILLSIDE, "HI-310", "Ruth Calder", "medicare", 0, 95, (Given("J2323", 300, 300, 1, 0, None),), "draft"),
    Visit(HILLSIDE, "HI-287", "Edwin Marsh", "medicare", 1, 550, (Given("J1745", 300, 100, 3, 0, 121),), "handed"),
    Visit(
        HILLSIDE, "HI-295", "Nora Blum", "medicare", 2, 540,
        (Given("J2350", 600, 300, 2, 0, 150, 0, None, OCREVUS),), "approved", "G35.A",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sitting:
    """An order of today at a chair. `taps` are kinds with the minutes ago; without any, nobody has begun it.

    `due` are minutes from now, below zero when they have passed.
    """

    chair: str
    patient: str
    name: str
    born: date
    drug: str
    amount: int
    vial: int
    count: int
    due: int
    taps: tuple[tuple[str, int], ...] = ()
    diagnosis: str = ""

    @property
    def client_id(self) -> UUID:
        return uuid5(NAMESPACE_URL, f"demo/order/{self.patient}")


CHAIRS = ("1", "2", "3", "4", "5", "6")
SITTINGS = (
    Sitting("1", "RIC-2051", "Rhea Sandoval", date(1991, 2, 3), "J2323", 300, 300, 1, -60, (("start", 53),)),
    Sitting(
        "2", "RIC-2052", "Tor Lindqvist", date(1968, 11, 21), "J1745", 400, 100, 4, -95,
        (("start", 91), ("pause", 10)),
    ),
    Sitting(
        "3", "RIC-2053", "Sarah Whitfield", date(1986, 5, 14), "J2350", 600, 300, 2, -140,
        (("start", 137), ("pause", 72), ("resume", 57), ("new_bag", 1)), "G35.A",
    ),
    Sitting("4", "RIC-2054", "Ana Delgado", date(1979, 8, 30), "J3380", 300, 300, 1, -160, (("start", 152),)),
    Sitting("5", "RIC-2055", "Ivy Marsh", date(1995, 1, 9), "J2350", 600, 300, 2, -17, (), "G35.A"),
    Sitting("6", "RIC-2056", "Paul Okoro", date(1982, 12, 1), "J1745", 375, 100, 4, 103),
)  # fmt: skip


class Command(BaseCommand):
    help = "Add invented clinics, people, payers and encounters to try the program on. Adds nothing twice."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--encounters", type=int, default=0, help="So many more encounters over twelve months.")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.MODE == "production":
            raise CommandError(
                "The demo's passwords are public, so it is never added to a production installation. "
                "Set INFUSION_MODE=demo and a database of its own to try it."
            )
        with transaction.atomic():
            made = sum(1 for _ in self.missing())
            seat_today()
            if made or not FeeSchedule.objects.exists():
                record_claim_data()
                for clinic in Clinic.objects.filter(name__in=CLINICS):
                    load_demo_fees(User.objects.filter(clinic=clinic, groups__name=ADMIN).first(), clinic)
        made += add_year(options["encounters"])
        if options["verbosity"] > 0:
            self.stdout.write(f"The demo is complete; {made} encounters were added now.")

    def missing(self) -> Iterator[Encounter]:
        """Everything that is not there yet; the encounters last, one after the other."""
        there = set(Encounter.objects.values_list("client_id", flat=True))
        left = [visit for visit in VISITS if visit.client_id not in there]
        if not left:
            return
        clinics = {name: add_clinic(name, zone) for name, zone in CLINICS.items()}
        people = {row[0]: add_person(row, clinics[row[2]]) for row in PEOPLE}
        load_shipped(by=people["admin"], adopt=True)
        add_thirty_minute_plan(people["admin"], people["admin2"])
        for visit in left:
            second = "2" if visit.clinic == HILLSIDE else ""
            yield add_visit(visit, clinics[visit.clinic], people[f"nurse{second}"], people[f"billing{second}"])


def add_year(count: int) -> int:
    """A busy year at the first clinic."""
    if not count:
        return 0
    clinic, biller = Clinic.objects.get(name=RIVERSIDE), User.objects.get(username="billing")
    nurses = list(User.objects.filter(clinic=clinic, groups__name=NURSE).order_by("pk"))
    return Year(clinic, nurses, biller, count).add()


def add_clinic(name: str, zone: str) -> Clinic:
    clinic, new = Clinic.objects.get_or_create(
        name=name, defaults={"time_zone": zone, "drug": "J2350", **HOSPITAL.get(name, {})}
    )
    if new:
        audit.record(
            "clinic.add", by=None, subject="clinic", subject_id=clinic.pk, clinic_id=clinic.pk,
            before=None, after={"name": name, "time_zone": zone},
        )  # fmt: skip
    return clinic


def add_person(row: tuple[str, str, str, str, str, str], clinic: Clinic) -> User:
    username, role, _, first_name, last_name, credentials = row
    existing = User.objects.filter(username=username).first()
    if existing is not None:
        return existing
    user = User.objects.create_user(
        username, password=PASSWORD, clinic=clinic, first_name=first_name, last_name=last_name, credentials=credentials
    )
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    audit.record(
        "user.add", by=None, subject="user", subject_id=user.pk, clinic_id=clinic.pk,
        before=None, after={"username": username, "groups": [role]},
    )  # fmt: skip
    return user


def add_thirty_minute_plan(by: User, second: User) -> None:
    """A payer that counts another hour from 30 minutes on, so that the worked example gains a unit under it."""
    if Payer.objects.filter(slug="30-minute-plan").exists():
        return
    payer = add_payer(by=by, slug="30-minute-plan", name="30-Minute Plan")
    draft = draft_override(
        by=by,
        payer=payer,
        departure=Departure(
            parameter="additional_hour_minimum_minutes",
            value=30,
            effective_from=date(2026, 1, 1),
            source_document="Demo plan handbook",
            source_read_on=date(2026, 1, 1),
            note="An invented payer.",
        ),
    )
    wanted = Wanted(kind="publish", override=draft, status="unverified")
    publish_proposal(by=second, proposal=propose(by=by, payer=payer, wanted=wanted, today=timezone.localdate()))


def add_visit(visit: Visit, clinic: Clinic, nurse: User, biller: User) -> Encounter:
    zone = ZoneInfo(clinic.time_zone)
    began = visit.began_at(timezone.now().astimezone(zone).replace(tzinfo=None, second=0, microsecond=0))
    record = Record(
        time_zone=clinic.time_zone,
        setting=clinic.setting,
        date_of_service=began.date(),
        diagnoses=(visit.diagnosis,) if visit.diagnosis else (),
        administrations=tuple(given.recorded(began) for given in visit.given),
    )
    recorded = Recorded(
        patient_reference=visit.patient,
        patient_name=visit.name,
        payer=Payer.objects.get(slug=visit.payer),
        facts=record,
        date_of_service=began.date(),
        place_of_service=clinic.place_of_service,
    )
    encounter = save_encounter(by=nurse, clinic=clinic, client_id=visit.client_id, recorded=recorded)
    if visit.until != "draft":
        encounter = hand_to_billing(by=nurse, encounter=encounter, version=encounter.version)
    if visit.until == "returned":
        return_to_nurse(by=biller, encounter=encounter, version=encounter.version, question=QUESTION)
    if visit.until == "approved":
        review = review_of(encounter)
        approve(
            by=biller, encounter=encounter, version=encounter.version, content_hash=review.content_hash,
            acknowledged=[warning_key(finding) for finding in review.statement.warnings],
        )  # fmt: skip
    return encounter


def seat_today() -> None:
    """The chairs, and an order at each of them, begun and tapped as far as it got."""
    there = set(Order.objects.values_list("client_id", flat=True))
    left = [sitting for sitting in SITTINGS if sitting.client_id not in there]
    if not left:
        return
    clinic, nurse = Clinic.objects.get(name=RIVERSIDE), User.objects.get(username="nurse")
    if not Chair.objects.filter(clinic=clinic).exists():
        Chair.objects.bulk_create(Chair(clinic=clinic, label=label, position=n) for n, label in enumerate(CHAIRS))
        audit.record(
            "chair.add", by=None, subject="clinic", subject_id=clinic.pk, clinic_id=clinic.pk,
            before=None, after={"chairs": list(CHAIRS)},
        )  # fmt: skip
    for sitting in left:
        seat(sitting, clinic, nurse)


def seat(sitting: Sitting, clinic: Clinic, nurse: User) -> None:
    now = timezone.now()
    patient = patient_named(clinic, sitting.patient)
    if patient is None:
        patient = Patient.objects.create(
            clinic=clinic, reference=sitting.patient, name=sitting.name, birth_date=sitting.born
        )
        audit.record(
            "patient.save", by=nurse, subject="patient", subject_id=patient.public_id, clinic_id=clinic.pk,
            before=None, after={"reference": sitting.patient, "name": sitting.name},
        )  # fmt: skip
    order = place_order(
        by=nurse, clinic=clinic, client_id=sitting.client_id,
        ordered=Ordered(
            patient=patient, payer=Payer.objects.get(slug="medicare"), setting=clinic.setting, drug=sitting.drug,
            scheduled_at=now + timedelta(minutes=sitting.due), route="iv_infusion", ordered=Decimal(sitting.amount),
            diagnoses=(sitting.diagnosis,) if sitting.diagnosis else (), prescriber="R. Imai, MD",
            vials=((Decimal(sitting.vial), sitting.count),), chair=clinic.chairs.filter(label=sitting.chair).first(),
        ),
    )  # fmt: skip
    if not sitting.taps:
        return
    encounter = begin_order(by=nurse, order=order)
    for kind, minutes_ago in sitting.taps:
        tap(
            by=nurse, encounter=encounter, position=0, kind=kind,
            tap_id=uuid5(sitting.client_id, f"{kind} {minutes_ago}"),
            late=Late(now - timedelta(minutes=minutes_ago), "Demo"),
        )  # fmt: skip
