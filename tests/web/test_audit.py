"""Each write leaves one audit row in its transaction; the chain shows a gap; the database refuses to alter it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from copy import deepcopy
from datetime import date
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection, transaction

import infusion.actions
import payers.actions
from infusion import audit
from infusion.actions import (
    Ordered,
    Recorded,
    add_authorization,
    add_coverage,
    add_provider,
    approve,
    begin_batch,
    begin_order,
    cancel_order,
    change_authorization,
    change_clinic_claims,
    change_coverage,
    change_provider,
    confirm_dose,
    correct,
    correct_patient,
    document_item,
    draft_drug,
    drop_copies_of,
    drop_copy,
    end_skip,
    hand_to_billing,
    hold,
    keep_claim_facts,
    keep_copy,
    load_edits,
    load_fees,
    make_batch,
    place_order,
    propose_drug,
    publish_drug,
    record_payer_reference,
    release,
    return_drug,
    return_to_nurse,
    save_encounter,
    skip_finding,
    take_back_drug,
    tap,
    undo_tap,
    void,
    warning_key,
    withdraw_drug_draft,
    withdraw_edits,
    withdraw_fees,
    write_file,
)
from infusion.actions.claim_data import shown_digest
from infusion.actions.fees import NewFees
from infusion.actions.tables import NewEdits
from infusion.actions.worklist import (
    Choice,
    change_view,
    choose,
    delete_view,
    save_view,
    set_single_keys,
    take_back,
    undo_one,
    work_on,
)
from infusion.audit import AuditChange, AuditEvent, AuditHead
from infusion.chain import check
from infusion.edit_file import LimitRow
from infusion.models import (
    Approval,
    Authorization,
    Batch,
    BatchClaim,
    Clinic,
    Coverage,
    DrugProposal,
    DrugRow,
    EditTable,
    Encounter,
    FeeSchedule,
    Order,
    Provider,
    Skip,
    User,
    Vial,
    WorkingCopy,
)
from infusion.models.desk import SavedView, Selected, Selection
from infusion.replay import differences
from infusion.selectors import encounter_for, facts_of, review_of
from infusion.services.findings import Finding
from infusion.services.payment import Rate
from payers.actions import (
    Departure,
    add_payer,
    draft_override,
    identify_payer,
    publish_override,
    put_away,
    withdraw_override,
)
from payers.models import Payer, PolicyOverride
from tests.web.access_table import ADMIN, BILLING, NURSE, SUPERUSER
from tests.web.conftest import House, everything
from tests.web.own_drugs import an_entry

SAID = Departure(
    parameter="additional_hour_minimum_minutes", value=30, effective_from=date(2027, 1, 1),
    source_document="Handbook", source_read_on=date(2026, 1, 1),
)  # fmt: skip
ANOTHER = Departure(
    parameter="ndc_required", value=True, effective_from=date(2027, 1, 1),
    source_document="Handbook", source_read_on=date(2026, 1, 1),
)  # fmt: skip


def a_drug(house: House, code: str) -> DrugRow:
    """A draft of a drug by its code: written by the first call, and only found by the next ones."""
    found = DrugRow.objects.filter(code=code, known_until=None).first()
    return found or draft_drug(by=house.people[ADMIN], entry=an_entry(code=code))


def a_proposal(house: House, code: str) -> DrugProposal:
    row = a_drug(house, code)
    found = row.proposals.first()
    return found or propose_drug(by=house.people[ADMIN], row=row, today=date(2026, 3, 10))


def an_order(house: House) -> Ordered:
    return Ordered(
        patient=house.draft.patient, payer=house.draft.payer, scheduled_at=house.draft.entered_at, setting="office",
        drug="J2350", route="iv_infusion", ordered=Decimal(600), vials=((Decimal(300), 2),),
    )  # fmt: skip


def placed(house: House, number: int) -> Order:
    """An order of the house by its number: placed by the first call, and only found by the next ones."""
    return place_order(by=house.people[NURSE], clinic=house.clinic, client_id=UUID(int=number), ordered=an_order(house))


def begun(house: House, number: int) -> Encounter:
    return begin_order(by=house.people[NURSE], order=placed(house, number))


def tapped(house: House, number: int) -> dict[str, Any]:
    encounter, tap_id = begun(house, number), UUID(int=number)
    tap(by=house.people[NURSE], encounter=encounter, position=0, kind="start", tap_id=tap_id)
    return {"encounter": encounter, "tap_id": tap_id}


def warned(house: House, encounter: Encounter) -> Finding:
    """The warning of an encounter whose vial had expired."""
    found = encounter_for(house.people[BILLING], encounter.public_id)
    assert found is not None
    return next(each for each in review_of(found).statement.warnings if each.code == "vials.expired")


def a_coverage(house: House) -> dict[str, Any]:
    return {"payer": house.draft.payer, "member_id": "1EG4TE5MK73", "effective_from": date(2026, 1, 1)}


def an_authorization(house: House) -> dict[str, Any]:
    return {"payer": house.draft.payer, "drug": "J2350", "number": "PA-1", "effective_from": date(2026, 1, 1)}


def shown(row: Any, name: str) -> dict[str, Any]:
    """A row under the name that its writer takes it by, and what a form showed of it."""
    return {name: row, "shown": shown_digest(row)}


def some_edits(quarter: str) -> NewEdits:
    return NewEdits(
        kind="mue", claims="practitioner", quarter=quarter, source="CMS", checksum="0" * 64,
        rows=(LimitRow("J2350", 600, "2"),),
    )  # fmt: skip


def an_edit_table() -> EditTable:
    """Loaded by the first call, and only found by the next ones."""
    return EditTable.objects.first() or load_edits(by=None, new=some_edits("2026Q2"))


def some_fees(first_day: date = date(2026, 1, 1), **more: Any) -> NewFees:
    given: dict[str, Any] = {"payer": None, "effective_until": None, "checksum": "0" * 64, **more}
    rates = (Rate(code="J2350", rate=Decimal("60.97")),)
    return NewFees(name="Charges", source="Contract", effective_from=first_day, rates=rates, **given)


def loaded(house: House) -> FeeSchedule:
    """The payer's schedule: loaded by the first call, and only found by the next ones."""
    fees = some_fees(payer=house.draft.payer, public_id=UUID(int=7))
    return load_fees(by=house.people[ADMIN], clinic=house.clinic, fees=fees)


