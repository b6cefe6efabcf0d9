"""The audit replayed from empty, beside the tables: whatever was written past it shows as a difference.

Rows are compared as values, not as a database spells them, so that the audit of one database can be replayed beside
the tables of another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware

from infusion.audit import AuditChange, canonical
from infusion.capture import LEFT_OUT, recorded_models, row_of
from infusion.models import BatchFile

Rows = dict[int, dict[str, Any]]
Fields = dict[str, "models.Field[Any, Any]"]
ROWS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is otherwise in a table than the audit tells; None where it is not in one of them."""

    relation: str
    key: int
    told: dict[str, Any] | None
    stored: dict[str, Any] | None

    def __str__(self) -> str:
        if self.told is None or self.stored is None:
            return f"{self.relation} {self.key}: {'never told' if self.told is None else 'gone, and nobody told'}"
        names = [name for name, value in self.stored.items() if self.told.get(name) != value]
        return f"{self.relation} {self.key}: {', '.join(names)} otherwise than told"


def differences() -> Iterator[Difference]:
    """Every row that the audit, replayed from empty, does not give as it is stored.

    The two are read one after the other: where people work, inside `archive.held_still`.
    """
    for model in recorded_models():
        told, stored = rebuilt(model), stored_rows(model)
        for key in sorted(told.keys() | stored.keys()):
            if told.get(key) != stored.get(key):
                yield Difference(model._meta.db_table, key, told.get(key), stored.get(key))
    for file in BatchFile.objects.iterator(chunk_size=1):
        if hashlib.sha256(bytes(file.content)).hexdigest() != file.checksum:
            yield Difference(BatchFile._meta.db_table, file.pk, {}, {"content": "another checksum"})


def rebuilt(model: type[models.Model]) -> Rows:
    """A table as the audit tells it."""
    rows: Rows = {}
    changes = AuditChange.objects.filter(relation=model._meta.db_table, event__isnull=False).order_by("event", "pk")
    fields = kept_fields(model)
    for key, written, number in changes.values_list("key", "written", "xid").iterator(ROWS_AT_ONCE):
        if written is None:
            rows.pop(key, None)
        else:
            rows.setdefault(key, {}).update(values_of(fields, written, number is not None))
    defaults = {name: default_of(each) for name, each in fields.items()}
    return {key: {**defaults, **row} for key, row in rows.items()}


def stored_rows(model: type[models.Model]) -> Rows:
    """A table as it is."""
    connection, table, fields = transaction.get_connection(), model._meta.db_table, kept_fields(model)
    found: Rows = {}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, {row_of(connection, cursor, table)} FROM {table}")
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            for key, text in rows:
                found[key] = values_of(fields, text, connection.vendor == "postgresql")
    return found


def kept_fields(model: type[models.Model]) -> Fields:
    left_out = LEFT_OUT.get(model._meta.db_table, ())
    return {str(each.column): each for each in model._meta.concrete_fields if each.column not in left_out}


def default_of(field: models.Field[Any, Any]) -> Any:
    """What older rows got when the column came to their table."""
    default = field.get_default() if field.has_default() else None if field.null else ""
    return canonical(default) if field.get_internal_type() == "JSONField" else default


def values_of(fields: Fields, text: str, on_postgresql: bool) -> dict[str, Any]:
    """A written row as plain values; SQLite keeps truth as a number, and a document or an instant as a text."""
    row = json.loads(text)
    return {name: value_of(fields[name], value, on_postgresql) for name, value in row.items() if name in fields}


def value_of(field: models.Field[Any, Any], value: Any, on_postgresql: bool) -> Any:
    if value is None:
        return None
    kind = field.get_internal_type()
    if kind == "BooleanField":
        return bool(value)
    if kind == "UUIDField":
        return UUID(value).hex
    if kind == "JSONField":
        return canonical(value if on_postgresql else json.loads(value))
    if kind == "DateTimeField":
        moment = parse_datetime(value)
        return make_aware(moment) if moment is not None and is_naive(moment) else moment
    return value
