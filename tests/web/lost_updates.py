"""One of several processes that edit the same encounters at once; started by test_lost_updates.py."""

from __future__ import annotations

import os
import random
import time
from typing import Any


def edit(database: str, client_ids: list[str], edits: int, seed: int, careful: bool, barrier: Any) -> None:
    """Add 1 mg to the ordered dose of one encounter after another, `edits` times.

    The careless one takes whatever version is stored when it writes, as a program without the check would.
    """
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    django.setup()
    from django.db import connection

    from infusion.actions import Stale
    from infusion.models import Encounter

    chosen, done = random.Random(seed), 0
    connection.ensure_connection()
    barrier.wait()
    while done < edits:
        client_id = chosen.choice(client_ids)
        try:
            write_one_more(client_id, careful)
            done += 1
        except Stale:
            assert careful or Encounter.objects.filter(client_id=client_id).exists()
    connection.close()


def write_one_more(client_id: str, careful: bool) -> None:
    from dataclasses import replace

    from infusion.actions import Recorded, save_encounter
    from infusion.models import Encounter
    from infusion.selectors import facts_of

    stored = Encounter.objects.select_related("clinic", "patient", "payer", "recorded_by").get(client_id=client_id)
    record = facts_of(stored)
    [given] = record.administrations
    assert given.ordered is not None
    time.sleep(0.002 if careful else 0.02)
    version = stored.version if careful else Encounter.objects.get(client_id=client_id).version
    save_encounter(
        by=stored.recorded_by,
        clinic=stored.clinic,
        client_id=stored.client_id,
        public_id=stored.public_id,
        version=version,
        recorded=Recorded(
            patient_reference=stored.patient.reference,
            payer=stored.payer,
            date_of_service=stored.date_of_service,
            facts=replace(record, administrations=(replace(given, ordered=given.ordered + 1),)),
        ),
    )