def selected(house: House, encounter: Encounter, version: int) -> Selected:
    """An encounter chosen for approval: by the first call, and only found by the next ones."""
    selection = Selection.objects.filter(rows__encounter=encounter).first() or choose(
        by=house.people[BILLING], act="approve",
        choices=[Choice(encounter.pk, version, review_of(encounter).content_hash)],
    )  # fmt: skip
    return selection.rows.get()


def a_view(house: House) -> SavedView:
    view = SavedView.objects.first()
    return view or save_view(by=house.people[BILLING], name="Mine", query="view=all", shared=False)


def sent(house: House) -> BatchClaim:
    """A claim that has left: by the first call, and only found by the next ones."""
    batch = Batch.objects.filter(client_id=UUID(int=9)).first() or make_batch(
        by=house.people[BILLING], clinic=house.clinic, client_id=UUID(int=9), encounters=[another_approved(house)]
    )  # fmt: skip
    return batch.claims.get()


def another_approved(house: House) -> Encounter:
    """One more that was approved, so that the house's own is still to leave."""
    by, client_id = house.people[BILLING], UUID(int=9)
    found = Encounter.objects.filter(clinic=house.clinic, client_id=client_id).first()
    if found is not None:
        return found
    Clinic.objects.filter(pk=house.clinic.pk).update(sends_claims=False)
    like = encounter_for(by, house.approved.public_id)
    assert like is not None
    recorded = Recorded(
        patient_reference="Sent1", payer=like.payer, date_of_service=like.date_of_service,
        place_of_service=like.place_of_service, facts=facts_of(like),
    )  # fmt: skip
    nurse = house.people[NURSE]
    found = save_encounter(by=nurse, clinic=house.clinic, client_id=client_id, recorded=recorded)
    found = hand_to_billing(by=nurse, encounter=found, version=found.version)
    review = review_of(found)
    keys = [warning_key(finding) for finding in review.statement.warnings]
    approve(by=by, encounter=found, version=found.version, content_hash=review.content_hash, acknowledged=keys)
    return found


