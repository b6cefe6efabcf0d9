"""What the reports read, added up by the database: nothing of a patient leaves it, and memory stays small.

Approved encounters are read from the statement that was approved. Nothing is calculated again, so a rule that changed
since changes no report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import TruncMonth

from infusion.late import LATE_AFTER
from infusion.models import Administration, Approval, Clinic, Discard, Encounter
from infusion.reports import Drugs, Stops, Units, Waits, Warned
from payers.models import Payer

State = Encounter.State
TIMED = ("iv_infusion", "hydration")
MONTH = TruncMonth("encounter__date_of_service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which encounters a report is about: one clinic's, by date of service, of one payer or drug or of all."""

    clinic: Clinic
    first: date
    last: date
    payer: Payer | None = None
    drug: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a database takes a JSON list in a text column apart: a row for each item, and a field of an item."""

    items: str
    text: str
    whole: str
    with_modifier: str


SQLITE = Dialect(
    items="json_each(a.statement, '$.{name}') item",
    text="json_extract(item.value, '$.{name}')",
    whole="json_extract(item.value, '$.{name}')",
    with_modifier="EXISTS (SELECT 1 FROM json_each(item.value, '$.modifiers') each WHERE each.value = %s)",
)
POSTGRESQL = Dialect(
    items="jsonb_array_elements(a.statement::jsonb -> '{name}') item(value)",
    text="item.value ->> '{name}'",
    whole="(item.value ->> '{name}')::bigint",
    with_modifier="jsonb_exists(item.value -> 'modifiers', %s)",
)


def encounters(asked: Asked) -> QuerySet[Encounter]:
    """The encounters of a report, those that were voided left out."""
    rows = Encounter.objects.filter(clinic=asked.clinic, date_of_service__range=(asked.first, asked.last))
    rows = rows.exclude(state=State.VOID)
    if asked.payer is not None:
        rows = rows.filter(payer=asked.payer)
    if asked.drug:
        given = Administration.objects.filter(encounter=OuterRef("pk"), drug=asked.drug)
        rows = rows.filter(Exists(given))
    return rows


def approvals(asked: Asked) -> QuerySet[Approval]:
    """What stands approved now: of each approved encounter its newest approval."""
    newer = Approval.objects.filter(
        encounter=OuterRef("encounter"), encounter_version__gt=OuterRef("encounter_version")
    )  # fmt: skip
    return Approval.objects.filter(~Exists(newer), encounter__in=encounters(asked).filter(state=State.APPROVED))


def drugs(asked: Asked) -> Drugs:
    """Units and discarded milligrams by drug, payer and month."""
    dialect = dialect_here()
    code, units = dialect.text.format(name="code"), dialect.whole.format(name="units")
    only = f"AND {code} = %s" if asked.drug else ""
    source, given = items_of(asked, "lines")
    rows = fetched(
        f"SELECT a.month, a.payer, {code}, SUM({units}), "
        f"SUM(CASE WHEN {dialect.with_modifier} THEN {units} ELSE 0 END) {source} "
        f"WHERE {dialect.text.format(name='kind')} = 'drug' {only} GROUP BY 1, 2, 3",
        ["JW", *given, *([asked.drug] if asked.drug else [])],
    )
    names = dict(Payer.objects.values_list("pk", "name"))
    discarded: dict[tuple[date, str, str], Decimal] = {}
    for month, payer, drug, amount in discards(asked):
        discarded[month, names[payer], drug] = amount
    return Drugs(
        tuple(
            Units(day(month), names[payer], code, int(total), int(waste)) for month, payer, code, total, waste in rows
        ),
        discarded,
    )


def discards(asked: Asked) -> QuerySet[Discard, tuple[date, int, str, Decimal]]:
    """Discarded milligrams of approved encounters as they were recorded, whatever the reason."""
    rows = Discard.objects.filter(
        administration__encounter__in=encounters(asked).filter(state=State.APPROVED), administration__drug__gt=""
    )
    if asked.drug:
        rows = rows.filter(administration__drug=asked.drug)
    return (
        rows.annotate(month=TruncMonth("administration__encounter__date_of_service"))
        .values_list("month", "administration__encounter__payer", "administration__drug")
        .annotate(total=Sum("amount"))
        .order_by()
    )


def stops(asked: Asked) -> tuple[Stops, ...]:
    """Infusions that began, those without a stop, and those whose stop was entered more than two hours late."""
    rows = Administration.objects.filter(
        encounter__in=encounters(asked), route__in=TIMED, started_at__isnull=False
    )  # fmt: skip
    if asked.drug:
        rows = rows.filter(drug=asked.drug)
    late = Q(stopped_entered_at__gt=F("stopped_at") + LATE_AFTER)
    found = (
        rows.annotate(month=MONTH)
        .values_list("month")
        .annotate(
            infusions=Count("pk"),
            missing=Count("pk", filter=Q(stopped_at__isnull=True)),
            late=Count("pk", filter=late),
        )
        .order_by("month")
    )
    return tuple(Stops(*row) for row in found)


def warned(asked: Asked) -> Warned:
    """How many approved encounters there were each month, and how many of them carried which warning."""
    dialect = dialect_here()
    total = approvals(asked).annotate(month=MONTH).values_list("month").annotate(count=Count("pk")).order_by()
    source, given = items_of(asked, "findings")
    # Taken apart once, and counted twice: by warning, and whichever it was.
    sql = (
        f"WITH w AS MATERIALIZED (SELECT DISTINCT a.month, a.id, {dialect.text.format(name='code')} AS code {source} "  # noqa: S608
        f"WHERE {dialect.text.format(name='severity')} = 'warning') "
        "SELECT month, code, COUNT(*) FROM w GROUP BY month, code "
        "UNION ALL SELECT month, '', COUNT(DISTINCT id) FROM w GROUP BY month"
    )
    codes: dict[str, dict[date, int]] = {}
    for month, code, count in fetched(sql, given):
        codes.setdefault(code, {})[day(month)] = int(count)
    some = codes.pop("", {})
    return Warned(dict(total), some, codes)


def waits(asked: Asked) -> Waits:
    """Minutes from an encounter's last stop to its first approval, by the month of service."""
    rows = (
        encounters(asked)
        .annotate(stopped=Max("administrations__stopped_at"), approved=Min("approvals__approved_at"))
        .filter(stopped__isnull=False, approved__isnull=False)
        .annotate(month=TruncMonth("date_of_service"))
        .values_list("month", "stopped", "approved")
        .order_by()
    )
    minutes: dict[date, list[int]] = {}
    for month, stopped, approved in rows.iterator():
        minutes.setdefault(month, []).append(minutes_between(stopped, approved))
    return Waits(minutes)


def minutes_between(stopped: datetime, approved: datetime) -> int:
    """Whole minutes; an approval of a stop that lies ahead of it has not waited."""
    return max(0, (approved - stopped) // timedelta(minutes=1))


# Statements, taken apart where they lie ------------------------------------------------------------------------------


def dialect_here() -> Dialect:
    return SQLITE if connection.vendor == "sqlite" else POSTGRESQL


def items_of(asked: Asked, name: str) -> tuple[str, list[Any]]:
    """The items of a list in each approved statement, as `a` with its month and payer and `item`, and the parameters.

    Only names written in this module go into the text; every value is a parameter.
    """
    stored = approvals(asked).annotate(month=MONTH, payer=F("encounter__payer_id"))
    inner, given = stored.values("id", "statement", "month", "payer").query.sql_with_params()
    return f"FROM ({inner}) a, {dialect_here().items.format(name=name)}", list(given)


def fetched(sql: str, given: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return cursor.fetchall()


def day(value: datetime | date | str) -> date:
    """The first day of a month, as SQLite hands it over, a text, or as PostgreSQL does, its first instant."""
    if isinstance(value, str):
        return date.fromisoformat(value[:10])
    return value.date() if isinstance(value, datetime) else value
