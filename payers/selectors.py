"""Reads: a payer's override rows -> the layers of its policy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from django.db.models import Q, QuerySet

from payers.models import Payer, PolicyOverride
from payers.policy import PARAMETERS, Layer, PayerPolicy, Scope, national_baseline


def overrides_known(payer: Payer, at: datetime | None = None) -> QuerySet[PolicyOverride]:
    """The rows, drafts among them, that are current knowledge, or that were at an instant."""
    rows = PolicyOverride.objects.filter(payer=payer)
    if at is None:
        return rows.filter(known_until__isnull=True)
    return rows.filter(Q(known_until__isnull=True) | Q(known_until__gt=at), known_from__lte=at)


def policy_for(payer: Payer, known_at: datetime | None = None) -> PayerPolicy:
    """The payer's published rules over the national baseline. Drafts are never among them."""
    rows = overrides_known(payer, known_at).exclude(status=PolicyOverride.Status.DRAFT)
    return national_baseline().with_layers(layers_of(payer, rows))


def layers_of(payer: Payer, rows: Iterable[PolicyOverride]) -> list[Layer]:
    """One layer for each row."""
    return [
        Layer(
            name=payer.name,
            values={row.parameter: PARAMETERS[row.parameter].clean(row.value)},
            scope=Scope(setting=row.setting, drug=row.drug),
            source=citation(row),
            status="verified" if row.status == PolicyOverride.Status.VERIFIED else "unverified",
            effective_from=row.effective_from,
            effective_until=row.effective_until,
            override_id=str(row.public_id),
        )
        for row in rows
    ]


def citation(row: PolicyOverride) -> str:
    """Where an override says it comes from: "Payer summary 001, read January 12, 2026"."""
    return f"{row.source_document}, read {day_in_words(row.source_read_on)}"


def day_in_words(day: date) -> str:
    """
    >>> day_in_words(date(2026, 3, 10))
    'March 10, 2026'
    """
    return f"{day:%B} {day.day}, {day.year}"


def overlapping(row: PolicyOverride) -> PolicyOverride | None:
    """A published, currently known row of the same scope that shares a day with this one, or None."""
    last_day = row.effective_until or date.max
    return (
        overrides_known(row.payer)
        .exclude(status=PolicyOverride.Status.DRAFT)
        .exclude(thread=row.thread)
        .filter(parameter=row.parameter, setting=row.setting, drug=row.drug, effective_from__lte=last_day)
        .filter(Q(effective_until__isnull=True) | Q(effective_until__gte=row.effective_from))
        .first()
    )
