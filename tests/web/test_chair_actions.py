"""The taps at the chair and the order behind them: the server's time, one tap once, and nothing lost."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
import time_machine

from infusion.actions import (
    Late,
    Ordered,
    Recorded,
    Refused,
    begin_order,
    cancel_order,
    confirm_dose,
    document_item,
    hand_to_billing,
    place_order,
    save_encounter,
    tap,
    undo_tap,
)
from infusion.audit import AuditEvent
from infusion.models import Chair, Patient
from infusion.selectors import facts_of, review_of
from infusion.services import facts

pytestmark = pytest.mark.django_db
NINE = datetime(2026, 3, 10, 13, 0, 25, tzinfo=UTC)  # 09:00:25 in New York


@pytest.fixture
def order(clinic, nurse, medicare):
    patient = Patient.objects.create(clinic=clinic, reference="WH-20417", name="Sarah Whitfield")
    ordered = Ordered(
        patient=patient, payer=medicare, scheduled_at=NINE, setting="office", drug="J2350", route="iv_infusion",
        ordered=Decimal(600), diagnoses=("G35.A",), vials=((Decimal(300), 2),),
    )  # fmt: skip
    return place_order(by=nurse, clinic=clinic, client_id=uuid4(), ordered=ordered)


@pytest.fixture
def begun(order, nurse):
    with time_machine.travel(NINE, tick=False):
        return begin_order(by=nurse, order=order)


def pressed(encounter, nurse, kind, minutes, position=0, **more):
    with time_machine.travel(NINE + timedelta(minutes=minutes), tick=False):
        return tap(by=nurse, encounter=encounter, position=position, kind=kind, tap_id=uuid4(), **more)


def given(encounter, nurse):
    return confirm_dose(
        by=nurse, encounter=encounter, version=encounter.version, position=0, administered=Decimal(600),
        vials=(facts.Vial(amount=Decimal(300), count=2),), discards=(),
    )  # fmt: skip


def test_an_order_begun_twice_is_one_encounter_and_nothing_is_given_yet(order, begun, nurse):
    assert begin_order(by=nurse, order=order).pk == begun.pk
    [drug] = facts_of(begun).administrations
    assert (drug.drug, drug.ordered, drug.administered) == ("J2350", Decimal(600), None)
    with pytest.raises(Refused, match="has begun"):
        cancel_order(by=nurse, order=order, reason="moved")


def test_the_first_audit_row_of_an_encounter_names_its_chair(order, nurse, clinic):
    order.chair = Chair.objects.create(clinic=clinic, label="4", position=4)
    order.save()
    encounter = begin_order(by=nurse, order=order)
    [added] = AuditEvent.objects.filter(action="encounter.add", subject_id=str(encounter.public_id))
    assert encounter.chair == order.chair
    assert added.after["chair"] == "4"


def test_start_stop_and_the_dose_make_sarah(begun, nurse):
    running = pressed(begun, nurse, "start", 0)
    stopped = pressed(running, nurse, "stop", 150)
    given(stopped, nurse)
    lines = [(line.code, line.modifiers, line.units) for line in review_of(stopped_again(stopped)).statement.lines]
    assert lines == [("96365", (), 1), ("96366", (), 1), ("J2350", ("JZ",), 600)]


def stopped_again(encounter):
    encounter.refresh_from_db()
    return encounter


def test_a_pause_still_open_at_the_stop_ends_with_it(begun, nurse):
    pressed(begun, nurse, "start", 0)
    pressed(begun, nurse, "pause", 60)
    pressed(begun, nurse, "stop", 90)
    [drug] = facts_of(stopped_again(begun)).administrations
    assert [(pause.stop - pause.start) for pause in drug.pauses] == [timedelta(minutes=30)]


def test_the_same_tap_twice_is_one(begun, nurse):
    tap_id = uuid4()
    for _ in range(3):
        tap(by=nurse, encounter=begun, position=0, kind="start", tap_id=tap_id)
    assert begun.taps.count() == 1
    assert AuditEvent.objects.filter(action="tap.start").count() == 1


@pytest.mark.parametrize("sequence", [["pause"], ["start", "start"], ["start", "resume"], ["start", "pause", "pause"],
                                      ["start", "stop", "pause"], ["stop"]])  # fmt: skip
def test_a_tap_that_makes_no_sense_is_refused_and_changes_nothing(begun, nurse, sequence):
    for minutes, kind in enumerate(sequence[:-1]):
        pressed(begun, nurse, kind, 10 * minutes)
    before = facts_of(stopped_again(begun))
    with pytest.raises(Refused):
        pressed(begun, nurse, sequence[-1], 50)
    assert facts_of(stopped_again(begun)) == before


@pytest.mark.parametrize("sequence", [["start"], ["start", "pause"], ["start", "pause", "resume"],
                                      ["start", "pause", "stop"], ["start", "stop"], ["start", "new_bag"]])  # fmt: skip
def test_the_last_tap_can_be_taken_back(begun, nurse, sequence):
    for minutes, kind in enumerate(sequence[:-1]):
        pressed(begun, nurse, kind, 10 * minutes)
    before = facts_of(stopped_again(begun))
    pressed(begun, nurse, sequence[-1], 60)
    last = begun.taps.last()
    undo_tap(by=nurse, encounter=begun, tap_id=last.client_id)
    assert facts_of(stopped_again(begun)) == before
    with pytest.raises(Refused, match="Only the last"):
        undo_tap(by=nurse, encounter=begun, tap_id=last.client_id)


def test_a_late_time_needs_a_reason_and_lies_in_the_past(begun, nurse):
    with pytest.raises(Refused, match="why the time is entered late"):
        pressed(begun, nurse, "start", 30, late=Late(NINE, " "))
    with pytest.raises(Refused, match="has not come yet"):
        pressed(begun, nurse, "start", 30, late=Late(NINE + timedelta(minutes=31), "busy"))
    pressed(begun, nurse, "start", 30, late=Late(NINE, "patient unwell"))
    [row] = stopped_again(begun).administrations.all()
    assert (row.started_at, row.started_entered_at) == (NINE, NINE + timedelta(minutes=30))
    assert row.late_reason == "patient unwell"


def taken_back(encounter, nurse):
    return undo_tap(by=nurse, encounter=encounter, tap_id=encounter.taps.filter(undone_at=None).last().client_id)


def test_taking_back_a_late_tap_takes_back_its_reason(begun, nurse):
    def reason():
        return begun.administrations.get().late_reason

    pressed(begun, nurse, "start", 30, late=Late(NINE, "patient unwell"))
    pressed(begun, nurse, "new_bag", 31)
    pressed(begun, nurse, "pause", 32, late=Late(NINE + timedelta(minutes=5), "system was down"))
    assert reason() == "system was down"
    taken_back(begun, nurse)
    assert reason() == "patient unwell", "of the late tap that still stands"
    taken_back(begun, nurse)
    assert reason() == "patient unwell", "one in time took nothing with it"
    taken_back(begun, nurse)
    assert reason() == ""


def test_a_reason_that_was_changed_in_the_record_stays_when_the_tap_goes(begun, nurse):
    pressed(begun, nurse, "start", 30, late=Late(NINE, "patient unwell"))
    begun.administrations.update(late_reason="system was down")
    taken_back(begun, nurse)
    assert begun.administrations.get().late_reason == "system was down"


def test_a_pause_left_blank_in_the_form_is_none(begun, nurse):
    pressed(begun, nurse, "start", 0)
    begun.administrations.get().pauses.create(position=0)
    with pytest.raises(Refused, match="running already"):
        pressed(begun, nurse, "resume", 5)
    for kind, minutes in (("pause", 10), ("resume", 20), ("stop", 60)):
        pressed(begun, nurse, kind, minutes)
    [drug] = facts_of(stopped_again(begun)).administrations
    after = [(pause.start and pause.start - NINE, pause.stop and pause.stop - NINE) for pause in drug.pauses]
    assert after == [(None, None), (timedelta(minutes=10), timedelta(minutes=20))]


def test_a_pause_can_follow_one_that_was_taken_back_before_a_blank_one(begun, nurse):
    pressed(begun, nurse, "start", 0)
    pressed(begun, nurse, "pause", 10)
    begun.administrations.get().pauses.create(position=1)
    taken_back(begun, nurse)
    pressed(begun, nurse, "pause", 20)
    rows = begun.administrations.get().pauses.all()
    assert [(pause.position, pause.started_at) for pause in rows] == [(0, None), (1, NINE + timedelta(minutes=20))]


def test_a_pause_whose_stop_was_typed_since_is_not_taken_back(begun, nurse):
    pressed(begun, nurse, "start", 0)
    pressed(begun, nurse, "pause", 10)
    begun.administrations.get().pauses.update(stopped_at=NINE + timedelta(minutes=15))
    with pytest.raises(Refused, match="changed in the record since"):
        taken_back(begun, nurse)
    assert begun.taps.filter(undone_at=None).count() == 2


@pytest.mark.parametrize("resumed", [True, False])
def test_taking_back_a_late_stop_leaves_a_pause_over_that_was_resumed(begun, nurse, resumed):
    twenty = NINE + timedelta(minutes=20)
    pressed(begun, nurse, "start", 0)
    pressed(begun, nurse, "pause", 10)
    if resumed:
        pressed(begun, nurse, "resume", 21, late=Late(twenty, "busy"))
    pressed(begun, nurse, "stop", 22, late=Late(twenty, "busy"))
    taken_back(begun, nurse)
    row = begun.administrations.get()
    assert (row.stopped_at, row.pauses.get().stopped_at) == (None, twenty if resumed else None)


def test_saving_the_form_keeps_the_seconds_of_a_tap_and_when_it_was_entered(begun, nurse, clinic):
    encounter = pressed(begun, nurse, "start", 0)
    seen = facts_of(encounter)
    to_the_minute = facts.Administration(
        id="a1", route="iv_infusion", drug="J2350", ordered=Decimal(600), start=NINE.replace(second=0)
    )
    recorded = Recorded(
        patient_reference=encounter.patient.reference, payer=encounter.payer, date_of_service=seen.date_of_service,
        facts=facts.Encounter(time_zone=seen.time_zone, setting="office", administrations=(to_the_minute,)),
    )  # fmt: skip
    saved = save_encounter(
        by=nurse, clinic=clinic, client_id=encounter.client_id, recorded=recorded, public_id=encounter.public_id,
        version=encounter.version,
    )  # fmt: skip
    [row] = saved.administrations.all()
    assert (row.started_at, row.started_entered_at) == (NINE, NINE)


def test_a_witness_is_asked_for_where_the_clinic_wants_one(begun, nurse, clinic, biller):
    clinic.asks_witness = True
    clinic.save()
    thrown = (facts.Discard(amount=Decimal(25), reason="vial_remainder"),)
    words = {"by": nurse, "encounter": begun, "version": begun.version, "position": 0, "administered": Decimal(575),
             "vials": (facts.Vial(amount=Decimal(300), count=2),), "discards": thrown}  # fmt: skip
    for witness in (None, nurse):
        with pytest.raises(Refused, match="second person"):
            confirm_dose(**words, witness=witness)
    confirm_dose(**words, witness=biller)
    [row] = stopped_again(begun).administrations.all()
    assert [each.witness for each in row.discards.all()] == [biller]


def test_a_dose_does_not_replace_the_discards_that_are_recorded(begun, nurse, biller):
    row = begun.administrations.get()
    spilled = row.discards.create(position=0, amount=25, reason="broken_or_spilled", witness=biller)
    words = {"by": nurse, "encounter": begun, "version": begun.version, "position": 0, "administered": Decimal(575),
             "vials": (facts.Vial(amount=Decimal(300), count=2),)}  # fmt: skip
    for thrown in ((), (facts.Discard(amount=Decimal(25), reason="vial_remainder"),)):
        with pytest.raises(Refused, match="Discards are recorded already"):
            confirm_dose(**words, discards=thrown)
    assert stopped_again(begun).administrations.get().administered is None
    confirm_dose(**words, discards=(facts.Discard(amount=Decimal(25), reason="broken_or_spilled"),))
    [kept] = row.discards.all()
    assert (kept.amount, kept.reason, kept.witness) == (25, "broken_or_spilled", spilled.witness)


def test_documentation_is_kept_and_taken_back(begun, nurse):
    document_item(by=nurse, encounter=begun, item="access_site", text=" left forearm ")
    assert stopped_again(begun).documentation == {"access_site": "left forearm"}
    document_item(by=nurse, encounter=begun, item="access_site", text="")
    assert stopped_again(begun).documentation == {}


def test_nothing_is_tapped_once_billing_has_it(begun, nurse):
    pressed(begun, nurse, "start", 0)
    pressed(begun, nurse, "stop", 150)
    ready = given(stopped_again(begun), nurse)
    hand_to_billing(by=nurse, encounter=ready, version=ready.version)
    with pytest.raises(Refused, match="with billing"):
        pressed(begun, nurse, "pause", 160)
