"""One of several processes that edit the same encounters at once; started by test_lost_updates.py."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.db import OperationalError

from infusion.actions import Recorded, Stale, save_encounter
from infusion.models import Encounter
from infusion.selectors import facts_of


def edit(seed: int, barrier: Any, client_ids: list[str], edits: int, careful: bool) -> int:
    """Add 1 mg to the ordered dose of one encounter after another, `edits` times. How often SQLite was too busy.

    The careful one reads again when it is refused. The careless one writes what it read over whatever is stored by
    then, as a program without the check would. Both begin anew after a wait that SQLite gave up.
    """
    chosen, done, busy = random.Random(seed), 0, 0
    barrier.wait()
    while done < edits:
        try:
            add_one, read = one_more(chosen.choice(client_ids))
            time.sleep(chosen.uniform(0, 0.01))
            done += added(add_one, read if careful else None)
        except OperationalError as problem:
            if str(problem) != "database is locked":
                raise
            busy += 1
    return busy


def added(add_one: Callable[[int | None], object], version: int | None) -> bool:
    while True:
        try:
            add_one(version)
            return True
        except Stale:
            if version is not None:
                return False


def one_more(client_id: str) -> tuple[Callable[[int | None], object], int]:
    """The write that adds 1 mg to what is stored now, and the version that was read."""
    stored = Encounter.objects.select_related("clinic", "patient", "payer", "recorded_by").get(client_id=client_id)
    record = facts_of(stored)
    [given] = record.administrations
    assert given.ordered is not None
    recorded = Recorded(
        patient_reference=stored.patient.reference,
        payer=stored.payer,
        date_of_service=stored.date_of_service,
        facts=replace(record, administrations=(replace(given, ordered=given.ordered + 1),)),
    )

    def add_one(version: int | None) -> object:
        return save_encounter(
            by=stored.recorded_by, clinic=stored.clinic, client_id=stored.client_id, public_id=stored.public_id,
            version=version or Encounter.objects.get(client_id=client_id).version, recorded=recorded,
        )  # fmt: skip

    return add_one, stored.version
