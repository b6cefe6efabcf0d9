"""Writers for the day at the chairs: beginning an order, the taps, what was given and what was thrown away.

A tap takes the server's time. The same tap twice is one; a tap that makes no sense now is refused with a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.utils import timezone

from infusion import audit
from infusion.actions.encounters import (
    Recorded,
    Refused,
    State,
    current_encounter,
    document_of,
    keep_patient,
    save_encounter,
    told,
)
from infusion.models import Administration, Chair, Clinic, Encounter, Order, Patient, Pause, Tap, User, Vial
from infusion.models.encounter import Discard
from infusion.services import facts
from payers.models import Payer

Kind = Tap.Kind
OTHER_DRUG = (
    "The drugs of this encounter were changed meanwhile, so nothing was recorded. Look at what is there now, then "
    "press again."
)
CHANGED_SINCE = "The time of this tap was changed in the record since. Correct it there instead."
DISCARDS_STAND = "Discards are recorded already, so nothing was changed. Type what was given in the record."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What a prescriber ordered for one visit. Amounts in mg; `vials` are (labelled amount, count).

    A patient who is not stored yet is added with the order.
    """

    patient: Patient
    payer: Payer
    scheduled_at: datetime
    setting: str
    drug: str
    route: str
    ordered: Decimal
    diagnoses: Sequence[str] = ()
    vials: Sequence[tuple[Decimal, int]] = ()
    premedication: Sequence[str] = ()
    chair: Chair | None = None
    prescriber: str = ""


COMPARED = (
    "payer_id", "scheduled_at", "chair_id", "setting", "diagnoses", "drug", "route", "ordered", "vials",
    "premedication", "prescriber",
)  # fmt: skip


class OtherOrder(Refused):
    """The form has kept another order than what it asks for now. `current` is the one that stands."""

    def __init__(self, current: Order) -> None:
        super().__init__("This form has kept another order already. Nothing was changed.")
        self.current = current


@transaction.atomic
def place_order(*, by: User, clinic: Clinic, client_id: UUID, ordered: Ordered) -> Order:
    """Keep an order. The same one sent twice with one `client_id` is one order; another one is refused."""
    order = Order(
        clinic=clinic, client_id=client_id, payer=ordered.payer,
        scheduled_at=ordered.scheduled_at, chair=ordered.chair, setting=ordered.setting,
        diagnoses=list(ordered.diagnoses), drug=ordered.drug, route=ordered.route, ordered=ordered.ordered,
        vials=[[f"{amount:f}", count] for amount, count in ordered.vials], premedication=list(ordered.premedication),
        prescriber=ordered.prescriber, placed_by=by, placed_at=timezone.now(),
    )  # fmt: skip
    who = ordered.patient
    existing = _kept_already(order, who)
    patient = keep_patient(by, clinic, who.reference, name=who.name, birth_date=who.birth_date)
    if existing is not None:
        return existing
    order.patient = patient
    try:
        with transaction.atomic():
            order.save(force_insert=True)
    except IntegrityError:
        # The same form was sent twice at once, and the other one came first.
        twin = _kept_already(order, who)
        if twin is None:
            raise
        return twin
    audit.record(
        "order.place", by=by, subject="order", subject_id=order.public_id, clinic_id=clinic.pk,
        before=None, after=order_document(order),
    )  # fmt: skip
    return order


def _kept_already(order: Order, who: Patient) -> Order | None:
    """What the form has kept before. Refused where that is another order, or stands no more."""
    existing = Order.objects.filter(clinic=order.clinic, client_id=order.client_id).first()
    if existing is None:
        return None
    same = existing.patient.reference == who.reference.strip() and existing.cancelled_at is None
    if not same or any(getattr(existing, name) != getattr(order, name) for name in COMPARED):
        raise OtherOrder(existing)
    return existing


@transaction.atomic
def cancel_order(*, by: User, order: Order, reason: str) -> None:
    """Take an order that nobody has begun off the day."""
    current = Order.objects.select_for_update(no_key=True).get(pk=order.pk)
    if current.encounter_id is not None:
        raise Refused("This order has begun, so it cannot be taken off the day.")
    if current.cancelled_at is None:
        before = order_document(current)
        current.cancelled_at = timezone.now()
        current.save(update_fields=["cancelled_at"])
        audit.record(
            "order.cancel", by=by, subject="order", subject_id=current.public_id, clinic_id=current.clinic_id,
            before=before, after=order_document(current), reason=reason,
        )  # fmt: skip


