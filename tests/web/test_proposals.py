"""A payer's rule takes two admins: what each step tells the audit, and what the database refuses by itself."""

from collections.abc import Callable
from datetime import date

import pytest
import time_machine
from django.db import IntegrityError, transaction
from django.utils import timezone

from infusion.audit import AuditEvent
from infusion.models import User
from payers.actions import Departure, draft_override, publish_override
from payers.models import Payer, PolicyOverride, Proposal
from payers.proposals import Wanted, propose, publish_proposal, return_proposal, take_back

pytestmark = pytest.mark.django_db
TODAY = date(2026, 3, 10)
SAID = Departure(
    parameter="additional_hour_minimum_minutes", value=30, effective_from=date(2026, 4, 1),
    source_document="Handbook", source_read_on=date(2026, 1, 1),
)  # fmt: skip


@pytest.fixture(autouse=True)
def on_march_10():
    with time_machine.travel("2026-03-10T15:00:00Z", tick=False):
        yield


@pytest.fixture
def proposal(medicare: Payer, admin_user: User) -> Proposal:
    draft = draft_override(by=admin_user, payer=medicare, departure=SAID)
    wanted = Wanted(kind="publish", override=draft, status="unverified")
    return propose(by=admin_user, payer=medicare, wanted=wanted, today=TODAY)


STEPS: dict[str, tuple[Callable[[Proposal, User], object], list[str]]] = {
    "publish": (
        lambda row, other: publish_proposal(by=other, proposal=row),
        ["override.publish", "proposal.published"],
    ),
    "return": (lambda row, other: return_proposal(by=other, proposal=row, reason="No."), ["proposal.returned"]),
    "take back": (lambda row, other: take_back(by=row.proposed_by, proposal=row), ["proposal.taken_back"]),
}  # fmt: skip


def told_since(count: int) -> list[str]:
    return [event.action for event in AuditEvent.objects.order_by("sequence")[count:]]


@pytest.mark.parametrize("step", STEPS)
def test_each_step_is_told_once(step: str, proposal: Proposal, admin2: User) -> None:
    act, told = STEPS[step]
    before = AuditEvent.objects.count()
    act(proposal, admin2)
    assert told_since(before) == told


def test_what_is_tried_when_it_is_proposed_leaves_nothing(medicare: Payer, admin_user: User) -> None:
    rule = publish_override(by=None, payer=medicare, departure=SAID, status="unverified")
    before = AuditEvent.objects.count()
    wanted = Wanted(kind="end", override=rule, last_day=date(2026, 6, 30))
    propose(by=admin_user, payer=medicare, wanted=wanted, today=TODAY)
    assert told_since(before) == ["proposal.add"]
    assert PolicyOverride.objects.get() == rule


def test_a_draft_of_a_change_goes_when_its_rule_takes_its_wording(
    medicare: Payer, admin_user: User, admin2: User
) -> None:
    rule = publish_override(by=None, payer=medicare, departure=SAID, status="unverified")
    draft = draft_override(by=admin_user, payer=medicare, departure=SAID, replaces=rule)
    wanted = Wanted(kind="publish", override=draft, status="unverified")
    proposal = propose(by=admin_user, payer=medicare, wanted=wanted, today=TODAY)
    before = AuditEvent.objects.count()
    publish_proposal(by=admin2, proposal=proposal)
    assert told_since(before) == ["override.put_away", "override.publish", "proposal.published"]
    [now] = PolicyOverride.objects.filter(known_until=None)
    assert (now.thread, now.author, now.publisher) == (rule.thread, admin_user, admin2)


def test_the_database_knows_that_it_takes_two(proposal: Proposal) -> None:
    with pytest.raises(IntegrityError, match="published_by_another_admin"), transaction.atomic():
        Proposal.objects.filter(pk=proposal.pk).update(
            outcome="published", decided_by=proposal.proposed_by, decided_at=timezone.now()
        )


def test_one_rule_waits_once(proposal: Proposal) -> None:
    twin = Proposal.objects.get(pk=proposal.pk)
    twin.pk, twin.public_id = None, proposal.override.public_id
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save(force_insert=True)
