"""Has the database itself keep every row that is written, whoever writes it: what the audit is replayed from.

A trigger on each table of records puts the row into `AuditChange` in the same transaction, and `audit.record` names the
event that tells of it. A write that no event tells of stays there without one, and `manage.py audit_verify` finds it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from django.apps import AppConfig, apps
from django.db import connections, models, transaction
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate
from django.dispatch import receiver

from infusion import audit

APPS = ("infusion", "payers")
CHANGES = audit.AuditChange._meta.db_table
# Tables of these apps that hold no record, and why.
NOT_RECORDS = {
    "infusion.ApiAnswer": "It is what a program is told again for a day; what was written has its own events.",
    "infusion.Arrival": "It is what a file said; the encounters made of it have events that name the file and the row.",
    "infusion.AuditChange": "It is the record of the others.",
    "infusion.AuditEvent": "It is the record of the others.",
    "infusion.AuditHead": "It is the end of a chain.",
    "infusion.BatchFilling": "It is how far a batch got; its begin and its claims have their own events.",
    "infusion.Import": "It is a file that was looked at; that it was confirmed has an event of its own.",
    "infusion.Job": "It is how far long work got; its begin and what it does have their own events.",
    "infusion.Judgement": "It follows from other rows, and whoever looks first brings it up to date.",
    "infusion.KnownBrowser": "It is what a browser is remembered for; signing in and PINs have events of their own.",
    "infusion.Reading": "It is the record of who looked.",
    "infusion.Recheck": "It follows from approvals and from the rules of a day; that it was begun has an event.",
    "infusion.RecheckDifference": "It follows from approvals and from the rules of a day.",
    "infusion.Selected": "It is how far a press on a list got; what the press did has its own events.",
    "infusion.Selection": "It is how far a press on a list got; what the press did has its own events.",
    "infusion.WorkingCopy": "It is one person's own unfinished form.",
}
# Columns that are left out: secrets, when someone last signed in or asked, and a file's bytes, whose checksum is kept.
LEFT_OUT = {
    "infusion_user": ("password", "last_login"),
    "infusion_emergencycode": ("code",),
    "infusion_apiclient": ("token_hash", "last_used_at"),
    "infusion_batchfile": ("content",),
}


def recorded_models() -> list[type[models.Model]]:
    """Every table of records. A new one belongs to them unless NOT_RECORDS says why not."""
    found = [model for name in APPS for model in apps.get_app_config(name).get_models(include_auto_created=True)]
    return [model for model in found if model._meta.label not in NOT_RECORDS and model._meta.managed]


# SQLite ---------------------------------------------------------------------------------------------------------------


def sqlite_triggers(table: str, columns: list[str]) -> dict[str, str]:
    """The three triggers of a table, by name."""
    kept = [each for each in columns if each not in LEFT_OUT.get(table, ())]

    def written(verb: str, row: str, of: str, when: str = "") -> str:
        return (
            f"CREATE TRIGGER {table}_written_{verb} AFTER {verb.upper()} ON {table} {when}BEGIN "
            f"INSERT INTO {CHANGES} (relation, key, written) VALUES ('{table}', {of}.id, {row}); END"
        )

    old, new = (", ".join(f'{of}."{each}"' for each in kept) for of in ("OLD", "NEW"))
    differing = " UNION ALL ".join(
        f"""SELECT '{each}' AS name, NEW."{each}" AS value WHERE NEW."{each}" IS NOT OLD."{each}\"""" for each in kept
    )
    changed = f"(SELECT json_group_object(name, value) FROM ({differing}))"
    return {
        f"{table}_written_insert": written("insert", sqlite_row(kept, "NEW."), "NEW"),
        f"{table}_written_update": written("update", changed, "NEW", f"WHEN ({old}) IS NOT ({new}) "),
        f"{table}_written_delete": written("delete", "NULL", "OLD"),
    }


def sqlite_row(columns: Iterable[str], of: str = "") -> str:
    pairs = ", ".join(f"""'{each}', {of}"{each}\"""" for each in columns)
    return f"json_object({pairs})"


def sqlite_columns(cursor: Any, table: str) -> list[str]:
    cursor.execute(f"PRAGMA table_info({table})")
    return [row[1] for row in cursor.fetchall()]


def begun(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    """Remembers, where a transaction begins, which changes were there before it: SQLite numbers no transactions."""
    result = execute(sql, params, many, context)
    if sql.startswith("BEGIN"):
        connection = context["connection"]
        try:
            found = connection.connection.execute(f"SELECT max(id) FROM {CHANGES}").fetchone()
        except sqlite3.OperationalError:  # before the first migration
            found = None
        connection.changes_before = (found and found[0]) or 0
    return result


@receiver(connection_created)
def watch(sender: object, connection: Any, **_: object) -> None:
    if connection.vendor == "sqlite" and begun not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, begun)


# PostgreSQL -----------------------------------------------------------------------------------------------------------

