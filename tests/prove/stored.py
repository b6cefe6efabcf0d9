"""All that a database holds, as one digest, to see whether anything was written."""

from __future__ import annotations

import hashlib

from django.apps import apps
from django.db import connection, models

# What is written by the clock or by whoever looks, and not by what was asked for: a reading leaves its row, and how
# ready an encounter is follows from other rows, so that whoever looks first brings it up to date.
PASSING = ("django_session", "infusion_reading", "infusion_judgement")
HEADS = "infusion_audithead"


def tables() -> list[str]:
    found: set[str] = set()
    for model in apps.get_models(include_auto_created=True):
        found.add(model._meta.db_table)
    return sorted(found - set(PASSING))


def stored() -> dict[str, str]:
    """A digest of the rows of each table, in the order of their keys."""
    found = {}
    with connection.cursor() as cursor:
        for table in tables():
            # The second head is the one of what was read.
            cursor.execute(f"SELECT * FROM {table}" + (" WHERE id = 1" if table == HEADS else ""))
            rows = sorted(repr(row) for row in cursor.fetchall())
            found[table] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The tables whose rows differ."""
    return [table for table in before if before[table] != after.get(table)]


def rows_in(model: type[models.Model]) -> int:
    return model._default_manager.count()
