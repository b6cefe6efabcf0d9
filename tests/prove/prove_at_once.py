"""R01, R03, R04, R05: several people at once, and nothing lost, doubled or approved unseen."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse

from infusion.actions import Recorded, hand_to_billing, save_encounter
from infusion.audit import AuditEvent, AuditHead, canonical
from infusion.models import Approval, BatchLine, Clinic, Encounter, User
from payers.models import Payer
from tests.processes import together
from tests.prove.conftest import Prove
from tests.prove.crowd import approve_or_edit, new_ids, send
from tests.prove.table import share, size
from tests.web.page import Page
from tests.web.test_audit import first_flaw
from tests.web.test_batches import pressed
from tests.web.test_lost_updates import PROCESSES, edited

pytestmark = pytest.mark.django_db(transaction=True)
small_elsewhere = pytest.mark.skipif(not share(), reason="its small form is in tests/web")


def chain() -> int | None:
    return first_flaw(AuditEvent.objects.order_by("sequence").iterator(), AuditHead.objects.get(pk=AuditHead.WRITES))


@pytest.mark.both
@pytest.mark.proves("R01")
@small_elsewhere
def test_no_edit_is_lost(nurse: User, clinic: Clinic, sarah: Recorded, prove: Prove) -> None:
    edits = size(2, 625)
    kept, busy = edited(nurse, clinic, sarah, edits, 50, careful=True, processes=16)
    told = AuditEvent.objects.filter(action="encounter.save").count()
    flaw = chain()
    prove(
        "R01", "0 lost in 10,000 edits by 16 processes",
        f"{16 * edits - kept:.0f} lost in {16 * edits:,} edits by 16 processes, {told:,} told to the audit, "
        f"{busy} refused after 20 s of waiting and made again, "
        f"{'chain unbroken' if flaw is None else f'chain broken at {flaw}'}",
        kept == told == 16 * edits and flaw is None,
    )  # fmt: skip


@pytest.mark.both
@pytest.mark.proves("R01")
@small_elsewhere
def test_edits_are_lost_without_the_version(nurse: User, clinic: Clinic, sarah: Recorded, prove: Prove) -> None:
    kept, _ = edited(nurse, clinic, sarah, 25, 1, careful=False)
    prove("R01", "", f"without the version {PROCESSES * 25 - kept:.0f} of 100 lost", kept < 100)


# R05 ------------------------------------------------------------------------------------------------------------------


def new_form(nurse: User, payer: Payer) -> tuple[dict[str, str], dict[str, str]]:
    """The cookies of a nurse, and what the form of a new encounter would send."""
    client = Client()
    client.force_login(nurse)
    form = Page(client.get(reverse("encounter-new")).content).form_to(reverse("encounter-new"))
    chosen = {"payer": payer.slug, "date": "2026-03-10", "act": "save"}
    return {name: each.value for name, each in client.cookies.items()}, {**form.fields, **chosen}


def sent_up_to_three_times(nurse: User, payer: Payer, count: int, *, careful: bool) -> dict[str, list[tuple[int, str]]]:
    """The replies to each form, by its id."""
    cookies, fields = new_form(nurse, payer)
    replies: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for told in together(send, 3, cookies, fields, new_ids(count), careful, seconds=600):
        for client_id, status, where in told:
            replies[client_id].append((status, where))
    return replies


@pytest.mark.both
@pytest.mark.proves("R05")
def test_a_form_sent_again_is_recorded_once(
    nurse: User, clinic: Clinic, medicare: Payer, person: Callable[..., User], prove: Prove
) -> None:
    count = size(12, 5000)
    replies = sent_up_to_three_times(nurse, medicare, count, careful=True)
    stored = dict(Encounter.objects.values_list("client_id", "public_id"))
    added = AuditEvent.objects.filter(action="encounter.add").count()
    right = sum(
        {(302, reverse("encounter", args=[stored[UUID(client_id)]]))} == set(told)
        for client_id, told in replies.items()
        if UUID(client_id) in stored
    )
    sent = sum(map(len, replies.values()))
    prove(
        "R05", "5,000 records of 5,000 forms sent 1-3 times, every reply the same",
        f"{len(stored):,} records and {added:,} audit rows of {count:,} forms sent {sent:,} times; "
        f"{right:,} forms with one and the same reply",
        len(stored) == added == right == count and chain() is None,
    )  # fmt: skip
    assert sent > count, "some are sent more than once"


def test_a_form_without_an_id_is_recorded_twice(nurse: User, clinic: Clinic, medicare: Payer) -> None:
    replies = sent_up_to_three_times(nurse, medicare, 4, careful=False)
    assert Encounter.objects.count() == sum(map(len, replies.values())) > 4


# R03, R04 -------------------------------------------------------------------------------------------------------------


def raced(
    nurse: User, biller: User, clinic: Clinic, sarah: Recorded, rounds: int, *, careful: bool
) -> list[tuple[Any, ...]]:
    ids = []
    for _ in range(max(4, rounds // 50)):  # the more versions of one, the longer each round
        made = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
        made = hand_to_billing(by=nurse, encounter=made, version=made.version)
        ids.append(str(made.public_id))
    found = together(approve_or_edit, 2, rounds, ids, careful, seconds=600)
    return [each for told in found for each in told]


def unseen(told: list[tuple[Any, ...]]) -> int:
    """Approvals of something else than what was shown, or whose record is not the one they approved."""
    shown = {pk: seen for what, pk, seen in told if what == "approved"}
    wrong = 0
    for approval in Approval.objects.select_related("encounter"):
        event = next(
            each
            for each in AuditEvent.objects.filter(
                action="encounter.approve", subject_id=str(approval.encounter.public_id)
            )
            if (each.after or {}).get("version") == approval.encounter_version
        )
        record = canonical((event.after or {})["record"])
        same = record == canonical(json.loads(approval.input))
        wrong += not same or shown.get(approval.pk) != approval.content_hash
    return wrong


@pytest.mark.both
@pytest.mark.proves("R03")
@pytest.mark.proves("R04")
def test_what_is_approved_was_shown_and_once(
    nurse: User, biller: User, clinic: Clinic, sarah: Recorded, prove: Prove
) -> None:
    rounds = size(12, 4000)
    told = raced(nurse, biller, clinic, sarah, rounds, careful=True)
    outcomes = Counter(what for what, _, _ in told)
    errors = [what for what in outcomes if what.startswith("error")]
    doubled = Counter(Approval.objects.values_list("encounter_id", "encounter_version"))
    flaw, wrong = chain(), unseen(told)
    said = ", ".join(f"{number:,} {what}" for what, number in sorted(outcomes.items()))
    prove(
        "R03", "0 approvals of anything but what was shown in 2,000 rounds of approving against editing",
        f"{wrong} in {rounds // 2:,} rounds ({said}); {'chain unbroken' if flaw is None else 'chain broken'}",
        wrong == 0 and flaw is None and not errors,
    )  # fmt: skip
    approved = outcomes["approved"]
    prove(
        "R04", "0 doubled and 0 database errors shown in 1,000 double approvals",
        f"{rounds // 2:,} double approvals: {sum(each > 1 for each in doubled.values())} doubled, {len(errors)} errors",
        max(doubled.values()) == 1 and not errors and Approval.objects.count() == approved,
    )  # fmt: skip
    assert outcomes["edited"]


@pytest.mark.skipif(not share(), reason="which of two is first is chance, so that it takes many rounds")
def test_approving_what_is_there_by_then_would_be_seen(
    nurse: User, biller: User, clinic: Clinic, sarah: Recorded
) -> None:
    for _ in range(5):
        if unseen(raced(nurse, biller, clinic, sarah, 24, careful=False)):
            return
    pytest.fail("approving without looking was never seen")


@pytest.mark.both
@pytest.mark.proves("R04")
@small_elsewhere
def test_a_line_leaves_once(
    nurse: User, biller: User, clinic: Clinic, medicare: Payer, visited: Callable[..., Encounter], prove: Prove
) -> None:
    Clinic.objects.update(sends_claims=False)
    rounds = size(1, 25)
    outcomes: Counter[str] = Counter()
    for turn in range(rounds):
        for number in range(8):
            visited(60 + number, medicare, date(2026, 3, 1 + turn % 28))
        outcomes += pressed(careful=True)
    lines = Counter(BatchLine.objects.values_list("approval_id", "position", "kind"))
    presses = sum(outcomes.values())
    strange = [each for each in outcomes if each not in ("made", "refused")]
    prove(
        "R04", "0 lines in two batches in 1,000 parallel exports",
        f"{sum(each > 1 for each in lines.values())} of {len(lines):,} lines twice in {presses:,} presses "
        f"({outcomes['made']} made, {outcomes['refused']} refused with a sentence, {len(strange)} otherwise)",
        max(lines.values()) == 1 and not strange,
    )  # fmt: skip