POSTGRESQL_FUNCTION = f"""
CREATE OR REPLACE FUNCTION infusion_written() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  written jsonb;
  left_out text[] := coalesce(TG_ARGV::text[], '{{}}');
BEGIN
  IF TG_OP = 'INSERT' THEN
    written := to_jsonb(NEW) - left_out;
  ELSIF TG_OP = 'UPDATE' THEN
    SELECT jsonb_object_agg(now.key, now.value) INTO written
      FROM jsonb_each(to_jsonb(NEW) - left_out) AS now
      JOIN jsonb_each(to_jsonb(OLD)) AS was USING (key) WHERE now.value IS DISTINCT FROM was.value;
    IF written IS NULL THEN
      RETURN NULL;
    END IF;
  END IF;
  INSERT INTO {CHANGES} (relation, key, written, xid)
    VALUES (TG_TABLE_NAME, CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END, written::text, txid_current());
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION infusion_not_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is never emptied: rows are deleted, so that each is told', TG_TABLE_NAME;
END $$
"""


def postgresql_triggers(table: str) -> dict[str, str]:
    """The two triggers of a table, by name. TRUNCATE shows no rows to a trigger, so it is refused."""
    left_out = ", ".join(f"'{each}'" for each in LEFT_OUT.get(table, ()))
    return {
        f"{table}_written": f"CREATE TRIGGER {table}_written AFTER INSERT OR UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION infusion_written({left_out})",
        f"{table}_written_not_emptied": f"CREATE TRIGGER {table}_written_not_emptied BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION infusion_not_emptied()",
    }


def postgresql_row(table: str) -> str:
    left_out = ", ".join(f"'{each}'" for each in LEFT_OUT.get(table, ()))
    return f"(to_jsonb({table}) - ARRAY[{left_out}]::text[])::text"


# Both -----------------------------------------------------------------------------------------------------------------


def tables_there(connection: Any) -> list[str]:
    there = set(connection.introspection.table_names())
    return [model._meta.db_table for model in recorded_models() if model._meta.db_table in there]


def wanted_triggers(connection: Any) -> dict[str, dict[str, str]]:
    """By table, the triggers it should have, as the SQL that makes them."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            return {table: sqlite_triggers(table, sqlite_columns(cursor, table)) for table in tables_there(connection)}
        return {table: postgresql_triggers(table) for table in tables_there(connection)}


def triggers_there(connection: Any) -> dict[str, str]:
    """The triggers of this module that are in force, with their SQL where the database keeps it."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND instr(name, '_written') > 0")
        else:
            cursor.execute(
                "SELECT tgname, '' FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D' "
                "AND strpos(tgname, '_written') > 0"
            )
        return dict(cursor.fetchall())


def outdated(connection: Any) -> dict[str, dict[str, str]]:
    """The tables whose writes are not kept as they should be, with the triggers they need."""
    there, on_sqlite = triggers_there(connection), connection.vendor == "sqlite"
    return {
        table: triggers
        for table, triggers in wanted_triggers(connection).items()
        if any(name not in there or (on_sqlite and there[name] != sql) for name, sql in triggers.items())
    }


def row_of(connection: Any, cursor: Any, table: str) -> str:
    """The SQL of a stored row as a trigger would write it."""
    if connection.vendor == "postgresql":
        return postgresql_row(table)
    return sqlite_row(each for each in sqlite_columns(cursor, table) if each not in LEFT_OUT.get(table, ()))


def install(connection: Any) -> None:
    """Put the triggers in force. What stood in a table before its first ones is written down as it is then."""
    needed = outdated(connection)
    if not needed:
        return
    there, begins = triggers_there(connection), []
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(POSTGRESQL_FUNCTION)
        for table, triggers in needed.items():
            if not there.keys() & triggers.keys():
                begins.append(table)
            for name, sql in triggers.items():
                if name in there:
                    cursor.execute(f"DROP TRIGGER {name}" + ("" if connection.vendor == "sqlite" else f" ON {table}"))
                cursor.execute(sql)
        columns = "relation, key, written" + (", xid" if connection.vendor == "postgresql" else "")
        for table in begins:
            values = f"'{table}', id, {row_of(connection, cursor, table)}"
            values += ", txid_current()" if connection.vendor == "postgresql" else ""
            cursor.execute(f"INSERT INTO {CHANGES} ({columns}) SELECT {values} FROM {table} ORDER BY id")
        if begins and audit.unclaimed().exists():
            audit.record(
                "audit.begin", by=None, subject="audit", subject_id=1, before=None, after={"tables": sorted(begins)},
                reason="What was there before the database kept each row that is written.",
            )  # fmt: skip


@receiver(post_migrate)
def install_after_migrating(sender: AppConfig, using: str, **_: object) -> None:
    """The apps migrate one after the other; the last of them finds every table there."""
    connection = connections[using]
    if sender.name == APPS[-1] and CHANGES in connection.introspection.table_names():
        install(connection)
