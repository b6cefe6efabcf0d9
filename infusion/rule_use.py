"""Which overrides approved lines rest on: counted when they are approved, read on the payer's pages."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, Sum

from infusion.models import Approval, Clinic, Encounter, RuleUse
from infusion.services.lines import Statement

A_MONTH = timedelta(days=30)


def rule_uses(approval: Approval, statement: Statement) -> list[RuleUse]:
    """One row for each override, with its lines."""
    lines: Counter[str] = Counter()
    for line in statement.lines:
        lines.update({why.reading.layer.override_id for why in line.because if why.reading} - {""})
    return [RuleUse(approval=approval, override=UUID(override), lines=count) for override, count in lines.items()]


def lines_last_month(clinic: Clinic, payer_slug: str, today: date) -> dict[UUID, int]:
    """Lines approved in the last 30 days, and approved still, by the payer's overrides that they rest on."""
    later = Approval.objects.filter(
        encounter=OuterRef("approval__encounter"), encounter_version__gt=OuterRef("approval__encounter_version")
    )
    rows = RuleUse.objects.filter(
        ~Exists(later),
        approval__encounter__state=Encounter.State.APPROVED,
        approval__encounter__clinic=clinic,
        approval__encounter__payer__slug=payer_slug,
        approval__approved_at__date__gt=today - A_MONTH,
    )
    return dict(rows.values_list("override").annotate(total=Sum("lines")))
