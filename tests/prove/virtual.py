"""A clinic of virtual people: nurses, billers and admins who do what their pages let them, out of one seed.

Each step is one deed by one person at a time of the clinic's own clock. Some go wrong the way they do in life: a button
pressed twice, a page that is out of date, a statement that the database refuses, a process that dies between two
statements. What a deed was refused for is no failure; what it leaves behind would be.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import time_machine
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection, transaction

from infusion import actions, jobs
from infusion.actions import Recorded
from infusion.actions.claim_data import shown_digest
from infusion.actions.worklist import Choice, undo_one, work_on
from infusion.jobs import next_portion
from infusion.models import (
    Authorization,
    Batch,
    BatchClaim,
    Chair,
    Coverage,
    DrugProposal,
    DrugRow,
    EditTable,
    Encounter,
    FeeSchedule,
    Job,
    Order,
    Patient,
    Provider,
    SavedView,
    Selected,
    Skip,
    User,
)
from infusion.selectors import encounter_for, review_of
from infusion.services import facts
from infusion.services.payment import Rate
from infusion.skips import may_skip
from payers import proposals
from payers.actions import Departure, add_payer, draft_override, identify_payer, on_claims, withdraw_override
from payers.actions import Refused as RuleRefused
from payers.models import Payer, PolicyOverride, Proposal
from tests.web.access_table import ADMIN, BILLING, NURSE, SUPERUSER
from tests.web.conftest import House
from tests.web.own_drugs import an_entry
from tests.web.test_audit import some_edits, some_fees

BEGINS = datetime(2026, 3, 10, 14, 0, tzinfo=UTC)
REFUSED = (actions.Refused, RuleRefused, ValidationError)
STATEMENTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
WORDS = ("The pharmacy called.", "Wrong plan.", "Röntgen, “später”", "O'Hara; 2 × 300", "x" * 290)
PARAMETERS = (("additional_hour_minimum_minutes", 30), ("ndc_required", True), ("jz_required", False))


class Died(BaseException):
    """The process is gone."""


@dataclass(slots=True)
class Broken:
    """Refuses the statement with a number, or dies before it."""

    number: int
    fault: type[BaseException]
    seen: int = 0
    happened: bool = False

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(STATEMENTS):
            self.seen += 1
            if self.seen == self.number:
                self.happened = True
                raise self.fault("as chance would have it")
        return execute(sql, params, many, context)


@dataclass(slots=True)
class Step:
    """What one person did and what became of it: done, refused, broken or died."""

    deed: str
    outcome: str
    result: Any = None
    why: str = ""
    doubt: str = ""


@dataclass(slots=True)
class Virtual:
    """The clinic. The same seed does the same deeds."""

    house: House
    recorded: Recorded
    seed: int
    faults: bool = True
    now: datetime = BEGINS
    chance: random.Random = field(init=False)
    doubt: str = ""
    """What should have kept the deed from being done: an old version, another content, a warning not acknowledged."""
    did: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    # People and things ------------------------------------------------------------------------------------------------

    def by(self, role: str) -> User:
        return self.house.people[role]

    def an_admin(self) -> User:
        return self.by(self.chance.choice((ADMIN, SUPERUSER)))

    def any_of(self, rows: Any) -> Any:
        """One of the rows, or a deed that nobody can do now."""
        found = list(rows.order_by("pk")[:200])
        if not found:
            raise actions.Refused("There is none.")
        return self.chance.choice(found)

    def encounter(self, *states: str) -> Encounter:
        rows = Encounter.objects.filter(clinic=self.house.clinic)
        return self.any_of(rows.filter(state__in=states) if states and self.chance.random() < 0.9 else rows)

    def version(self, encounter: Encounter) -> int:
        """The one that was shown; now and then an old one."""
        if not self.faults or self.chance.random() >= 0.15:
            return encounter.version
        self.doubt = "an old version"
        return encounter.version - 1

    def words(self) -> str:
        return self.chance.choice(WORDS)

    def uuid(self) -> UUID:
        return UUID(int=self.chance.getrandbits(128), version=4)

    def payer(self) -> Payer:
        return self.any_of(Payer.objects.all())

    def visit(self, patient: str = "") -> Recorded:
        """One infusion, complete or not, of a patient who may have been here before."""
        minutes = self.chance.choice((12, 31, 90, 91, 150, 151, None))
        [given] = self.recorded.facts.administrations
        start = datetime(2026, 3, 10, self.chance.randrange(7, 17), self.chance.randrange(60))
        pauses: tuple[facts.Pause, ...] = ()
        if minutes and minutes > 60 and self.chance.random() < 0.4:
            at = start + timedelta(minutes=self.chance.randrange(5, 40))
            pauses = (facts.Pause(start=at, stop=at + timedelta(minutes=self.chance.randrange(1, 15))),)
        discards = (facts.Discard(amount=Decimal(50), reason="vial_remainder"),)
        given = replace(
            given, start=start, stop=start + timedelta(minutes=minutes) if minutes else None, pauses=pauses,
            administered=Decimal(550) if (wasted := self.chance.random() < 0.3) else Decimal(600),
            discards=discards if wasted and self.chance.random() < 0.8 else (),
            drug=self.chance.choice(("J2350", "J2350", "J2323", "")),
        )  # fmt: skip
        number = patient or f"V-{self.chance.randrange(8)}"
        return replace(
            self.recorded, patient_reference=number, payer=self.payer(),
            facts=replace(self.recorded.facts, administrations=(given,)),
        )  # fmt: skip

    # One step ---------------------------------------------------------------------------------------------------------

    def step(self) -> Step:
        """Some deed, with or without a fault. Raises what no deed may raise."""
        self.now += timedelta(seconds=self.chance.choice((1, 40, 700, 9000)))
        name = self.chance.choices(NAMES, WEIGHTS)[0]
        fault = self.chance.choices((None, "twice", OperationalError, Died), (86, 6, 4, 4))[0] if self.faults else None
        with time_machine.travel(self.now, tick=False):
            step = self._twice(name) if fault == "twice" else self._attempt(name, fault)
        self.did[f"{name}: {step.outcome}"] += 1
        return step

    def _attempt(self, name: str, fault: Any = None) -> Step:
        self.doubt = ""
        broken = Broken(self.chance.randrange(1, 40), fault or OperationalError)
        try:
            with transaction.atomic():
                if fault is None:
                    return Step(name, "done", DEEDS[name](self), doubt=self.doubt)
                with connection.execute_wrapper(broken):
                    return Step(name, "done", DEEDS[name](self), doubt=self.doubt)
        except REFUSED as refused:
            return Step(name, "broken" if broken.happened else "refused", why=str(refused))
        except (OperationalError, Died):
            if not broken.happened:
                raise
            return Step(name, "broken" if fault is OperationalError else "died")

    def _twice(self, name: str) -> Step:
        """The same press again: out of the same chances, with the same ids."""
        before = self.chance.getstate()
        first = self._attempt(name)
        after = self.chance.getstate()
        self.chance.setstate(before)
        second = self._attempt(name)
        self.chance.setstate(after)
        return Step(name, "twice", (first, second))


# Deeds ----------------------------------------------------------------------------------------------------------------


def new_encounter(v: Virtual) -> object:
    client_id = v.uuid()
    return actions.save_encounter(
        by=v.by(NURSE), clinic=v.house.clinic, client_id=client_id, recorded=v.visit(),
        chair=Chair.objects.filter(clinic=v.house.clinic).first(),
    )  # fmt: skip


def save_again(v: Virtual) -> object:
    stored = v.encounter("draft")
    return actions.save_encounter(
        by=v.by(NURSE), clinic=v.house.clinic, client_id=stored.client_id, public_id=stored.public_id,
        version=v.version(stored), recorded=v.visit(stored.patient.reference),
    )  # fmt: skip


def hand_over(v: Virtual) -> object:
    stored = v.encounter("draft")
    for question in stored.questions.filter(answered_at__isnull=True):
        recorded = v.visit(stored.patient.reference)
        recorded = replace(recorded, answers={question.pk: v.words()[:100]})
        stored = actions.save_encounter(
            by=v.by(NURSE), clinic=v.house.clinic, client_id=stored.client_id, public_id=stored.public_id,
            version=stored.version, recorded=recorded,
        )  # fmt: skip
    return actions.hand_to_billing(by=v.by(NURSE), encounter=stored, version=v.version(stored), attested=True)


def send_back(v: Virtual) -> object:
    stored = v.encounter("with_billing", "draft")
    return actions.return_to_nurse(
        by=v.by(BILLING), encounter=stored, version=v.version(stored), question=v.words(),
        administration=v.chance.choice((None, 0, 1)),
    )  # fmt: skip


def approve(v: Virtual) -> object:
    stored = encounter_for(v.by(BILLING), v.encounter("with_billing").public_id)
    assert stored is not None
    review = review_of(stored)
    keys = [actions.warning_key(each) for each in review.statement.warnings]
    seen = keys if v.chance.random() < 0.9 else keys[1:]
    shown = review.content_hash if v.chance.random() < 0.95 else "0" * 64
    version = v.version(stored)
    if seen != keys or shown != review.content_hash:
        v.doubt = "another content, or a warning not acknowledged"
    return actions.approve(
        by=v.by(BILLING), encounter=stored, version=version, acknowledged=seen, content_hash=shown
    )  # fmt: skip


def hold(v: Virtual) -> object:
    return actions.hold(by=v.by(BILLING), encounter=v.encounter(), reason=v.words())


def release(v: Virtual) -> object:
    return actions.release(by=v.by(BILLING), encounter=v.encounter(), reason=v.words())


def skip(v: Virtual) -> object:
    stored = encounter_for(v.by(BILLING), v.encounter("with_billing").public_id)
    assert stored is not None
    found = [each for each in review_of(stored).statement.findings if may_skip(each)]
    if not found:
        raise actions.Refused("Nothing to skip.")
    return actions.skip_finding(by=v.by(BILLING), encounter=stored, finding=v.chance.choice(found), reason=v.words())


def end_skip(v: Virtual) -> object:
    return actions.end_skip(by=v.by(BILLING), skip=v.any_of(Skip.objects.filter(ended_at__isnull=True)))


def correct(v: Virtual) -> object:
    stored = v.encounter("approved")
    payer = v.payer() if v.chance.random() < 0.3 else None
    return actions.correct(
        by=v.by(BILLING), encounter=stored, version=v.version(stored), reason=v.words(), payer=payer
    )  # fmt: skip


def void(v: Virtual) -> object:
    stored = v.encounter("approved")
    return actions.void(by=v.by(BILLING), encounter=stored, version=v.version(stored), reason=v.words())


def take_back(v: Virtual) -> object:
    stored = v.encounter("approved")
    return actions.take_back(by=v.by(BILLING), encounter=stored, version=v.version(stored))


def claim_facts(v: Virtual) -> object:
    stored = v.encounter()
    values: dict[str, Any] = {"trial_number": v.chance.choice(("", "12345678"))}
    values["bought_340b"] = v.chance.random() < 0.3
    values["attending"] = Provider.objects.filter(clinic=v.house.clinic).first()
    return actions.keep_claim_facts(by=v.by(BILLING), encounter=stored, shown=shown_digest(stored), values=values)


def place_order(v: Virtual) -> object:
    ordered = actions.Ordered(
        patient=v.any_of(Patient.objects.filter(clinic=v.house.clinic)), payer=v.payer(), scheduled_at=v.now,
        setting="office", drug="J2350", route="iv_infusion", ordered=Decimal(600), vials=((Decimal(300), 2),),
        chair=Chair.objects.filter(clinic=v.house.clinic).first(), prescriber="R. Imai, MD",
    )  # fmt: skip
    return actions.place_order(by=v.by(NURSE), clinic=v.house.clinic, client_id=v.uuid(), ordered=ordered)


def cancel_order(v: Virtual) -> object:
    return actions.cancel_order(by=v.by(NURSE), order=v.any_of(Order.objects.all()), reason=v.words()[:200])


def begin_order(v: Virtual) -> object:
    return actions.begin_order(by=v.by(NURSE), order=v.any_of(Order.objects.all()))


def tap(v: Virtual) -> object:
    kind = v.chance.choice(("start", "start", "pause", "resume", "stop", "new_bag"))
    late = None
    if v.chance.random() < 0.2:
        late = actions.Late(v.now - timedelta(minutes=v.chance.randrange(1, 30)), v.words()[:100])
    begun = Encounter.objects.filter(order__isnull=False, state="draft")
    chosen = v.any_of(begun) if begun.exists() else v.encounter("draft")
    return actions.tap(by=v.by(NURSE), encounter=chosen, position=0, kind=kind, tap_id=v.uuid(), late=late)


def undo_tap(v: Virtual) -> object:
    stored = v.any_of(Encounter.objects.filter(clinic=v.house.clinic, taps__undone_at__isnull=True, taps__gt=0))
    last = stored.taps.filter(undone_at__isnull=True).last()
    if last is None:
        raise actions.Refused("No tap.")
    return actions.undo_tap(by=v.by(NURSE), encounter=stored, tap_id=last.client_id)


def dose(v: Virtual) -> object:
    stored = v.encounter("draft")
    wasted = v.chance.random() < 0.3
    return actions.confirm_dose(
        by=v.by(NURSE), encounter=stored, version=v.version(stored), position=0,
        administered=Decimal(550 if wasted else 600), vials=(facts.Vial(amount=Decimal(300), count=2, lot="L7"),),
        discards=(facts.Discard(amount=Decimal(50), reason="vial_remainder"),) if wasted else (),
    )  # fmt: skip


def document(v: Virtual) -> object:
    item = v.chance.choice(("reaction", "order"))
    return actions.document_item(by=v.by(NURSE), encounter=v.encounter("draft"), item=item, text=v.words()[:60])


def make_batch(v: Virtual) -> object:
    rows = Encounter.objects.filter(clinic=v.house.clinic, state__in=("approved", "void"))
    chosen = v.chance.sample(list(rows), min(2, rows.count()))
    return actions.make_batch(by=v.by(BILLING), clinic=v.house.clinic, client_id=v.uuid(), encounters=chosen)


def begin_batch(v: Virtual) -> object:
    return actions.begin_batch(by=v.by(BILLING), clinic=v.house.clinic, client_id=v.uuid())


def fill_batch(v: Virtual) -> object:
    """What a worker does in one portion, or what a person does about one that has stopped."""
    job = v.any_of(Job.objects.filter(kind="batch").exclude(state="done"))
    return jobs.go_on(by=v.by(BILLING), job=job) if job.state == "failed" else next_portion(job.public_id, job.turn)


def write_file(v: Virtual) -> object:
    return actions.write_file(by=v.by(BILLING), batch=v.any_of(Batch.objects.all()), format="csv")


def payers_number(v: Virtual) -> object:
    claim = v.any_of(BatchClaim.objects.all())
    known = getattr(claim, "payer_reference", None)
    number = f"ICN{v.chance.randrange(100)}"
    return actions.record_payer_reference(
        by=v.by(BILLING), claim=claim, number=number, shown=known.number if known else ""
    )  # fmt: skip


def correct_patient(v: Virtual) -> object:
    patient = v.any_of(Patient.objects.filter(clinic=v.house.clinic))
    values = {"family_name": v.chance.choice(("Lindqvist", "O’Hara", "Søndergård")), "sex": v.chance.choice("FM")}
    return actions.correct_patient(by=v.by(NURSE), patient=patient, shown=shown_digest(patient), values=values)


def add_coverage(v: Virtual) -> object:
    patient = v.any_of(Patient.objects.filter(clinic=v.house.clinic))
    values = {"payer": v.payer(), "member_id": f"M{v.chance.randrange(9)}", "effective_from": date(2026, 1, 1)}
    return actions.add_coverage(by=v.by(BILLING), patient=patient, values=values)


def change_coverage(v: Virtual) -> object:
    row = v.any_of(Coverage.objects.all())
    values = {"member_id": f"M{v.chance.randrange(99)}", "effective_until": v.chance.choice((None, date(2026, 12, 31)))}
    return actions.change_coverage(by=v.by(BILLING), coverage=row, shown=shown_digest(row), values=values)


def add_authorization(v: Virtual) -> object:
    patient = v.any_of(Patient.objects.filter(clinic=v.house.clinic))
    values = {"payer": v.payer(), "drug": "J2350", "number": "PA-1", "effective_from": date(2026, 1, 1),
              "dose_limit": v.chance.choice((None, Decimal("600.125")))}  # fmt: skip
    return actions.add_authorization(by=v.by(BILLING), patient=patient, values=values)


def change_authorization(v: Virtual) -> object:
    row = v.any_of(Authorization.objects.all())
    values = {"number": f"PA-{v.chance.randrange(9)}"}
    return actions.change_authorization(by=v.by(BILLING), authorization=row, shown=shown_digest(row), values=values)


def provider(v: Virtual) -> object:
    npi = v.chance.choice(("1234567893", "1245319599"))
    return actions.add_provider(
        by=v.by(BILLING), clinic=v.house.clinic, values={"family_name": "Imai", "given_name": "Rin", "npi": npi}
    )  # fmt: skip


def clinic_claims(v: Virtual) -> object:
    clinic = type(v.house.clinic).objects.get(pk=v.house.clinic.pk)
    values = {"sends_claims": v.chance.random() < 0.1, "legal_name": v.words()[:60]}
    return actions.change_clinic_claims(by=v.by(ADMIN), clinic=clinic, shown=shown_digest(clinic), values=values)


def fees(v: Virtual) -> object:
    first = date(2026, v.chance.randrange(1, 13), 1)
    rates = (Rate(code="J2350", rate=Decimal(v.chance.randrange(100, 999)) / 10),)
    new = replace(some_fees(first, payer=v.payer(), checksum=f"{v.chance.getrandbits(64):064x}"), rates=rates)
    by = v.by(ADMIN) if v.chance.random() < 0.7 else None
    return actions.load_fees(by=by, clinic=v.house.clinic, fees=new, end_previous=v.chance.random() < 0.8)


def withdraw_fees(v: Virtual) -> object:
    rows = FeeSchedule.objects.filter(withdrawn_at__isnull=True)
    return actions.withdraw_fees(by=v.by(ADMIN), schedule=v.any_of(rows), reason=v.words())


def edits(v: Virtual) -> object:
    quarter = v.chance.choice(("2026Q1", "2026Q2"))
    new = replace(some_edits(quarter), checksum=f"{v.chance.getrandbits(64):064x}")
    return actions.load_edits(by=v.by(ADMIN), new=new)


def withdraw_edits(v: Virtual) -> object:
    rows = EditTable.objects.filter(withdrawn_at__isnull=True)
    return actions.withdraw_edits(by=v.by(ADMIN), table=v.any_of(rows), reason=v.words())


def a_payer(v: Virtual) -> object:
    number = v.chance.randrange(4)
    if Payer.objects.filter(slug=f"plan-{number}").exists():
        raise actions.Refused("It is there.")
    return add_payer(by=v.by(ADMIN), slug=f"plan-{number}", name=f"Plan {number}")


def name_payer(v: Virtual) -> object:
    payer, code = v.payer(), v.chance.choice(("CI", "MB"))
    return identify_payer(
        by=v.by(ADMIN), payer=payer, shown=on_claims(payer), electronic_id=f"6005{v.chance.randrange(9)}",
        filing_code=code,
    )  # fmt: skip


def draft_rule(v: Virtual) -> object:
    parameter, value = v.chance.choice(PARAMETERS)
    month = v.chance.randrange(1, 13)
    said = Departure(
        parameter=parameter, value=value, effective_from=date(2026, month, 1), source_document="Handbook",
        source_read_on=date(2026, 1, 1), note=v.words()[:100],
    )  # fmt: skip
    replaces = None
    if v.chance.random() < 0.4:
        replaces = PolicyOverride.objects.filter(known_until__isnull=True).order_by("pk").last()
    payer = replaces.payer if replaces else v.payer()
    return draft_override(by=v.an_admin(), payer=payer, departure=said, replaces=replaces)


def propose_rule(v: Virtual) -> object:
    row = v.any_of(PolicyOverride.objects.filter(known_until__isnull=True))
    kind = "publish" if row.status == "draft" else v.chance.choice(("withdraw", "end"))
    wanted = proposals.Wanted(
        kind=kind, override=row, status="unverified" if kind == "publish" else "", reason=v.words(),
        last_day=row.effective_from + timedelta(days=90) if kind == "end" else None,
    )  # fmt: skip
    return proposals.propose(by=v.an_admin(), payer=row.payer, wanted=wanted, today=v.now.date())


def decide_rule(v: Virtual) -> object:
    proposal, by = v.any_of(Proposal.objects.filter(outcome="")), v.an_admin()
    if v.chance.random() < 0.2:
        return proposals.return_proposal(by=by, proposal=proposal, reason=v.words())
    return proposals.publish_proposal(by=by, proposal=proposal)


def drop_rule(v: Virtual) -> object:
    row = v.any_of(PolicyOverride.objects.filter(known_until__isnull=True, status="draft"))
    return withdraw_override(by=v.an_admin(), override=row, reason=v.words())


def draft_drug(v: Virtual) -> object:
    code = v.chance.choice(("J0001", "J0002", "J0003"))
    rows = DrugRow.objects.filter(code=code, known_until__isnull=True)
    return actions.draft_drug(by=v.an_admin(), entry=an_entry(code=code), replaces=rows.order_by("pk").first())


def propose_drug(v: Virtual) -> object:
    row = v.any_of(DrugRow.objects.filter(known_until__isnull=True))
    return actions.propose_drug(by=v.an_admin(), row=row, today=v.now.date(), reason=v.words())


def decide_drug(v: Virtual) -> object:
    proposal, by = v.any_of(DrugProposal.objects.filter(outcome="")), v.an_admin()
    if v.chance.random() < 0.2:
        return actions.return_drug(by=by, proposal=proposal, reason=v.words())
    return actions.publish_drug(by=by, proposal=proposal)


def view(v: Virtual) -> object:
    name = f"List {v.chance.randrange(3)}"
    return actions.save_view(by=v.by(BILLING), name=name, query="view=all", shared=v.chance.random() < 0.5)


def change_view(v: Virtual) -> object:
    row = v.any_of(SavedView.objects.all())
    if v.chance.random() < 0.5:
        return actions.delete_view(by=v.by(BILLING), view=row)
    return actions.change_view(by=v.by(BILLING), view=row, name=f"List {v.chance.randrange(3)}", shared=True)


def keys(v: Virtual) -> object:
    person = User.objects.get(pk=v.by(BILLING).pk)
    return actions.set_single_keys(by=person, on=not person.single_keys)


def many(v: Virtual) -> object:
    """What a list does to several encounters, each by itself."""
    act = v.chance.choice(("approve", "hold"))
    rows = [encounter_for(v.by(BILLING), v.encounter("with_billing").public_id) for _ in range(2)]
    chosen = {each.pk: Choice(each.pk, each.version, review_of(each).content_hash) for each in rows if each}
    selection = actions.choose(by=v.by(BILLING), act=act, choices=chosen.values())
    for pk in selection.rows.values_list("pk", flat=True):
        work_on(by=v.by(BILLING), row=pk, reason=v.words())
    return selection


def undo_many(v: Virtual) -> object:
    return undo_one(by=v.by(BILLING), row=v.any_of(Selected.objects.filter(outcome="done")).pk)


def working_copy(v: Virtual) -> object:
    return actions.keep_copy(by=v.by(NURSE), client_id=v.uuid(), encounter=None, version=0, entries={"d1-start": "9"})


Deed = Callable[[Virtual], object]
# Each deed, and how often it is done beside the others.
DEEDS_AND_WEIGHTS: dict[Deed, int] = {
    new_encounter: 12, save_again: 8, hand_over: 14, send_back: 4, approve: 14, hold: 2, release: 2, skip: 2,
    end_skip: 1, correct: 4, void: 1, take_back: 2, claim_facts: 2, place_order: 3, cancel_order: 1, begin_order: 4,
    tap: 12, undo_tap: 2, dose: 4, document: 2, make_batch: 4, begin_batch: 2, fill_batch: 3, write_file: 2,
    payers_number: 2, correct_patient: 2,
    add_coverage: 2, change_coverage: 1, add_authorization: 1, change_authorization: 1, provider: 1, clinic_claims: 1,
    fees: 2, withdraw_fees: 1, edits: 1, withdraw_edits: 1, a_payer: 1, name_payer: 1, draft_rule: 3, propose_rule: 3,
    decide_rule: 3, drop_rule: 1, draft_drug: 2, propose_drug: 2, decide_drug: 2, view: 1, change_view: 1, keys: 1,
    many: 2, undo_many: 1, working_copy: 1,
}  # fmt: skip
DEEDS = {deed.__name__: deed for deed in DEEDS_AND_WEIGHTS}
NAMES, WEIGHTS = list(DEEDS), list(DEEDS_AND_WEIGHTS.values())