def set_the_scene(house: House) -> None:
    """What the writes at the chair and at the desk begin with, so that a write itself is one action."""
    by, patient = house.people[BILLING], house.approved.patient
    add_coverage(by=by, patient=patient, values=a_coverage(house))
    add_authorization(by=by, patient=patient, values=an_authorization(house))
    add_provider(by=by, clinic=house.clinic, values={"family_name": "Imai", "npi": "1234567893"})
    loaded(house)
    an_edit_table()
    a_drug(house, "J0001")
    a_proposal(house, "J0002")
    sent(house)
    placed(house, 1)
    begun(house, 2)
    tapped(house, 3)
    a_view(house)
    selected(house, house.with_billing, house.with_billing.version)
    done = selected(house, house.approved, house.approved.version - 1)
    Selected.objects.filter(pk=done.pk).update(outcome=Selected.Outcome.DONE)
    hold(by=house.people[BILLING], encounter=house.returned, reason="Waits for the pharmacy.")
    expired = Vial.objects.filter(administration__encounter__in=(house.returned, house.draft))
    expired.update(expires=date(2026, 1, 31))
    house.returned.questions.update(answer="It was in the second fridge.")
    finding = warned(house, house.returned)
    skip_finding(by=house.people[BILLING], encounter=house.returned, finding=finding, reason="Relabelled.")