@transaction.atomic
def begin_order(*, by: User, order: Order, premedication: Sequence[facts.Administration] = ()) -> Encounter:
    """The encounter that carries out an order, made once. Its dose is not given until someone confirms it."""
    rows = Order.objects.select_for_update(of=("self",), no_key=True).select_related("clinic", "patient", "payer")
    current = rows.get(pk=order.pk)
    if current.encounter is not None:
        return current.encounter
    if current.cancelled_at is not None:
        raise Refused("This order was taken off the day.")
    drug = facts.Administration(
        id=f"a{len(premedication) + 1}", route=current.route, drug=current.drug, ordered=current.ordered,
        vials=tuple(facts.Vial(amount=Decimal(amount), count=count) for amount, count in current.vials),
    )  # fmt: skip
    today = timezone.now().astimezone(ZoneInfo(current.clinic.time_zone)).date()
    encounter = save_encounter(
        by=by, clinic=current.clinic, client_id=current.client_id, chair=current.chair,
        recorded=Recorded(
            patient_reference=current.patient.reference, payer=current.payer, date_of_service=today,
            place_of_service=current.clinic.place_of_service,
            facts=facts.Encounter(
                time_zone=current.clinic.time_zone, setting=current.setting, date_of_service=today,
                diagnoses=tuple(current.diagnoses), administrations=(*premedication, drug),
            ),
        ),
    )  # fmt: skip
    before = order_document(current)
    current.encounter = encounter
    current.save(update_fields=["encounter"])
    audit.record(
        "order.begin", by=by, subject="order", subject_id=current.public_id, clinic_id=current.clinic_id,
        before=before, after=order_document(current),
    )  # fmt: skip
    return encounter


# Taps -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Late:
    """When something really happened, entered afterwards, and why it was not entered then."""

    happened_at: datetime
    reason: str


@transaction.atomic
def tap(
    *,
    by: User,
    encounter: Encounter,
    position: int,
    kind: str,
    tap_id: UUID,
    drug: int | None = None,
    late: Late | None = None,
) -> Encounter:
    """One press: the server's time, or an earlier one with a reason. Pressing twice is pressing once.

    `drug` is the id of the row that the button was shown for; refused where another one is at its place by now.
    """
    current = current_encounter(encounter)
    if current.taps.filter(client_id=tap_id).exists():
        return current
    _must_be_draft(current)
    now = timezone.now()
    if late is not None:
        _check_late(late, now)
    row = _administration(current, position)
    if drug is not None and row.pk != drug:
        raise Refused(OTHER_DRUG)
    before = document_of(current)
    at = late.happened_at if late else now
    _apply(row, Kind(kind), at, now)
    if late is not None:
        row.late_reason = late.reason
    row.save()
    Tap.objects.create(
        encounter=current, client_id=tap_id, position=position, kind=kind, happened_at=at, entered_at=now,
        late_reason=late.reason if late else "", by=by,
    )  # fmt: skip
    return _written(f"tap.{kind}", by, current, before)


@transaction.atomic
def undo_tap(*, by: User, encounter: Encounter, tap_id: UUID) -> Encounter:
    """Take back the last tap. Only the last one: what came after rests on it."""
    current = current_encounter(encounter)
    _must_be_draft(current)
    last = current.taps.filter(undone_at__isnull=True).last()
    if last is None or last.client_id != tap_id:
        raise Refused("Only the last tap can be taken back, and another one came after it.")
    row = _administration(current, last.position)
    if not last.stands_on(row):
        raise Refused(CHANGED_SINCE)
    before = document_of(current)
    _take_back(row, last)
    last.undone_at = timezone.now()
    last.save(update_fields=["undone_at"])
    return _written("tap.undo", by, current, before)


def _apply(row: Administration, kind: Kind, at: datetime, now: datetime) -> None:
    # One without a start was left blank in the form: nothing paused.
    open_pause = row.pauses.filter(started_at__isnull=False, stopped_at__isnull=True).last()
    if kind is Kind.START:
        if row.started_at is not None:
            raise Refused("This infusion has started already.")
        row.started_at, row.started_entered_at = at, now
        return
    if row.started_at is None:
        raise Refused("This infusion has not started yet.")
    if row.stopped_at is not None:
        raise Refused("This infusion has stopped already.")
    if at <= row.started_at or (open_pause and open_pause.started_at and at <= open_pause.started_at):
        raise Refused("That time is not after what was recorded before it. Check the time.")
    if kind is Kind.PAUSE:
        if open_pause is not None:
            raise Refused("This infusion is paused already.")
        Pause.objects.create(administration=row, position=row.pauses.count(), started_at=at, started_entered_at=now)
    elif kind is Kind.RESUME:
        if open_pause is None:
            raise Refused("This infusion is running already.")
        _end_pause(open_pause, at, now)
    elif kind is Kind.STOP:
        if open_pause is not None:
            _end_pause(open_pause, at, now)
        row.stopped_at, row.stopped_entered_at = at, now


def _end_pause(pause: Pause, at: datetime, now: datetime) -> None:
    pause.stopped_at, pause.stopped_entered_at = at, now
    pause.save(update_fields=["stopped_at", "stopped_entered_at"])


