"""A database that could lose or bend what it was told is not used: every new connection is asked for its safeguards."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from infusion.settings import sqlite_journal

SQLITE = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "mmap_size")
POSTGRESQL = ("fsync", "synchronous_commit")
FULL, EXTRA = 2, 3


def unsafe(
    vendor: str, found: Mapping[str, Any], version: tuple[int, int, int] = sqlite3.sqlite_version_info
) -> list[str]:
    """What is wrong with a connection, a sentence each, by what it answers."""
    if vendor == "postgresql":
        told = {
            "fsync": "would lose what was saved when the power fails",
            "synchronous_commit": "tells that something is saved before it is",
        }
        return [f"{name} is off: PostgreSQL {why}. Turn it on." for name, why in told.items() if found[name] == "off"]
    wrong = []
    if found["journal_mode"] == "wal" and sqlite_journal(version) != "WAL":
        wrong.append("journal_mode is wal, which this version of SQLite can damage. Set it to delete.")
    if found["synchronous"] not in (FULL, EXTRA):
        wrong.append("synchronous is below full, so that a power cut could lose what was saved. Set it to full.")
    for name in ("foreign_keys", "recursive_triggers"):
        if found[name] != 1:
            wrong.append(f"{name} is off, so that rows could go that have to stay. Turn it on.")
    if found["mmap_size"]:
        wrong.append("mmap_size is not 0, so that a stray write in memory could reach the file. Set it to 0.")
    return wrong


@receiver(connection_created)
def refuse_unsafe(sender: object, connection: Any, **_: object) -> None:
    """Raises ImproperlyConfigured. A PostgreSQL that is thrown away after a test may be as quick as it likes.

    Django has the connection in hand already, and would use it for what comes next: it is closed first.
    """
    if connection.vendor == "postgresql" and not settings.PRODUCTION:
        return
    asked = {"sqlite": ("PRAGMA", SQLITE), "postgresql": ("SHOW", POSTGRESQL)}.get(connection.vendor)
    if asked is None:
        connection.close()
        raise ImproperlyConfigured(f"{connection.vendor} is not supported. Use SQLite or PostgreSQL.")
    found: dict[str, Any] = {}
    with closing(connection.connection.cursor()) as cursor:
        for name in asked[1]:
            row = cursor.execute(f"{asked[0]} {name}").fetchone()
            found[name] = row[0] if row else 0
    if wrong := unsafe(connection.vendor, found):
        connection.close()
        raise ImproperlyConfigured("The database is not safe to use. " + " ".join(wrong))