Write = Callable[[House, dict[str, PolicyOverride], Recorded], object]
# What each action tells the audit, in order: a new patient is a write of its own.
WRITES: dict[str, tuple[Write, list[str]]] = {
    "save a new encounter": (
        lambda house, rules, sarah: save_encounter(
            by=house.people[NURSE], clinic=house.clinic, client_id=uuid4(), recorded=sarah
        ),
        ["patient.save", "encounter.add"],
    ),
    "save a draft again": (
        lambda house, rules, sarah: save_encounter(
            by=house.people[NURSE], clinic=house.clinic, client_id=house.draft.client_id, recorded=sarah,
            public_id=house.draft.public_id, version=house.draft.version,
        ),
        ["patient.save", "encounter.save"],
    ),
    "hand over": (
        lambda house, rules, sarah: hand_to_billing(
            by=house.people[NURSE], encounter=house.returned, version=house.returned.version, attested=True
        ),
        ["encounter.hand_over"],
    ),
    "return": (
        lambda house, rules, sarah: return_to_nurse(
            by=house.people[BILLING], encounter=house.with_billing, version=house.with_billing.version, question="Why?"
        ),
        ["encounter.return"],
    ),
    "approve": (
        lambda house, rules, sarah: approve(
            by=house.people[BILLING], encounter=house.with_billing, version=house.with_billing.version, acknowledged=(),
            content_hash=review_of(house.with_billing).content_hash,
        ),
        ["encounter.approve"],
    ),
    "hold": (
        lambda house, rules, sarah: hold(
            by=house.people[BILLING], encounter=house.approved, reason="The payer changes its number."
        ),
        ["hold.place"],
    ),
    "release": (
        lambda house, rules, sarah: release(by=house.people[BILLING], encounter=house.returned, reason="It came."),
        ["hold.release"],
    ),
    "skip a finding": (
        lambda house, rules, sarah: skip_finding(
            by=house.people[BILLING], encounter=house.draft, finding=warned(house, house.draft), reason="Relabelled."
        ),
        ["skip.add"],
    ),
    "end a skip": (
        lambda house, rules, sarah: end_skip(by=house.people[BILLING], skip=Skip.objects.get()),
        ["skip.end"],
    ),
    "correct": (
        lambda house, rules, sarah: correct(
            by=house.people[BILLING], encounter=house.approved, version=house.approved.version, reason="Wrong stop."
        ),
        ["encounter.correct"],
    ),
    "void": (
        lambda house, rules, sarah: void(
            by=house.people[BILLING], encounter=house.approved, version=house.approved.version, reason="Twice recorded."
        ),
        ["encounter.void"],
    ),
    "place an order": (
        lambda house, rules, sarah: place_order(
            by=house.people[NURSE], clinic=house.clinic, client_id=uuid4(), ordered=an_order(house)
        ),
        ["order.place"],
    ),
    "cancel an order": (
        lambda house, rules, sarah: cancel_order(by=house.people[NURSE], order=placed(house, 1), reason="Moved."),
        ["order.cancel"],
    ),
    "begin an order": (
        lambda house, rules, sarah: begin_order(by=house.people[NURSE], order=placed(house, 1)),
        ["encounter.add", "order.begin"],
    ),
    "tap": (
        lambda house, rules, sarah: tap(
            by=house.people[NURSE], encounter=begun(house, 2), position=0, kind="start", tap_id=uuid4()
        ),
        ["tap.start"],
    ),
    "undo a tap": (
        lambda house, rules, sarah: undo_tap(by=house.people[NURSE], **tapped(house, 3)),
        ["tap.undo"],
    ),
    "confirm a dose": (
        lambda house, rules, sarah: confirm_dose(
            by=house.people[NURSE], encounter=house.draft, version=house.draft.version, position=0,
            administered=Decimal(599), vials=(), discards=(),
        ),
        ["encounter.dose"],
    ),
    "document an item": (
        lambda house, rules, sarah: document_item(
            by=house.people[NURSE], encounter=house.draft, item="access_site", text="left forearm"
        ),
        ["encounter.document"],
    ),
    "make a batch": (
        lambda house, rules, sarah: make_batch(
            by=house.people[BILLING], clinic=house.clinic, client_id=uuid4(), encounters=[house.approved]
        ),
        ["batch.make"],
    ),
    "begin a batch": (
        lambda house, rules, sarah: begin_batch(
            by=house.people[BILLING], clinic=house.clinic, client_id=uuid4()
        ),
        ["batch.make", "job.begin"],
    ),
    "write a batch": (
        lambda house, rules, sarah: write_file(by=house.people[BILLING], batch=sent(house).batch, format="csv"),
        ["batch.write"],
    ),
    "record a payer's number": (
        lambda house, rules, sarah: record_payer_reference(by=house.people[BILLING], claim=sent(house), number="7"),
        ["claim.reference"],
    ),
    "correct a patient": (
        lambda house, rules, sarah: correct_patient(
            by=house.people[NURSE], patient=house.draft.patient, shown=shown_digest(house.draft.patient),
            values={"name": "Sarah Lindquist"},
        ),
        ["patient.correct"],
    ),
    "add a coverage": (
        lambda house, rules, sarah: add_coverage(
            by=house.people[BILLING], patient=house.draft.patient, values=a_coverage(house)
        ),
        ["coverage.add"],
    ),
    "change a coverage": (
        lambda house, rules, sarah: change_coverage(
            by=house.people[BILLING], **shown(Coverage.objects.get(), "coverage"), values={"member_id": "2"}
        ),
        ["coverage.change"],
    ),
    "add an authorization": (
        lambda house, rules, sarah: add_authorization(
            by=house.people[BILLING], patient=house.draft.patient, values=an_authorization(house)
        ),
        ["authorization.add"],
    ),
    "change an authorization": (
        lambda house, rules, sarah: change_authorization(
            by=house.people[BILLING], **shown(Authorization.objects.get(), "authorization"), values={"number": "2"}
        ),
        ["authorization.change"],
    ),
    "add a provider": (
        lambda house, rules, sarah: add_provider(
            by=house.people[BILLING], clinic=house.clinic, values={"family_name": "Lund", "npi": "1245319599"}
        ),
        ["provider.add"],
    ),
    "change a provider": (
        lambda house, rules, sarah: change_provider(
            by=house.people[BILLING], **shown(Provider.objects.get(), "provider"), values={"given_name": "Rina"}
        ),
        ["provider.change"],
    ),
    "change the clinic on claims": (
        lambda house, rules, sarah: change_clinic_claims(
            by=house.people[ADMIN], **shown(Clinic.objects.get(pk=house.clinic.pk), "clinic"),
            values={"npi": "1245319599"},
        ),
        ["clinic.claims"],
    ),
    "say who treated": (
        lambda house, rules, sarah: keep_claim_facts(
            by=house.people[BILLING], **shown(house.approved, "encounter"),
            values={"attending": Provider.objects.get()},
        ),
        ["encounter.claim"],
    ),
    "name a payer on claims": (
        lambda house, rules, sarah: identify_payer(
            by=house.people[ADMIN], payer=house.draft.payer, shown={"electronic_id": "", "filing_code": "CI"},
            electronic_id="60054", filing_code="CI",
        ),
        ["payer.identify"],
    ),
    "load a table of CMS": (
        lambda house, rules, sarah: load_edits(by=house.people[ADMIN], new=some_edits("2026Q1")),
        ["edits.load"],
    ),
    "withdraw a table of CMS": (
        lambda house, rules, sarah: withdraw_edits(by=house.people[ADMIN], table=an_edit_table(), reason="Wrong."),
        ["edits.withdraw"],
    ),
    "draft a drug": (
        lambda house, rules, sarah: draft_drug(by=house.people[ADMIN], entry=an_entry()),
        ["drug.draft"],
    ),
    "withdraw the draft of a drug": (
        lambda house, rules, sarah: withdraw_drug_draft(
            by=house.people[ADMIN], draft=a_drug(house, "J0001"), reason="Wrong."
        ),
        ["drug.withdraw"],
    ),
    "propose a drug": (
        lambda house, rules, sarah: propose_drug(
            by=house.people[ADMIN], row=a_drug(house, "J0001"), today=date(2026, 3, 10)
        ),
        ["drug_proposal.add"],
    ),
    "publish a drug": (
        lambda house, rules, sarah: publish_drug(by=house.people[SUPERUSER], proposal=a_proposal(house, "J0002")),
        ["drug.publish", "drug_proposal.published"],
    ),
    "return a drug": (
        lambda house, rules, sarah: return_drug(
            by=house.people[SUPERUSER], proposal=a_proposal(house, "J0002"), reason="No."
        ),
        ["drug_proposal.returned"],
    ),
    "take a drug back": (
        lambda house, rules, sarah: take_back_drug(by=house.people[ADMIN], proposal=a_proposal(house, "J0002")),
        ["drug_proposal.taken_back"],
    ),
    "load fees": (
        lambda house, rules, sarah: load_fees(by=house.people[ADMIN], clinic=house.clinic, fees=some_fees()),
        ["fees.load"],
    ),
    "load the fees that follow": (
        lambda house, rules, sarah: load_fees(
            by=house.people[ADMIN], clinic=house.clinic, end_previous=True,
            fees=some_fees(date(2027, 1, 1), payer=house.draft.payer, checksum="1" * 64),
        ),
        ["fees.end", "fees.load"],
    ),
    "withdraw fees": (
        lambda house, rules, sarah: withdraw_fees(by=house.people[ADMIN], schedule=loaded(house), reason="Wrong."),
        ["fees.withdraw"],
    ),
    "choose": (
        lambda house, rules, sarah: choose(
            by=house.people[BILLING], act="hold", choices=[Choice(house.draft.pk, house.draft.version, "")]
        ),
        ["selection.choose"],
    ),
    "work on what is selected": (
        lambda house, rules, sarah: work_on(
            by=house.people[BILLING], row=selected(house, house.with_billing, house.with_billing.version).pk
        ),
        ["encounter.approve"],
    ),
    "undo what was selected": (
        lambda house, rules, sarah: undo_one(by=house.people[BILLING], row=selected(house, house.approved, 0).pk),
        ["encounter.take_back"],
    ),
    "take back": (
        lambda house, rules, sarah: take_back(
            by=house.people[BILLING], encounter=house.approved, version=house.approved.version
        ),
        ["encounter.take_back"],
    ),
    "save a view": (
        lambda house, rules, sarah: save_view(by=house.people[BILLING], name="New", query="view=all", shared=True),
        ["view.save"],
    ),
    "change a view": (
        lambda house, rules, sarah: change_view(
            by=house.people[BILLING], view=a_view(house), name="Other", shared=True
        ),
        ["view.change"],
    ),
    "delete a view": (
        lambda house, rules, sarah: delete_view(by=house.people[BILLING], view=a_view(house)),
        ["view.delete"],
    ),
    "turn single keys off": (
        lambda house, rules, sarah: set_single_keys(by=house.people[BILLING], on=False),
        ["user.single_keys"],
    ),
    "add a payer": (
        lambda house, rules, sarah: add_payer(by=house.people[ADMIN], slug="new", name="New"),
        ["payer.add"],
    ),
    "draft a rule": (
        lambda house, rules, sarah: draft_override(
            by=house.people[ADMIN], payer=rules["draft"].payer, departure=ANOTHER, replaces=rules["draft"]
        ),
        ["override.draft"],
    ),
    "publish a draft": (
        lambda house, rules, sarah: publish_override(
            by=house.people[ADMIN], payer=rules["draft"].payer, departure=ANOTHER, status="unverified",
            replaces=rules["draft"],
        ),
        ["override.publish"],
    ),
    "publish a new wording": (
        lambda house, rules, sarah: publish_override(
            by=house.people[ADMIN], payer=rules["published"].payer, departure=SAID, status="verified",
            replaces=rules["published"],
        ),
        ["override.publish"],
    ),
    "put a draft away": (
        lambda house, rules, sarah: put_away(by=house.people[ADMIN], draft=rules["draft"]),
        ["override.put_away"],
    ),
    "withdraw a rule": (
        lambda house, rules, sarah: withdraw_override(
            by=house.people[ADMIN], override=rules["published"], reason="Wrong plan."
        ),
        ["override.withdraw"],
    ),
}  # fmt: skip


