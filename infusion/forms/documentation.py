"""The fields of the documentation checklist, and the reasons for a time that was entered late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from infusion.documentation import FIELD_PREFIX, LONGEST_ANSWER, Item
from infusion.forms.parts import Part
from infusion.forms.patient import WordsField

LATE_REASONS = {
    "": "Choose why",
    "Downtime": "Downtime",
    "Patient care first": "Patient care first",
    "Forgotten": "Forgotten",
    "Other": "Other",
}


class DocumentationForm(Part):
    """One line of text for each item that is answered in words."""

    def __init__(self, entries: Mapping[str, str], items: Iterable[Item]) -> None:
        super().__init__(entries)
        for item in items:
            if not item.derived:
                name = item.form_name
                field = WordsField(label=item.label, most=LONGEST_ANSWER)
                field.widget.attrs["aria-describedby"] = f"task-{item.key}-words {name}-note"
                self.fields[name] = field

    @property
    def answers(self) -> dict[str, str]:
        """What each field says, by item; an unread one says what was typed."""
        return {name.removeprefix(FIELD_PREFIX): self.value(name) or "" for name in self.fields}
