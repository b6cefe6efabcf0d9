"""One of several processes in which someone makes batches of the same encounters; started by test_batches.py."""

from __future__ import annotations

import os
import random
from typing import Any
from uuid import uuid4


def press(database: str, presses: int, seed: int, careful: bool, barrier: Any, told: Any) -> None:
    """Make a batch of what was ready when it was looked at, again and again, as whoever sees an old page does.

    The careless one does not look again once it holds the lock, as a program without that look would.
    """
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    django.setup()
    from django.db import connection

    from infusion.actions import Refused, batches, make_batch
    from infusion.batches import standing_of, waiting
    from infusion.models import Clinic, User

    clinic, by, chosen = Clinic.objects.get(), User.objects.get(username="billing"), random.Random(seed)
    look_again = batches._chosen
    barrier.wait()
    standing = standing_of(clinic, waiting(clinic))
    barrier.wait()
    for _ in range(presses):
        some = chosen.sample(standing, min(2, len(standing)))
        if not careful:
            batches._chosen = lambda *_, some=some: [each for row in some for each in row.candidates]
        try:
            make_batch(by=by, clinic=clinic, client_id=uuid4(), encounters=[each.encounter for each in some])
            told.put("made")
        except Refused:
            told.put("refused")
        except Exception as problem:
            told.put(f"{type(problem).__name__}: {problem}")
    batches._chosen = look_again
    connection.close()