# Events about a table that holds no record; see infusion.capture.
NO_ROW_OF_ITS_OWN = ("selection.choose", "job.begin")
# Not a record: one person's own unfinished form, which nobody else reads and nothing is billed from. Saving it is told.
UNTOLD: dict[str, Callable[[House], object]] = {
    "keep_copy": lambda house: keep_copy(
        by=house.people[NURSE], client_id=uuid4(), encounter=house.draft, version=1, entries={"d1-start": "9"}
    ),
    "drop_copy": lambda house: drop_copy(by=house.people[NURSE], client_id=a_copy(house).client_id),
    "drop_copies_of": lambda house: a_copy(house) and drop_copies_of(house.people[NURSE]),
}


def a_copy(house: House) -> WorkingCopy:
    kept = keep_copy(by=house.people[NURSE], client_id=uuid4(), encounter=None, version=0, entries={})
    assert kept is not None
    return kept


def first_flaw(events: Iterable[AuditEvent], head: AuditHead) -> int | None:
    """The number at which the chain does not hold, or None."""
    previous, sequence = "", 0
    for event in events:
        if event.sequence != sequence + 1 or event.previous_hash != previous or event.hash != event.expected_hash():
            return sequence + 1
        previous, sequence = event.hash, event.sequence
    return None if (head.sequence, head.hash) == (sequence, previous) else sequence + 1


