"""Processes that press the same buttons at once; started by prove_at_once.py.

Each has the guard and a careless twin without it: what a program without that guard would do.
"""

from __future__ import annotations

import random
import time
from typing import Any
from uuid import UUID, uuid4

# R05: a form that is sent up to three times ---------------------------------------------------------------------------


def send(
    number: int, barrier: Any, cookies: dict[str, str], fields: dict[str, str], ids: list[str], careful: bool
) -> list[tuple[str, int, str]]:
    """Send each form whose turn it is; sender 0 sends some again later, as after a reply that was cut."""
    from django.test import Client
    from django.urls import reverse

    client, dice = Client(), random.Random(5)
    for name, value in cookies.items():
        client.cookies[name] = value
    address, replies = reverse("encounter-new"), []

    def send(client_id: str) -> None:
        sent = {**fields, "client_id": client_id, "patient_reference": f"P{client_id[:8]}"}
        if not careful:
            del sent["client_id"]
        reply = client.post(address, sent)
        replies.append((client_id, reply.status_code, reply.headers.get("Location", "")))

    for client_id in ids:
        times, again = dice.randint(1, 3), dice.random() < 0.05
        barrier.wait(120)
        if number < times:
            send(client_id)
        if number == 0 and again:
            send(client_id)
    return replies


# R03, R04: approve against approve, and against an edit ---------------------------------------------------------------


def approve_or_edit(
    number: int, barrier: Any, rounds: int, public_ids: list[str], careful: bool
) -> list[tuple[Any, ...]]:
    """Two people on one encounter, round after round: both approve it, or one approves and the other changes it.

    Tells of each approval: its row, and the version and hash that were shown. 0 shows, approves and sets up again.
    """
    from infusion.actions import Refused, approve, take_back
    from infusion.models import Approval, Encounter, User
    from infusion.selectors import encounter_for, review_of

    nurse, biller = User.objects.get(username="nurse"), User.objects.get(username="billing")
    told: list[tuple[Any, ...]] = []
    dice = random.Random(number)

    def fresh(public_id: str) -> Encounter:
        found = encounter_for(biller, UUID(public_id))
        assert found is not None
        return found

    def press(public_id: str, version: int, shown: str) -> None:
        current = fresh(public_id)
        if not careful:  # as a program that approves whatever is there by now
            version, asked = current.version, review_of(current).content_hash
        else:
            asked = shown
        try:
            done = approve(by=biller, encounter=current, version=version, content_hash=asked, acknowledged=())
            told.append(("approved", done.pk, shown))
        except Refused as refusal:
            told.append((type(refusal).__name__, None, shown))
        except Exception as problem:
            told.append((f"error {type(problem).__name__}: {problem}", None, shown))

    for turn in range(rounds):
        public_id, edits = public_ids[turn % len(public_ids)], turn % 2 == 1
        seen = fresh(public_id)
        version, shown = seen.version, review_of(seen).content_hash
        barrier.wait(120)
        if edits:
            time.sleep(dice.uniform(0, 0.1))  # now the one is first, now the other
        if number == 0 or not edits:
            press(public_id, version, shown)
        else:
            told.append(change(nurse, biller, seen))
        barrier.wait(120)
        if number == 0:
            now = fresh(public_id)
            if now.state == Encounter.State.APPROVED:
                take_back(by=biller, encounter=now, version=now.version)
        barrier.wait(120)
    assert Approval.objects.exists()
    return told


def change(nurse: Any, biller: Any, seen: Any) -> tuple[Any, ...]:
    """Ask the nurse, who changes the dose, answers and hands over again."""
    from dataclasses import replace

    from infusion.actions import Recorded, Refused, hand_to_billing, return_to_nurse, save_encounter
    from infusion.selectors import facts_of

    try:
        back = return_to_nurse(by=biller, encounter=seen, version=seen.version, question="Is the dose right?")
        record = facts_of(back)
        [given] = record.administrations
        vials, dose = given.vials, 900 - (given.administered or 0)  # 300 and 600 mg in turn
        given = replace(given, ordered=dose, administered=dose, vials=(replace(vials[0], count=int(dose) // 300),))
        question = back.questions.get(answered_at__isnull=True)
        recorded = Recorded(
            patient_reference=back.patient.reference, payer=back.payer, date_of_service=back.date_of_service,
            place_of_service=back.place_of_service, facts=replace(record, administrations=(given,)),
            answers={question.pk: "It is."},
        )  # fmt: skip
        saved = save_encounter(
            by=nurse, clinic=back.clinic, client_id=back.client_id, public_id=back.public_id, version=back.version,
            recorded=recorded,
        )  # fmt: skip
        hand_to_billing(by=nurse, encounter=saved, version=saved.version, attested=True)
    except Refused as refusal:
        return (f"edit {type(refusal).__name__}", None, "")
    except Exception as problem:
        return (f"error {type(problem).__name__}: {problem}", None, "")
    return ("edited", None, "")


def new_ids(count: int) -> list[str]:
    return [str(uuid4()) for _ in range(count)]
