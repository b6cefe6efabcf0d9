"""Writers of the worklist: what is done to many encounters at once, lists kept under a name, and a person's keys.

Each encounter of a selection is written by itself, together with what became of it, so that a selection that breaks off
half-way knows exactly how far it got.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from django.db import IntegrityError, transaction
from django.utils import timezone

from infusion import audit
from infusion.actions.desk import hold, release
from infusion.actions.encounters import Refused, approve, current_encounter, document_of, told
from infusion.models import BatchClaim, Encounter, SavedView, Selected, Selection, User

Act, Outcome, State = Selection.Act, Selected.Outcome, Encounter.State
SECONDS_AT_ONCE = 5.0
"""How long one press works through a selection before it shows how far it is."""
TAKEN_BACK = "Taken back from the list."


@dataclass(frozen=True, slots=True)
class Choice:
    """An encounter as it was when it was chosen. `unfit` says why nothing is done to it."""

    encounter_id: int
    version: int
    content_hash: str
    unfit: str = ""


@transaction.atomic
def choose(*, by: User, act: str, choices: Iterable[Choice], query: str = "") -> Selection:
    """Fix which encounters, in which version, one thing is to be done to. Nothing is done to them yet."""
    chosen = list(choices)
    if not chosen:
        raise Refused("Nothing is selected. Tick at least one encounter.")
    if by.clinic is None:
        raise Refused("Only someone of a clinic selects encounters.")
    selection = Selection.objects.create(clinic=by.clinic, person=by, act=act, query=query, made_at=timezone.now())
    Selected.objects.bulk_create(
        [
            Selected(
                selection=selection, encounter_id=each.encounter_id, position=position, version=each.version,
                content_hash=each.content_hash, outcome=Outcome.UNFIT if each.unfit else Outcome.WAITING,
                reason=each.unfit,
            )
            for position, each in enumerate(chosen)
        ],
        batch_size=500,
    )  # fmt: skip
    audit.record(
        "selection.choose", by=by, subject="selection", subject_id=selection.public_id, clinic_id=selection.clinic_id,
        before=None, after={"act": act, "encounters": len(chosen), "unfit": sum(bool(each.unfit) for each in chosen)},
    )  # fmt: skip
    return selection


def work_through(*, by: User, selection: Selection, reason: str = "", seconds: float = SECONDS_AT_ONCE) -> int:
    """Do what was chosen to the encounters that wait, for a while. How many are left."""
    reason = " ".join(reason.split())
    if selection.act == Act.HOLD and not reason:
        raise Refused("Write why these encounters have to wait.")
    if selection.reason != reason:
        selection.reason = reason
        selection.save(update_fields=["reason"])
    until = monotonic() + seconds
    for pk in selection.rows.filter(outcome=Outcome.WAITING).values_list("pk", flat=True):
        work_on(by=by, row=pk, reason=reason)
        if monotonic() > until:
            break
    return selection.rows.filter(outcome=Outcome.WAITING).count()


@transaction.atomic
def work_on(*, by: User, row: int, reason: str = "") -> Selected:
    """Do what was chosen to one encounter, and keep what became of it."""
    selected = _locked(row)
    if selected.outcome != Outcome.WAITING:
        return selected
    try:
        with transaction.atomic():
            _act(by, selected, reason)
        selected.outcome = Outcome.DONE
    except Refused as refused:
        selected.outcome, selected.reason = Outcome.FAILED, str(refused)
    selected.save()
    return selected


def _act(by: User, selected: Selected, reason: str) -> None:
    if selected.selection.act == Act.HOLD:
        current_encounter(selected.encounter, selected.version)
        selected.hold = hold(by=by, encounter=selected.encounter, reason=reason)
        return
    approve(
        by=by, encounter=selected.encounter, version=selected.version, content_hash=selected.content_hash,
        acknowledged=(),
    )  # fmt: skip


def undo(*, by: User, selection: Selection, seconds: float = SECONDS_AT_ONCE) -> int:
    """Take back what a selection did, as far as it has not left in a batch. How many are left to take back."""
    until = monotonic() + seconds
    for pk in selection.rows.filter(outcome=Outcome.DONE).values_list("pk", flat=True):
        undo_one(by=by, row=pk)
        if monotonic() > until:
            break
    return selection.rows.filter(outcome=Outcome.DONE).count()


@transaction.atomic
def undo_one(*, by: User, row: int) -> Selected:
    """Take back what a selection did to one encounter, and keep what became of that."""
    selected = _locked(row)
    if selected.outcome != Outcome.DONE:
        return selected
    try:
        with transaction.atomic():
            if selected.selection.act == Act.HOLD:
                _release(by, selected)
            else:
                take_back(by=by, encounter=selected.encounter, version=selected.version + 1)
        selected.outcome = Outcome.UNDONE
    except Refused as refused:
        selected.outcome, selected.reason = Outcome.KEPT, str(refused)
    selected.save()
    return selected


def _release(by: User, selected: Selected) -> None:
    """End the hold that the selection placed, and no other."""
    encounter = current_encounter(selected.encounter)
    if encounter.holds.filter(released_at__isnull=True).first() != selected.hold:
        raise Refused("The hold of this list has been released since. If there is another one by now, it stays.")
    release(by=by, encounter=encounter, reason=TAKEN_BACK)


@transaction.atomic
def take_back(*, by: User, encounter: Encounter, version: int) -> Encounter:
    """Undo an approval that has not left in a batch: the encounter is with billing again, as it was.

    The approval stays on record, and the correction that it closed is open again.
    """
    current = current_encounter(encounter, version)
    if current.state != State.APPROVED:
        raise Refused("This encounter is not approved, so there is nothing to take back.")
    approval = current.approvals.latest("encounter_version")
    claim = BatchClaim.objects.filter(approval=approval).select_related("batch").first()
    if claim is not None:
        raise Refused(f"Its lines have left in batch {claim.batch.number}. Open a correction instead.")
    before = document_of(current)
    current.corrections.filter(closed_at=approval.approved_at).update(closed_at=None)
    current.state, current.version = State.WITH_BILLING, current.version + 1
    current.save()
    return told("encounter.take_back", by, current, before, reason=TAKEN_BACK)


def _locked(row: int) -> Selected:
    return Selected.objects.select_for_update(of=("self",), no_key=True).select_related("selection").get(pk=row)


# Lists under a name ---------------------------------------------------------------------------------------------------


@transaction.atomic
def save_view(*, by: User, name: str, query: str, shared: bool) -> SavedView:
    """Keep a list with its filters under a name, for oneself or for everyone of the clinic."""
    if by.clinic is None:
        raise Refused("Only someone of a clinic keeps lists.")
    view = SavedView(clinic=by.clinic, owner=by, name=_name(name), query=query, shared=shared)
    _write_view("view.save", by, view, None)
    return view


@transaction.atomic
def change_view(*, by: User, view: SavedView, name: str, shared: bool) -> SavedView:
    """Give one's own list another name, or share it or no longer."""
    stored = _own(by, view)
    before = _view_document(stored)
    stored.name, stored.shared = _name(name), shared
    _write_view("view.change", by, stored, before)
    return stored