def flaw() -> int | None:
    return first_flaw(AuditEvent.objects.order_by("sequence"), AuditHead.objects.get(pk=AuditHead.WRITES))


def test_each_write_is_told_once_and_what_is_taken_back_was_never_told(
    house: House, rules: dict[str, PolicyOverride], sarah: Recorded, subtests: pytest.Subtests
) -> None:
    """Each begins with the same scene and is taken back."""
    set_the_scene(house)
    before, known = everything(), AuditEvent.objects.count()
    for write, (act, told) in WRITES.items():
        with subtests.test(write):
            with transaction.atomic():
                act(*deepcopy((house, rules, sarah)))
                events = list(AuditEvent.objects.order_by("sequence")[known:])
                assert [event.action for event in events] == told
                assert all(event.by_id and event.by_name and event.after != event.before for event in events)
                assert all(event.changes for event in events if event.action not in NO_ROW_OF_ITS_OWN)
                untold = AuditChange.objects.filter(event__isnull=True)
                assert not untold.exists(), "a write after the event that tells of it"
                assert flaw() is None
                assert check().flaws == []
                assert list(differences()) == []
                assert everything() != before
                transaction.set_rollback(True)
            assert everything() == before
            assert flaw() is None


def writers(module: ModuleType) -> set[str]:
    """The names of a module's actions: what it makes or hands on that runs in a transaction."""
    return {
        name
        for name, value in vars(module).items()
        if hasattr(value, "__wrapped__") and value.__module__.startswith(module.__name__)
    }


