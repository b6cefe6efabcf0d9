"""A clinic in use: people of every role, encounters in every state, payers with rules, and the same next door."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from infusion import idle, metrics
from infusion.access import ADMIN, BILLING, NURSE
from infusion.actions import (
    NewFees,
    Ordered,
    Recorded,
    add_authorization,
    add_coverage,
    add_provider,
    approve,
    draft_drug,
    hand_to_billing,
    load_fees,
    make_batch,
    place_order,
    propose_drug,
    return_to_nurse,
    save_encounter,
    write_file,
)
from infusion.actions.imports import confirm_import, look_at
from infusion.actions.programs import make_program
from infusion.jobs import begin
from infusion.models import (
    ApiClient,
    AuditHead,
    Batch,
    Clinic,
    EmergencyCode,
    Encounter,
    FeeSchedule,
    Import,
    Job,
    Judgement,
    Order,
    Reading,
    Recheck,
    User,
)
from infusion.rechecks import begin_recheck
from infusion.selectors import review_of
from infusion.services.payment import Rate
from payers.actions import Departure, draft_override, publish_override
from payers.models import Payer, PolicyOverride
from tests.counting import COUNTING, count_with
from tests.exchange.arriving import EXAMPLES
from tests.web.access_table import NO_CLINIC, NO_ROLE, SUPERUSER, VISITOR
from tests.web.own_drugs import an_entry
from tests.web.routes import Route

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class House:
    """A clinic with an encounter in each state, and its people by role."""

    clinic: Clinic
    people: dict[str, User]
    draft: Encounter
    with_billing: Encounter
    returned: Encounter
    approved: Encounter

    @property
    def encounters(self) -> tuple[Encounter, ...]:
        return self.draft, self.with_billing, self.returned, self.approved


def furnish(clinic: Clinic, people: dict[str, User], sarah: Recorded, mark: str = "") -> House:
    """`mark` goes into whatever names the patient."""
    nurse, biller = people[NURSE], people[BILLING]

    def recorded(number: int) -> Encounter:
        patient = f"{mark}Clinic{clinic.pk}Chart{number}"
        return save_encounter(
            by=nurse, clinic=clinic, client_id=uuid4(),
            recorded=replace(sarah, patient_reference=patient, patient_name=f"{mark}Name {number}"),
        )  # fmt: skip

    def handed(number: int) -> Encounter:
        encounter = recorded(number)
        return hand_to_billing(by=nurse, encounter=encounter, version=encounter.version)

    returned, approved = handed(3), handed(4)
    question = f"Where is the second vial of {mark}?"
    returned = return_to_nurse(by=biller, encounter=returned, version=returned.version, question=question)
    approve(
        by=biller, encounter=approved, version=approved.version, acknowledged=(),
        content_hash=review_of(approved).content_hash,
    )  # fmt: skip
    approved.refresh_from_db()
    return House(clinic, people, recorded(1), handed(2), returned, approved)


@pytest.fixture(autouse=True)
def counted_from_nothing() -> None:
    """A page of all that was counted grows with every test before it, to a second's work each time."""
    metrics.requests.clear()


@pytest.fixture
def next_door(other_clinic: Clinic, other_nurse: User, other_biller: User, person: Any, sarah: Recorded) -> House:
    admin = person("admin3", ADMIN, other_clinic)
    return furnish(other_clinic, {NURSE: other_nurse, BILLING: other_biller, ADMIN: admin}, sarah)


@pytest.fixture
def mark() -> str:
    """What stands in whatever names a patient; a test that looks for it says something rarer."""
    return ""


@pytest.fixture
def house(
    clinic: Clinic, nurse: User, biller: User, admin_user: User, person: Callable[..., User], sarah: Recorded, mark: str
) -> House:
    stray = person("stray", NURSE, None)
    for name in (BILLING, ADMIN):
        stray.groups.add(Group.objects.get_or_create(name=name)[0])
    people = {
        NURSE: nurse, BILLING: biller, ADMIN: admin_user, NO_CLINIC: stray,
        NO_ROLE: person("guest", "", clinic),
        SUPERUSER: User.objects.create_superuser("root", password="a-long-password-of-mine"),
    }  # fmt: skip
    return furnish(clinic, people, sarah, mark)


