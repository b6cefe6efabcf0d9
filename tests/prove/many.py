"""A hundred thousand encounters in seconds, at any state of the tables: the rows that are there, over and over.

For measuring what copies, moves and migrates. Each copy has numbers and ids of its own, and an event in the audit.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import connection, models, transaction

from infusion import audit

COPIED = ("patient", "encounter", "administration", "pause", "vial", "discard", "judgement", "approval")
AT_ONCE = 10_000
SERIES = "WITH RECURSIVE n(k) AS (SELECT %s UNION ALL SELECT k + 1 FROM n WHERE k < %s)"


def multiply(until: int, registry: Any = apps) -> int:
    """Copy what belongs to encounters until there are so many. How many there are."""
    copied = [registry.get_model("infusion", name) for name in COPIED]
    encounters = registry.get_model("infusion", "encounter")
    base = encounters.objects.count()
    times = -(-until // base)
    step = 1 + max(model.objects.aggregate(last=models.Max("pk"))["last"] or 0 for model in copied)
    last = {model: model.objects.aggregate(last=models.Max("pk"))["last"] or 0 for model in copied}
    at_once = max(1, AT_ONCE // base)
    for first in range(1, times, at_once):
        with transaction.atomic(), connection.cursor() as cursor:
            for model in copied:
                cursor.execute(copying(model, copied, step), [first, min(first + at_once, times) - 1, last[model]])
            told(registry, base * min(at_once, times - first))
    with connection.cursor() as cursor:
        for sql in connection.ops.sequence_reset_sql(no_style(), copied):
            cursor.execute(sql)
    return int(encounters.objects.count())


def copying(model: Any, copied: list[Any], step: int) -> str:
    quote = connection.ops.quote_name
    columns, values = [], []
    for field in model._meta.concrete_fields:
        column = quote(field.column)
        columns.append(column)
        if field.primary_key or field.related_model in copied:
            values.append(f"t.{column} + n.k * {step}")
        elif isinstance(field, models.UUIDField) and not field.is_relation:
            values.append("lower(hex(randomblob(16)))" if connection.vendor == "sqlite" else "gen_random_uuid()")
        elif field.name == "reference":
            values.append(f"t.{column} || '-' || n.k")
        else:
            values.append(f"t.{column}")
    table = quote(model._meta.db_table)
    return (
        f"{SERIES} INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} t, n "
        f"WHERE t.{quote(model._meta.pk.column)} <= %s"
    )


def told(registry: Any, count: int) -> None:
    """An event for each, linked into the chain, in the columns that the audit has at this state."""
    events, heads = registry.get_model("infusion", "auditevent"), registry.get_model("infusion", "audithead")
    if registry is apps:
        audit.record("demo.many", by=None, subject="clinic", subject_id=1, before=None, after={"encounters": count})
    head, rows = heads.objects.get(pk=1), []
    at = events.objects.order_by("-sequence").values_list("at", flat=True)[0]
    names = [field.attname for field in events._meta.concrete_fields if not field.primary_key]
    for _ in range(count):
        event = audit.AuditEvent(
            sequence=head.sequence + 1, at=at, by_name="", action="encounter.demo", subject="encounter",
            subject_id=str(head.sequence), before=None, after={"state": "approved"}, previous_hash=head.hash,
        )  # fmt: skip
        event.hash = event.expected_hash()
        head.sequence, head.hash = event.sequence, event.hash
        rows.append(events(**{name: getattr(event, name) for name in names}))
    events.objects.bulk_create(rows, batch_size=2000)
    head.save()
