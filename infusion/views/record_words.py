"""What an encounter form holds, field by field in words: to be read, and to be compared with another one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import cast

from django import forms

from infusion.forms.encounter import DrugEntry
from infusion.forms.parts import Part
from infusion.forms.record import RecordEntry
from infusion.forms.times import Echo

PATIENT, DOCUMENTATION = "Patient", "Documentation"
ALWAYS_SAID = ("route", "setting")
"""Selects whose first choice is an answer like any other."""


@dataclass(frozen=True, slots=True)
class Said:
    """One field: its name in the form, the group and the label it stands under, and what it says."""

    name: str
    group: str
    label: str
    words: str


@dataclass(frozen=True, slots=True)
class Group:
    """The fields of one part of the encounter."""

    title: str
    rows: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that says one thing here and another there; nothing is said of an empty one."""

    name: str
    label: str
    mine: str
    theirs: str


def said_in(entry: RecordEntry) -> list[Said]:
    """Every field that says something, in the order of the page."""
    rows = []
    for part, group, before in _parts(entry):
        for name in part.fields:
            words = words_of(entry, part, name)
            if words:
                rows.append(Said(part.add_prefix(name), group, f"{before}{part.fields[name].label}", words))
    return rows


def groups_of(entry: RecordEntry) -> list[Group]:
    """The same, under its headings."""
    return [Group(title, tuple(rows)) for title, rows in groupby(said_in(entry), key=lambda row: row.group)]


def differences(mine: RecordEntry, theirs: RecordEntry) -> list[Difference]:
    """The fields in which two versions differ, in the order of the page."""
    ours, others = ({row.name: row for row in said_in(each)} for each in (mine, theirs))
    found = []
    for name in dict.fromkeys((*ours, *others)):
        here, there = ours.get(name), others.get(name)
        row = here or there
        if row and (here and here.words) != (there and there.words):
            label = f"{row.group}, {row.label}" if row.group.startswith("Drug") else row.label
            found.append(Difference(name, label, here.words if here else "", there.words if there else ""))
    return found


def words_of(entry: RecordEntry, part: Part, name: str) -> str:
    """What a field says, as it was understood; the typed text where it was not."""
    text, field = part.text(name), part.fields[name]
    if isinstance(field, forms.ChoiceField):
        text = text or part.default(name)
        if text == part.default(name) and name not in ALWAYS_SAID:
            return ""
        choices = dict(cast("list[tuple[str, str]]", field.choices))
        return str(choices.get(text, text))
    if not text:
        return ""
    if name == "diagnosis":
        return ", ".join(part.value(name) or (text,))
    echo = entry.echoes.get(part.add_prefix(name), Echo())
    return echo.text if echo.text and name != "drug" and name != "patient_reference" else text


def _parts(entry: RecordEntry) -> list[tuple[Part, str, str]]:
    """Every part with its heading and what stands before its labels."""
    parts: list[tuple[Part, str, str]] = [(entry.patient_form, PATIENT, ""), (entry.head, "Visit", "")]
    for drug in entry.given:
        parts.append((drug.form, drug.title, ""))
        parts += _rows_of(drug)
    return [*parts, (entry.documentation, DOCUMENTATION, "")]


def _rows_of(drug: DrugEntry) -> list[tuple[Part, str, str]]:
    rows: list[tuple[Part, str, str]] = [(pause.form, drug.title, f"Pause {pause.number}, ") for pause in drug.pauses]
    rows += [(row.form, drug.title, f"Size {row.number}, " if len(drug.vials) > 1 else "") for row in drug.vials]
    rows += [(row.form, drug.title, f"Discard {row.number}, ") for row in drug.discards]
    return rows