@pytest.fixture
def rules(medicare: Payer, admin_user: User) -> dict[str, PolicyOverride]:
    """A rule in force and a draft."""
    said = Departure(
        parameter="additional_hour_minimum_minutes", value=30, effective_from=date(2027, 1, 1),
        source_document="Handbook", source_read_on=date(2026, 1, 1),
    )  # fmt: skip
    published = publish_override(by=admin_user, payer=medicare, departure=said, status="unverified")
    return {"published": published, "draft": draft_override(by=admin_user, payer=medicare, departure=said)}


def batch_of(house: House) -> Batch:
    """What the house has approved, in a batch with a file. It feeds a billing system, so that claims lack nothing."""
    Clinic.objects.filter(pk=house.clinic.pk).update(sends_claims=False)
    batch = make_batch(
        by=house.people[BILLING], clinic=house.clinic, client_id=uuid4(), encounters=[house.approved]
    )  # fmt: skip
    write_file(by=house.people[BILLING], batch=batch, format="csv")
    return batch


@pytest.fixture
def claim_rows(house: House) -> dict[str, Any]:
    """What a claim of the house needs, by the first word of its pages' addresses."""
    patient, by = house.with_billing.patient, house.people[BILLING]
    since = {"payer": house.with_billing.payer, "effective_from": date(2026, 1, 1), "effective_until": None}
    return {
        "patients": patient,
        "batches": batch_of(house),
        "coverages": add_coverage(
            by=by, patient=patient, values={**since, "member_id": "1EG4TE5MK73", "relationship": "18"}
        ),
        "authorizations": add_authorization(
            by=by, patient=patient, values={**since, "drug": "J2350", "number": "PA-1", "dose_limit": None}
        ),
        "providers": add_provider(
            by=by, clinic=house.clinic, values={"family_name": "Imai", "given_name": "Rin", "npi": "1234567893"}
        ),
    }


@pytest.fixture
def fee_schedule(house: House) -> FeeSchedule:
    fees = NewFees(
        payer=house.draft.payer, name="Contract 2026", source="Contract", effective_from=date(2026, 1, 1),
        effective_until=None, checksum="0" * 64, rates=(Rate(code="J2350", rate=Decimal("60.97")),),
    )  # fmt: skip
    return load_fees(by=house.people[ADMIN], clinic=house.clinic, fees=fees)


@pytest.fixture
def drug_rows(house: House) -> dict[str, Any]:
    """A draft of a drug and its proposal, by the beginning of their pages' addresses."""
    draft = draft_drug(by=house.people[ADMIN], entry=an_entry())
    proposal = propose_drug(by=house.people[ADMIN], row=draft, today=date(2026, 3, 10))
    return {"drugs/rows": draft, "drugs/proposals": proposal}


@pytest.fixture
def alarm(house: House) -> EmergencyCode:
    """The admin of the house has come in by an emergency code, and nobody has answered for it."""
    now = timezone.now()
    return EmergencyCode.objects.create(
        person=house.people[ADMIN], code="!", reason="Telephone lost", made_at=now, expires_at=now, used_at=now
    )


@pytest.fixture
def stopped_job(house: House, monkeypatch: pytest.MonkeyPatch) -> Job:
    count_with(monkeypatch)
    job = begin(COUNTING, "1", 5, house.people[BILLING])
    Job.objects.filter(pk=job.pk).update(state=Job.State.FAILED)
    return job


@pytest.fixture
def recheck(house: House) -> Recheck:
    return begin_recheck(by=house.people[BILLING], since=date(2026, 3, 1), until=date(2026, 3, 31))[0]


@pytest.fixture
def brought_in(house: House) -> Import:
    """A file that billing has confirmed."""
    file = BytesIO((EXAMPLES / "encounters.csv").read_bytes())
    look = look_at(by=house.people[BILLING], clinic=house.clinic, file=file, name="may.csv", payer=None)
    return confirm_import(by=house.people[BILLING], look=look, without_the_others=False)


@pytest.fixture
def program(house: House) -> ApiClient:
    """A program of the house."""
    return make_program(by=house.people[ADMIN], public_id=uuid4(), name="Front desk", scopes=("calculate",))[0]


@pytest.fixture
def order(house: House) -> Order:
    """What a patient of the house is to get, and nobody has begun."""
    ordered = Ordered(
        patient=house.draft.patient, payer=house.draft.payer, scheduled_at=timezone.now(), setting="office",
        drug="J2350", route="iv_infusion", ordered=Decimal(600), vials=((Decimal(300), 2),),
    )  # fmt: skip
    return place_order(by=house.people[NURSE], clinic=house.clinic, client_id=uuid4(), ordered=ordered)