def test_every_action_is_here() -> None:
    """An action that is added later joins WRITES, or this fails."""
    called = {name for act, _ in WRITES.values() for name in act.__code__.co_names}  # type: ignore[attr-defined]
    assert len(writers(infusion.actions)) >= 4
    assert len(writers(payers.actions)) >= 4
    assert sorted((writers(infusion.actions) | writers(payers.actions)) - called) == sorted(UNTOLD)


@pytest.mark.parametrize("name", UNTOLD)
def test_what_is_not_told_writes_nothing_but_working_copies(name: str, house: House) -> None:
    before = everything()
    UNTOLD[name](house)
    after = everything()
    assert bool(after.pop("infusion.WorkingCopy")) == (name == "keep_copy")
    del before["infusion.WorkingCopy"]
    assert after == before


def test_who_is_never_unknown_where_someone_acted(house: House) -> None:
    assert set(AuditEvent.objects.filter(subject="encounter").values_list("by_name", flat=True)) == {"nurse", "billing"}
    assert set(AuditEvent.objects.filter(subject="encounter").values_list("clinic_id", flat=True)) == {house.clinic.pk}


@pytest.mark.django_db(transaction=True)
def test_nothing_is_told_outside_a_transaction() -> None:
    with pytest.raises(ImproperlyConfigured, match="in the transaction of the change"):
        audit.record("test", by=None, subject="test", subject_id=1, before=None, after=None)
    assert not AuditEvent.objects.exists()


# The chain ------------------------------------------------------------------------------------------------------------


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def guards_of(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [table])
        return [name for (name,) in cursor.fetchall()]


