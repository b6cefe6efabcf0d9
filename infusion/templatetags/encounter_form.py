"""Tags that draw one field of the encounter form, and its note."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.safestring import SafeString

from infusion.cautions import cautions_of
from infusion.forms.parts import Part
from infusion.forms.times import Echo
from infusion.models import Encounter

register = template.Library()

LIVE_DRUG = {
    "hx-trigger": "input delay:300ms consume",
    "hx-target": "#preview-body",
    "hx-include": "closest form",
    "hx-sync": "closest form:queue last",
}


@register.inclusion_tag("infusion/encounter/_field.html", takes_context=True)
def entry_field(context: dict[str, Any], part: Part, name: str) -> dict[str, Any]:
    """Label, control and note of a field."""
    return {
        **note_of(context, part.add_prefix(name)),
        **way_back(context),
        "label": part.fields[name].label,
        "control": control(context, part, name),
    }


@register.simple_tag(takes_context=True)
def control(context: dict[str, Any], part: Part, name: str, *, oob: bool = False) -> SafeString:
    """The input or select of a field; it takes the focus when a button asked for that."""
    full = part.add_prefix(name)
    attrs: dict[str, Any] = {"id": full}
    if full in context["errors"]:
        attrs["aria-invalid"] = "true"
    if context.get("focus") == full:
        attrs["autofocus"] = True
    if name == "drug":
        attrs |= {**LIVE_DRUG, f"hx-{context.get('form_method', 'get')}": context["form_url"]}
    if oob:
        attrs["hx-swap-oob"] = "true"
    return part.fields[name].widget.render(full, part.text(name), attrs)


@register.inclusion_tag("infusion/encounter/_task_note.html", takes_context=True)
def task_note(context: dict[str, Any], name: str) -> dict[str, Any]:
    """The note of a field whose label stands elsewhere."""
    return {**note_of(context, name), **way_back(context)}


@register.inclusion_tag("infusion/encounter/_notes.html", takes_context=True)
def entry_notes(context: dict[str, Any]) -> dict[str, Any]:
    """The notes of all fields, to be put in place beside what is being typed."""
    read_at = getattr(context["entry"], "read_at", {})
    notes = [{**note_of(context, name), "read_at": read_at.get(name, "")} for name in context["entry"].names]
    return {"notes": notes, **way_back(context)}


def way_back(context: dict[str, Any]) -> dict[str, Any]:
    """Where a button inside a note sends the form, and what its answer replaces."""
    return {name: context[name] for name in ("form_url", "form_method", "form_region") if name in context}


def note_of(context: dict[str, Any], full: str) -> dict[str, Any]:
    return {"name": full, "error": context["errors"].get(full, ""), "echo": context["entry"].echoes.get(full, Echo())}


@register.inclusion_tag("infusion/encounter/_cautions.html")
def label_cautions(encounter: Encounter) -> dict[str, Any]:
    """What the drug's label says about a stored encounter; nothing in it is to be pressed."""
    return {"cautions": cautions_of(encounter), "unlinked": True}


@register.filter
def under(mapping: dict[str, Any], key: str) -> Any:
    """The value of a key that a template holds in a variable."""
    return mapping.get(key)
