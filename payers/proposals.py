"""A change of a payer's rules takes two admins: one proposes it, another publishes it or returns it with a reason.

What would be refused when it is published is refused when it is proposed: the change is made and taken back at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from infusion import audit
from payers import actions, changes
from payers.actions import Refused
from payers.models import Payer, PolicyOverride, Proposal

Kind, Outcome, Status = Proposal.Kind, Proposal.Outcome, PolicyOverride.Status
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be done with a draft or a published rule. `reason` says why days that are past should change."""

    kind: str
    override: PolicyOverride
    in_the_way: PolicyOverride | None = None
    status: str = ""
    review_by: date | None = None
    last_day: date | None = None
    reason: str = ""


@transaction.atomic
def propose(*, by: Any, payer: Payer, wanted: Wanted, today: date) -> Proposal:
    """Ask another admin for a change. Raises Refused for whatever would be refused when it is published."""
    proposal = Proposal(
        payer=payer, kind=wanted.kind, override=wanted.override, in_the_way=wanted.in_the_way, status=wanted.status,
        review_by=wanted.review_by, last_day=wanted.last_day, reason=wanted.reason.strip(), proposed_by=by,
        proposed_at=timezone.now(),
    )  # fmt: skip
    if wanted.override.proposals.filter(outcome=Outcome.OPEN).exists():
        raise Refused("This waits for a second admin already.")
    _refuse_what_verified_lacks(proposal, today)
    _refuse_a_silent_change_of_the_past(proposal, today)
    with _taken_back():
        _carry_out(proposal, by)
    proposal.save(force_insert=True)
    _tell("proposal.add", by, proposal, None)
    return proposal


@transaction.atomic
def publish_proposal(*, by: Any, proposal: Proposal) -> Proposal:
    """Do what was proposed. Refused for whoever proposed it or wrote the draft, and where the rules have moved on."""
    current = _open(proposal)
    if not may_publish(by, current):
        raise Refused("Another admin has to publish what you proposed.")
    _carry_out(current, by)
    return _decide(by, current, Outcome.PUBLISHED, "")


@transaction.atomic
def return_proposal(*, by: Any, proposal: Proposal, reason: str) -> Proposal:
    """Leave everything as it is, and say why."""
    if not reason.strip():
        raise Refused("Say why, for whoever proposed it.", "reason")
    return _decide(by, _open(proposal), Outcome.RETURNED, reason.strip())


@transaction.atomic
def take_back(*, by: Any, proposal: Proposal) -> Proposal:
    """Whoever proposed it does not want it any more."""
    current = _open(proposal)
    if by.pk != current.proposed_by_id:
        raise Refused("Only the admin who proposed it can take it back. Return it with a reason instead.")
    return _decide(by, current, Outcome.TAKEN_BACK, "")


def may_publish(person: Any, proposal: Proposal) -> bool:
    """Nobody publishes what they proposed or wrote themselves."""
    wrote = proposal.kind == Kind.PUBLISH and proposal.override.author_id == person.pk
    return person.pk != proposal.proposed_by_id and not wrote


def _carry_out(proposal: Proposal, by: Any) -> None:
    override = proposal.override
    if override.known_until is not None:
        raise Refused("Someone else has changed this rule meanwhile. Look at what is there now.")
    if proposal.kind == Kind.END:
        assert proposal.last_day is not None  # noqa: S101  narrows the type; the form demands it
        changes.end(by=by, override=override, last_day=proposal.last_day)
    elif proposal.kind == Kind.WITHDRAW:
        actions.withdraw_override(by=by, override=override, reason=proposal.reason)
    else:
        if proposal.in_the_way is not None:
            changes.make_room(by=by, draft=override, other=proposal.in_the_way)
        changes.publish(by=by, draft=override, status=proposal.status, review_by=proposal.review_by)


@contextmanager
def _taken_back() -> Iterator[None]:
    """What is written inside is gone afterwards; what it raises is not."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _refuse_what_verified_lacks(proposal: Proposal, today: date) -> None:
    if proposal.kind != Kind.PUBLISH or proposal.status != Status.VERIFIED:
        return
    if not proposal.override.source_address:
        raise Refused(
            "Verified means that others can read it too. Enter the address of the source in the draft, or send it as "
            "unverified.",
            "status",
        )
    if proposal.review_by is None or proposal.review_by <= today:
        raise Refused("Enter a day after today by which the source is read again, because sources change.", "review_by")


def _refuse_a_silent_change_of_the_past(proposal: Proposal, today: date) -> None:
    if changes_the_past(proposal, today) and not proposal.reason:
        raise Refused(
            "This changes days of service that are past, on which a published rule held. Say why. What was approved "
            "keeps its lines.",
            "reason",
        )


def changes_the_past(proposal: Proposal, today: date) -> bool:
    """Whether a published rule would have said something else on a day before today."""
    override = proposal.override
    if proposal.kind == Kind.END:
        return proposal.last_day is not None and proposal.last_day + ONE_DAY < today
    if proposal.kind == Kind.WITHDRAW:
        return override.effective_from < today
    others = [each for each in (override.follows, proposal.in_the_way) if each is not None]
    return any(max(override.effective_from, other.effective_from) < today for other in others)


def _open(proposal: Proposal) -> Proposal:
    current = Proposal.objects.select_for_update(no_key=True).get(pk=proposal.pk)
    if current.outcome != Outcome.OPEN:
        raise Refused("Someone else has decided on this meanwhile. Look at what is there now.")
    return current


def _decide(by: Any, proposal: Proposal, outcome: str, reason: str) -> Proposal:
    before = _document(proposal)
    proposal.outcome, proposal.outcome_reason = outcome, reason
    proposal.decided_by, proposal.decided_at = by, timezone.now()
    proposal.save()
    _tell(f"proposal.{outcome}", by, proposal, before)
    return proposal


def _tell(action: str, by: Any, proposal: Proposal, before: dict[str, Any] | None) -> None:
    audit.record(
        action, by=by, subject="proposal", subject_id=proposal.public_id, before=before, after=_document(proposal),
        reason=proposal.outcome_reason or proposal.reason,
    )  # fmt: skip


def _document(proposal: Proposal) -> dict[str, Any]:
    other = proposal.in_the_way
    return {
        "payer": proposal.payer.slug, "kind": proposal.kind, "override": str(proposal.override.public_id),
        "in_the_way": str(other.public_id) if other else None, "status": proposal.status,
        "review_by": proposal.review_by and proposal.review_by.isoformat(),
        "last_day": proposal.last_day and proposal.last_day.isoformat(), "reason": proposal.reason,
        "outcome": proposal.outcome, "outcome_reason": proposal.outcome_reason,
    }  # fmt: skip