def _take_back(row: Administration, last: Tap) -> None:
    kind, at = Kind(last.kind), last.happened_at
    others = row.encounter.taps.filter(position=row.position, undone_at__isnull=True).exclude(pk=last.pk)
    if kind is Kind.START:
        row.started_at = row.started_entered_at = None
    elif kind is Kind.STOP:
        row.stopped_at = row.stopped_entered_at = None
    if kind is Kind.PAUSE:
        _remove_pause(row, at)
    elif kind is Kind.RESUME or (kind is Kind.STOP and not others.filter(kind=Kind.RESUME, happened_at=at).exists()):
        row.pauses.filter(stopped_at=at).update(stopped_at=None, stopped_entered_at=None)
    if last.late_reason and row.late_reason == last.late_reason:
        late = [other for other in others.exclude(late_reason="") if other.stands_on(row)]
        row.late_reason = late[-1].late_reason if late else ""
    row.save()


def _remove_pause(row: Administration, at: datetime) -> None:
    """Take out the open pause, and move the later ones up: the next one goes behind them."""
    pause = row.pauses.filter(started_at=at, stopped_at__isnull=True).first()
    if pause is None:
        raise Refused(CHANGED_SINCE)
    pause.delete()
    for later in row.pauses.filter(position__gt=pause.position):
        later.position -= 1
        later.save(update_fields=["position"])


def _check_late(late: Late, now: datetime) -> None:
    if not late.reason.strip():
        raise Refused("Say why the time is entered late.")
    if late.happened_at > now:
        raise Refused("That time has not come yet. Check the time.")


# Dose and documentation -----------------------------------------------------------------------------------------------


@transaction.atomic
def confirm_dose(
    *, by: User, encounter: Encounter, version: int, position: int, administered: Decimal,
    vials: Sequence[facts.Vial], discards: Sequence[facts.Discard], witness: User | None = None,
) -> Encounter:  # fmt: skip
    """Say what reached the patient, from which vials, and what was thrown away.

    Discards that are recorded stand, with who saw them: refused where they are others than these.
    """
    current = current_encounter(encounter, version)
    _must_be_draft(current)
    row = _administration(current, position)
    seen_by = _seen_by(row, discards)
    if None in seen_by and current.clinic.asks_witness and witness in (None, by):
        raise Refused("This clinic asks for a second person who saw the drug being thrown away. Choose who it was.")
    before = document_of(current)
    row.administered = administered
    row.save()
    row.vials.all().delete()
    row.discards.all().delete()
    Vial.objects.bulk_create(
        Vial(
            administration=row, position=n, amount=each.amount, count=each.count, single_dose=each.single_dose,
            ndc=each.ndc, lot=each.lot, expires=each.expires,
        )
        for n, each in enumerate(vials)
    )  # fmt: skip
    Discard.objects.bulk_create(
        Discard(administration=row, position=n, amount=each.amount, reason=each.reason, witness=seen or witness)
        for n, (each, seen) in enumerate(zip(discards, seen_by, strict=True))
    )
    return _written("encounter.dose", by, current, before)


def _seen_by(row: Administration, discards: Sequence[facts.Discard]) -> list[User | None]:
    """Who saw each of the discards, by what is recorded already."""
    recorded = list(row.discards.all())
    if not recorded:
        return [None] * len(discards)
    if [(each.amount, each.reason) for each in recorded] != [(each.amount, each.reason) for each in discards]:
        raise Refused(DISCARDS_STAND)
    return [each.witness for each in recorded]


@transaction.atomic
def document_item(*, by: User, encounter: Encounter, item: str, text: str) -> Encounter:
    """Answer one item of the clinic's checklist; an empty text takes the answer back."""
    current = current_encounter(encounter)
    _must_be_draft(current)
    before = document_of(current)
    answers = {**current.documentation, item: text.strip()}
    current.documentation = {name: answer for name, answer in answers.items() if answer}
    return _written("encounter.document", by, current, before)


def _must_be_draft(encounter: Encounter) -> None:
    if encounter.state != State.DRAFT:
        raise Refused("This encounter is with billing. Ask for it back before changing it.")


def _administration(encounter: Encounter, position: int) -> Administration:
    row = encounter.administrations.filter(position=position).first()
    if row is None:
        raise Refused("This drug is no longer part of the encounter. Look at what is there now.")
    return row


def _written(action: str, by: User, encounter: Encounter, before: dict[str, Any]) -> Encounter:
    encounter.version += 1
    encounter.save()
    return told(action, by, encounter, before)


def order_document(order: Order) -> dict[str, Any]:
    """The order as the audit keeps it."""
    return {
        "client_id": str(order.client_id),
        "patient": str(order.patient.public_id),
        "payer": order.payer.slug,
        "encounter": str(order.encounter.public_id) if order.encounter else None,
        "scheduled_at": order.scheduled_at.isoformat(),
        "chair": order.chair.label if order.chair else None,
        "setting": order.setting,
        "diagnoses": order.diagnoses,
        "drug": order.drug,
        "route": order.route,
        "ordered": f"{order.ordered:f}",
        "vials": order.vials,
        "premedication": order.premedication,
        "prescriber": order.prescriber,
        "placed_by": order.placed_by_id,
        "placed_at": order.placed_at.isoformat(),
        "cancelled_at": order.cancelled_at.isoformat() if order.cancelled_at else None,
    }
