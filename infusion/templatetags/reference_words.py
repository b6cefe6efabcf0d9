"""Names out of the shipped tables, for pages that hold only a code or a source's key."""

from __future__ import annotations

from django import template

from infusion.reference_now import current_reference

register = template.Library()


@register.filter
def drug_name(code: str) -> str:
    """The name of a drug code, or the code itself where the tables do not know it."""
    rows = current_reference().drugs.get(code)
    return rows[-1].label if rows else code


@register.filter
def source_title(key: str) -> str:
    """The title of a source, or nothing for a key that is not in the tables."""
    source = current_reference().sources.get(key)
    return source.title if source else ""


@register.simple_tag
def drugs_by_name() -> list[tuple[str, str]]:
    """Name and code of every drug in the tables, by name."""
    return sorted((rows[-1].label, code) for code, rows in current_reference().drugs.items())
