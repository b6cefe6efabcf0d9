"""How many lines rest on a payer's rule, for the payer's pages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import template
from django.utils import timezone

from infusion.rule_use import lines_last_month

register = template.Library()


@register.simple_tag(takes_context=True)
def lines_resting_on(context: Any, override: UUID) -> int:
    """Lines of the last 30 days. The first rule of a page asks for all rules of its payer."""
    known = context.render_context.dicts[0].setdefault("rule_uses", {})
    slug = context["payer"].slug
    if slug not in known:
        clinic = context["request"].user.clinic
        known[slug] = lines_last_month(clinic, slug, timezone.localdate())
    return known[slug].get(override, 0)
