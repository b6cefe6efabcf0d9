"""One of several processes in which someone makes batches of the same encounters; started by test_batches.py."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any
from uuid import uuid4

from django.db import connection

from infusion.actions import Refused, batches, make_batch
from infusion.batches import standing_of, waiting
from infusion.models import Clinic, User


def press(seed: int, barrier: Any, database: str, presses: int, careful: bool) -> Counter[str]:
    """Make a batch of what was ready when it was looked at, again and again, as whoever sees an old page does.

    First of two encounters at a time by chance, then of each alone, so that nothing stays behind. The careless one
    does not look again once it holds the lock, as a program without that look would.
    """
    connection.settings_dict["NAME"] = database
    clinic, by, chosen = Clinic.objects.get(), User.objects.get(username="billing"), random.Random(seed)
    barrier.wait()
    standing = standing_of(clinic, waiting(clinic))
    barrier.wait()
    said: Counter[str] = Counter()
    for some in [
        *(chosen.sample(standing, min(2, len(standing))) for _ in range(presses)),
        *([one] for one in standing),
    ]:
        if not careful:
            batches._chosen = lambda *_, some=some: [each for row in some for each in row.candidates]
        try:
            make_batch(by=by, clinic=clinic, client_id=uuid4(), encounters=[each.encounter for each in some])
            said["made"] += 1
        except Refused:
            said["refused"] += 1
        except Exception as problem:
            said[f"{type(problem).__name__}: {problem}"] += 1
    return said