def lift_the_guards(table: str) -> None:
    """Takes the table's triggers away, until the test's transaction is taken back."""
    if connection.vendor == "sqlite":
        for name in guards_of(table):
            run(f"DROP TRIGGER {name}")
    else:
        run("SET LOCAL session_replication_role = replica")


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        ("UPDATE infusion_auditevent SET by_name = 'someone' WHERE sequence = 3", 3),
        ("UPDATE infusion_auditevent SET reason = 'because' WHERE sequence = 5", 5),
        ("""UPDATE infusion_auditevent SET after = '{"state": "draft"}' WHERE sequence = 4""", 4),
        ("DELETE FROM infusion_auditevent WHERE sequence = 2", 2),
        ("DELETE FROM infusion_auditevent WHERE sequence = 1", 1),
        ("UPDATE infusion_auditevent SET at = '2020-01-01 00:00:00+00' WHERE sequence = 6", 6),
        ("UPDATE infusion_audithead SET sequence = sequence + 1", None),
        ("DELETE FROM infusion_auditevent WHERE sequence = (SELECT max(sequence) FROM infusion_auditevent)", None),
    ],
)
def test_whoever_gets_past_the_guards_is_found(house: House, tampering: str, found: int | None) -> None:
    last = AuditHead.objects.get(pk=AuditHead.WRITES).sequence
    assert (flaw(), last > 6) == (None, True)
    lift_the_guards("infusion_auditevent")
    run(tampering)
    assert flaw() == (found or last + (1 if "head" in tampering else 0))


# The guards -----------------------------------------------------------------------------------------------------------

GUARDED = {
    "infusion_auditevent": (AuditEvent, "reason"),
    "infusion_approval": (Approval, "reference_version"),
    "payers_policyoverride": (PolicyOverride, "note"),
}


def attempts(table: str) -> list[str]:
    """Ways to alter or remove rows, and to slip another one over an old."""
    model, column = GUARDED[table]
    columns = ", ".join(each.column for each in model._meta.fields)
    ways = [f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"]
    if connection.vendor == "sqlite":
        ways += [f"INSERT OR REPLACE INTO {table} ({columns}) SELECT {columns} FROM {table}"]
        ways += [f"REPLACE INTO {table} ({columns}) SELECT {columns} FROM {table}"]
        ways += [f"UPDATE OR REPLACE {table} SET {column} = 'x'"]
        ways += [f"UPDATE OR IGNORE {table} SET {column} = 'x'"]
        return ways
    ways += [f"TRUNCATE {table} CASCADE"]
    ways += [f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT (id) DO UPDATE SET {column} = 'x'"]
    return ways


def got_past(table: str) -> list[str]:
    """The attempts that the database let through."""
    through = []
    if connection.vendor == "postgresql":
        run("SET CONSTRAINTS ALL IMMEDIATE")  # with checks still to be made, it refuses a TRUNCATE for that alone
    for statement in attempts(table):
        try:
            with transaction.atomic():
                run(statement)
        except DatabaseError as refusal:
            if not re.search("append-only|never changed|never removed|overlap", str(refusal)):
                raise
        else:
            through.append(statement)
    return through


@pytest.mark.parametrize("table", GUARDED)
def test_the_database_refuses(table: str, house: House, rules: dict[str, PolicyOverride]) -> None:
    before = everything()
    assert before[GUARDED[table][0]._meta.label], "a row to attack"
    assert got_past(table) == []
    assert everything() == before


@pytest.mark.parametrize("table", GUARDED)
def test_an_attempt_without_the_guard_gets_through(table: str, house: House, rules: dict[str, PolicyOverride]) -> None:
    lift_the_guards(table)
    assert f"UPDATE {table} SET {GUARDED[table][1]} = 'x'" in got_past(table)


def test_only_until_when_a_rule_was_known_may_be_set_and_once(
    medicare: Payer, admin_user: User, rules: dict[str, PolicyOverride]
) -> None:
    withdraw_override(by=admin_user, override=rules["published"], reason="Wrong plan.")
    row = PolicyOverride.objects.filter(pk=rules["published"].pk)
    assert row.get().known_until is not None
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        row.update(known_until=None)


def test_two_rules_for_one_day_are_refused_by_the_database_too(
    clinic: Clinic, rules: dict[str, PolicyOverride]
) -> None:
    twin = rules["published"]
    twin.pk, twin.public_id, twin.thread = None, uuid4(), uuid4()
    with pytest.raises(DatabaseError, match="overlap"), transaction.atomic():
        twin.save(force_insert=True)