@transaction.atomic
def delete_view(*, by: User, view: SavedView) -> None:
    """Forget one's own list. The encounters in it are not touched."""
    stored = _own(by, view)
    gone = _view_document(stored)
    SavedView.objects.filter(pk=stored.pk).delete()
    _tell("view.delete", by, stored, gone, None)


def _own(by: User, view: SavedView) -> SavedView:
    stored = SavedView.objects.select_for_update(no_key=True).filter(pk=view.pk).first()
    if stored is None or stored.owner_id != by.pk:
        raise Refused("Only the person who saved a list changes it. Save one of your own.")
    return stored


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not name:
        raise Refused("Write a name for this list.")
    if len(name) > 60:
        raise Refused(f"The name has {len(name)} characters and there is room for 60. Shorten it.")
    return name


def _write_view(action: str, by: User, view: SavedView, before: audit.Document | None) -> None:
    try:
        with transaction.atomic():
            view.save()
    except IntegrityError:
        raise Refused(f"You have a list called {view.name} already. Choose another name.") from None
    _tell(action, by, view, before, _view_document(view))


def _tell(action: str, by: User, view: SavedView, before: audit.Document | None, after: audit.Document | None) -> None:
    audit.record(
        action, by=by, subject="view", subject_id=view.public_id, clinic_id=view.clinic_id, before=before, after=after
    )


def _view_document(view: SavedView) -> audit.Document:
    return {"name": view.name, "query": view.query, "shared": view.shared}


# A person's keys ------------------------------------------------------------------------------------------------------


@transaction.atomic
def set_single_keys(*, by: User, on: bool) -> User:
    """Turn the single keys of lists on or off for one person: who speaks to a computer would press them unmeant."""
    before = by.single_keys
    by.single_keys = on
    by.save(update_fields=["single_keys"])
    audit.record(
        "user.single_keys", by=by, subject="user", subject_id=by.pk, clinic_id=by.clinic_id,
        before={"single_keys": before}, after={"single_keys": on},
    )  # fmt: skip
    return by