@pytest.fixture
def values(
    house: House,
    rules: dict[str, PolicyOverride],
    claim_rows: dict[str, Any],
    fee_schedule: FeeSchedule,
    drug_rows: dict[str, Any],
    alarm: EmergencyCode,
    stopped_job: Job,
    recheck: Recheck,
    brought_in: Import,
    program: ApiClient,
    order: Order,
) -> Callable[[Route], dict[str, object]]:
    """What stands in a route's address."""

    def of(route: Route) -> dict[str, object]:
        payer = route.name.startswith("payers:")
        things: dict[str, object] = {"user": house.people[NURSE].pk, "clinic": house.clinic.pk}
        things["group"] = Group.objects.get(name=NURSE).pk
        thing = next((each for each in things if f"/{each}/" in route.path or f"_{each}_" in route.name), "user")
        ours = house.approved if route.name == "approval" else house.with_billing
        row = claim_rows.get(route.path.partition("/")[0], ours)
        row = drug_rows.get("/".join(route.path.split("/")[:2]), row)
        by_name = {
            "factor-reset": house.people[NURSE],
            "enter": house.people[NURSE],
            "alarm": alarm,
            "job": stopped_job,
            "recheck": recheck,
            **dict.fromkeys(("import", "import-confirm", "import-throw-away", "import-problems"), brought_in),
            "program-revoke": program,
            **dict.fromkeys(("order-begin", "order-take-off"), order),
            **dict.fromkeys(("impact", "impact-encounters", "impact-file"), rules["draft"]),
        }
        row = by_name.get(route.name, row)
        fees = route.path.startswith("fees/")
        return {
            "public_id": rules["published"].public_id if payer else fee_schedule.public_id if fees else row.public_id,
            "encounter_id": house.with_billing.public_id,
            "slug": rules["published"].payer.slug,
            "number": 1,
            "code": "J2350",
            "parameter": rules["published"].parameter,
            "object_id": things[thing],
            "id": things[thing],
            "pk": 1,
            "content_type_id": ContentType.objects.get_for_model(User).pk,
            "format": "csv",
            "app_label": "infusion",
            "url": "nowhere",
        }

    return of


@pytest.fixture
def as_role(house: House) -> Callable[..., Client]:
    def sign_in(role: str, **options: Any) -> Client:
        client = Client(**options)
        if role != VISITOR:
            client.force_login(house.people[role])
        return client

    return sign_in


@pytest.fixture
def no_touch_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request now and then writes down that someone is there, by the clock and not by what it shows."""
    monkeypatch.setattr(idle, "WRITTEN_EVERY_SECONDS", 3600)


def tried(client: Client, method: str, address: str, data: dict[str, Any] | None = None) -> HttpResponseBase:
    """The reply to a request whose effects, on the database and on who is signed in, are taken back."""
    cookies = deepcopy(client.cookies)
    with transaction.atomic():
        if method in ("GET", "HEAD", "POST"):
            reply: HttpResponseBase = getattr(client, method.lower())(address, data or {})
        else:
            reply = client.generic(method, address)
        transaction.set_rollback(True)
    client.cookies = cookies
    return reply


def everything() -> dict[str, list[Row]]:
    """All rows of all tables, to see whether anything was written.

    Without sessions, without what was read and by whom, and without judgements: how ready an encounter is follows from
    other rows, and whoever looks first brings it up to date.
    """
    found = {
        model._meta.label: sorted(model._default_manager.order_by().values_list(), key=lambda row: str(row[0]))
        for model in apps.get_models(include_auto_created=True)
        if model not in (Session, Judgement, Reading)
    }
    heads = found[AuditHead._meta.label]
    found[AuditHead._meta.label] = [row for row in heads if row[0] != AuditHead.READINGS]
    return found


def questions(captured: CaptureQueriesContext) -> int:
    """How many questions a page asks of the database, without the five statements that keep its reading."""
    said = [query["sql"] for query in captured]
    kept = sum("infusion_reading" in sql or "infusion_audithead" in sql for sql in said)
    return len(said) - (kept + 2 if kept else 0)  # its own transaction begins and ends
