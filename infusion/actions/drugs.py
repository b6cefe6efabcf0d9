"""Writers of a site's own drugs. It takes two admins: one drafts and proposes, another publishes or returns it.

What would be refused when it is published is refused when it is proposed. No shipped file and no approved encounter
is touched; the others are calculated with the new row when somebody looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from infusion import audit
from infusion.models import DrugProposal, DrugRow, User
from infusion.reference_now import columns_of, look_again, published_rows, shortened
from infusion.services.drug_document import problems_of
from payers.actions import Refused, refuse_before
from payers.selectors import day_in_words

Kind, Outcome, Status = DrugProposal.Kind, DrugProposal.Outcome, DrugRow.Status
OF_THE_ROW = ("code", "first_day", "last_day")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrugEntry:
    """What a drug row says. `columns` are those of a drug in drugs.toml, without its status and sources."""

    columns: Mapping[str, Any]
    source_document: str
    source_read_on: date
    source_address: str = ""
    note: str = ""


@transaction.atomic
def draft_drug(*, by: User, entry: DrugEntry, replaces: DrugRow | None = None) -> DrugRow:
    """A draft, which affects nothing. `replaces` is the draft it words anew, or the published row it would change."""
    row = _row(entry)
    if replaces is not None:
        current = _current(replaces)
        row.thread = current.thread
        row.follows = current.follows if current.status == Status.DRAFT else current
        if current.status == Status.DRAFT:
            _refuse_while_proposed(current)
            _close(current)
    row.author = by
    _write("drug.draft", by, row, replaces if replaces and replaces.status == Status.DRAFT else None)
    return row


@transaction.atomic
def withdraw_drug_draft(*, by: User, draft: DrugRow, reason: str) -> None:
    """A draft goes; the history keeps it."""
    current = _current(draft)
    if current.status != Status.DRAFT:
        raise Refused("This is published. Propose to withdraw it, so that another admin looks at it.")
    _refuse_while_proposed(current)
    _withdraw(by, current, reason)


@transaction.atomic
def propose_drug(*, by: User, row: DrugRow, today: date, status: str = "", reason: str = "") -> DrugProposal:
    """Ask another admin to publish a draft, or to withdraw a published row. Raises Refused for what would fail then."""
    current = _current(row)
    _refuse_while_proposed(current)
    kind = Kind.PUBLISH if current.status == Status.DRAFT else Kind.WITHDRAW
    if kind == Kind.PUBLISH:
        _refuse_overlap(current)
        if status == Status.VERIFIED and not current.source_address:
            raise Refused(
                "Verified means that others can read it too. Enter the address of the source in the draft, or send it "
                "as unverified.",
                "status",
            )
    if current.first_day < today and not reason.strip():
        raise Refused(
            "This changes days of service that are past. Say why. What was approved keeps its lines.", "reason"
        )
    proposal = DrugProposal(
        kind=kind, row=current, reason=reason.strip(), proposed_by=by, proposed_at=timezone.now(),
        status=(status or Status.UNVERIFIED) if kind == Kind.PUBLISH else "",
    )  # fmt: skip
    proposal.save(force_insert=True)
    _tell_proposal("drug_proposal.add", by, proposal, None)
    return proposal


@transaction.atomic
def publish_drug(*, by: User, proposal: DrugProposal) -> DrugProposal:
    """Do what was proposed. Refused for whoever proposed it or wrote the draft, and where the row has moved on."""
    current = _open(proposal)
    if not may_publish(by, current):
        raise Refused("Another admin has to publish what you proposed.")
    row = _current(current.row)
    if current.kind == Kind.WITHDRAW:
        _withdraw(by, row, current.reason)
    else:
        _publish(by, row, current.status)
    look_again()
    return _decide(by, current, Outcome.PUBLISHED, "")


@transaction.atomic
def return_drug(*, by: User, proposal: DrugProposal, reason: str) -> DrugProposal:
    """Leave everything as it is, and say why."""
    if not reason.strip():
        raise Refused("Say why, for whoever proposed it.", "reason")
    return _decide(by, _open(proposal), Outcome.RETURNED, reason.strip())


@transaction.atomic
def take_back_drug(*, by: User, proposal: DrugProposal) -> DrugProposal:
    """Whoever proposed it does not want it any more."""
    current = _open(proposal)
    if by.pk != current.proposed_by_id:
        raise Refused("Only the admin who proposed it can take it back. Return it with a reason instead.")
    return _decide(by, current, Outcome.TAKEN_BACK, "")


def may_publish(person: Any, proposal: DrugProposal) -> bool:
    """Nobody publishes what they proposed or wrote themselves."""
    wrote = proposal.kind == Kind.PUBLISH and proposal.row.author_id == person.pk
    return person.pk != proposal.proposed_by_id and not wrote


def _row(entry: DrugEntry) -> DrugRow:
    columns = {name: value for name, value in entry.columns.items() if value not in (None, "", [])}
    columns = {"code": "", "name": "", "brands": [], "routes": [], "containers": [], "form": "", "billing_unit": "",
               **columns}  # fmt: skip
    for problem in problems_of(columns):
        raise Refused(problem.message, problem.field)
    if not entry.source_document.strip():
        raise Refused("A drug needs its source. Enter the document that says so.", "source_document")
    return DrugRow(
        code=columns["code"], first_day=columns["first_day"], last_day=columns.get("last_day"),
        document={name: value for name, value in columns.items() if name not in OF_THE_ROW},
        source_document=entry.source_document.strip(), source_address=entry.source_address.strip(),
        source_read_on=entry.source_read_on, note=entry.note.strip(),
    )  # fmt: skip


def _publish(by: User, draft: DrugRow, status: str) -> None:
    _refuse_overlap(draft)
    followed = draft.follows
    if followed is not None:
        _close(_current(followed))
    _close(draft)
    left = shortened(followed, draft) if followed else None
    if left is not None:
        left.publisher = by
        _write("drug.shorten", by, left, followed)
    row = DrugRow(
        thread=draft.thread, code=draft.code, first_day=draft.first_day, last_day=draft.last_day,
        document=draft.document, source_document=draft.source_document, source_address=draft.source_address,
        source_read_on=draft.source_read_on, note=draft.note, status=status, author=draft.author, publisher=by,
    )  # fmt: skip
    _write("drug.publish", by, row, None if left else followed or draft)


def _write(action: str, by: User, row: DrugRow, before: DrugRow | None) -> None:
    row.known_from = timezone.now()
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as problem:
        raise Refused(
            "Someone else has published this drug for these days meanwhile. Look at what is there now.", "first_day"
        ) from problem
    audit.record(
        action, by=by, subject="drug", subject_id=row.public_id,
        before=drug_document(before) if before else None, after=drug_document(row),
    )  # fmt: skip


def _withdraw(by: User, row: DrugRow, reason: str) -> None:
    if not reason.strip():
        raise Refused("Reason: say why, for whoever reads the history later.", "reason")
    _close(row)
    audit.record(
        "drug.withdraw", by=by, subject="drug", subject_id=row.public_id, before=drug_document(row), after=None,
        reason=reason.strip(),
    )  # fmt: skip


def _refuse_overlap(draft: DrugRow) -> None:
    if draft.follows is not None and draft.follows.known_until is not None:
        raise Refused("The row that this draft changes has been changed meanwhile. Look at what is there now.")
    last_day = draft.last_day or date.max
    for other in published_rows().filter(code=draft.code, first_day__lte=last_day):
        if other.pk != draft.follows_id and (other.last_day is None or other.last_day >= draft.first_day):
            until = f"until {day_in_words(other.last_day)}" if other.last_day else "without an end"
            raise Refused(
                f"{draft.code} has a row of yours from {day_in_words(other.first_day)} {until}. Change that one, or "
                "choose days outside it.",
                "first_day",
            )


def _current(row: DrugRow) -> DrugRow:
    """The row, locked. Raises Refused when another admin has changed it meanwhile."""
    current = DrugRow.objects.select_for_update(no_key=True).get(pk=row.pk)
    if current.known_until is not None:
        raise Refused("Someone else has changed this drug meanwhile. Look at what is there now.")
    return current


def _close(row: DrugRow) -> None:
    now = timezone.now()
    refuse_before(row.known_from, now)
    DrugRow.objects.filter(pk=row.pk, known_until__isnull=True).update(known_until=now)


def _refuse_while_proposed(row: DrugRow) -> None:
    if row.proposals.filter(outcome=Outcome.OPEN).exists():
        raise Refused("This waits for a second admin. Take the proposal back before changing it.")


def _open(proposal: DrugProposal) -> DrugProposal:
    current = DrugProposal.objects.select_for_update(no_key=True).get(pk=proposal.pk)
    if current.outcome != Outcome.OPEN:
        raise Refused("Someone else has decided on this meanwhile. Look at what is there now.")
    return current


def _decide(by: User, proposal: DrugProposal, outcome: str, reason: str) -> DrugProposal:
    before = _proposal_document(proposal)
    proposal.outcome, proposal.outcome_reason = outcome, reason
    proposal.decided_by, proposal.decided_at = by, timezone.now()
    proposal.save()
    _tell_proposal(f"drug_proposal.{outcome}", by, proposal, before)
    return proposal


def _tell_proposal(action: str, by: User, proposal: DrugProposal, before: dict[str, Any] | None) -> None:
    audit.record(
        action, by=by, subject="drug_proposal", subject_id=proposal.public_id, before=before,
        after=_proposal_document(proposal), reason=proposal.outcome_reason or proposal.reason,
    )  # fmt: skip


def _proposal_document(proposal: DrugProposal) -> dict[str, Any]:
    return {
        "kind": proposal.kind, "row": str(proposal.row.public_id), "status": proposal.status,
        "reason": proposal.reason, "outcome": proposal.outcome, "outcome_reason": proposal.outcome_reason,
    }  # fmt: skip


def drug_document(row: DrugRow) -> dict[str, Any]:
    """The row as the audit keeps it."""
    columns = columns_of(row)
    days: dict[str, str] = {name: columns[name].isoformat() for name in ("first_day", "last_day") if name in columns}
    return {
        **(columns | days), "status": row.status, "thread": str(row.thread), "source_document": row.source_document,
        "source_address": row.source_address, "source_read_on": row.source_read_on.isoformat(),
    }  # fmt: skip
