"""A restoring on PostgreSQL that was cut off, by a crash or by force, and left what looks like a database.

It is marked on the schema `public` from the moment that one is made anew or taken to be filled, and the mark goes last.
"""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

MARK = "infusion: a restore has begun"
ASIDE = "; before it: "


def mark(cursor: Any, kept: str) -> None:
    """`kept` is the schema that what was there is kept as."""
    cursor.execute(f"COMMENT ON SCHEMA public IS '{MARK}{f'{ASIDE}{kept}' if kept else ''}'")


def unmark(cursor: Any) -> None:
    cursor.execute("COMMENT ON SCHEMA public IS NULL")


def marked() -> str | None:
    """The schema that what was there is kept as, which is none where nothing was. None without a mark."""
    there = connections[DEFAULT_DB_ALIAS]
    if there.vendor != "postgresql":
        return None
    with there.cursor() as cursor:
        cursor.execute("SELECT obj_description(to_regnamespace('public'), 'pg_namespace')")
        [comment] = cursor.fetchone()
    if comment is None or not comment.startswith(MARK):
        return None
    return str(comment).partition(ASIDE)[2]


def told() -> str:
    """What is unfinished, if anything, and its remedy."""
    kept = marked()
    if kept is None:
        return ""
    back = f" --replace: what was there before, in the schema {kept}, comes back first, and then" if kept else ":"
    return f"A restore was cut off, and the database is not whole. Run manage.py restore FILE{back} it begins anew."
