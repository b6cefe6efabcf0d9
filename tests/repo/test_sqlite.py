"""SQLite is opened so that nothing saved is lost."""

import sqlite3

import pytest
from django.db import connection

from infusion.settings import sqlite_journal


@pytest.mark.parametrize(
    ("version", "journal"),
    [
        ((3, 40, 1), "DELETE"),
        ((3, 51, 2), "DELETE"),
        ((3, 51, 3), "WAL"),
        ((3, 52, 0), "WAL"),
        ((4, 0, 0), "WAL"),
    ],
)
def test_the_write_ahead_log_is_used_only_where_it_is_sound(version: tuple[int, int, int], journal: str) -> None:
    assert sqlite_journal(version) == journal


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's own switches")
@pytest.mark.django_db
def test_a_connection_has_the_switches_that_the_settings_name() -> None:
    wanted = {
        "journal_mode": sqlite_journal(sqlite3.sqlite_version_info).lower(),
        "synchronous": 2,
        "foreign_keys": 1,
        "recursive_triggers": 1,
    }
    with connection.cursor() as cursor:
        found = {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted}
    assert found == wanted
