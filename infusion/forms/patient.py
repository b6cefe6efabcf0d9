"""Who an encounter is about: the fields that name a patient."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from infusion.forms.fields import EntryField
from infusion.forms.parts import Part
from infusion.time_entry import EntryProblem, plain_text

OLDEST_BIRTH_YEAR = 1900
_ISO = re.compile(r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})")
_US = re.compile(r"(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<year>[0-9]{4})")


class WordsField(EntryField):
    """A few words of free text: nothing that cannot be seen, and not longer than what is kept."""

    def __init__(self, *, label: str, most: int, **kwargs: Any) -> None:
        self.most = most
        super().__init__(label=label, **kwargs)

    def read(self, text: str) -> str | EntryProblem | None:
        entry = " ".join(plain_text(text).split())
        if not entry:
            return None
        if not entry.isprintable():
            return EntryProblem("characters", f"{self.label}: this holds a character that cannot be seen. Retype it.")
        if len(entry) > self.most:
            return EntryProblem("long", f"{self.label}: only {self.most} characters are kept. Shorten it.")
        return entry


class BirthDateField(EntryField):
    """A date of birth, with all four digits of its year."""

    today: date = date.max

    def read(self, text: str) -> date | EntryProblem | None:
        entry = plain_text(text)
        if not entry:
            return None
        found = _ISO.fullmatch(entry) or _US.fullmatch(entry)
        if not found:
            return EntryProblem("date_shape", f"{self.label}: write it like 5/14/1986 or 1986-05-14.")
        try:
            day = date(int(found["year"]), int(found["month"]), int(found["day"]))
        except ValueError:
            return EntryProblem("date_missing", f"{self.label}: there is no such day as {entry}. Check it.")
        if day > self.today:
            return EntryProblem("date_future", f"{self.label}: {entry} is still to come. Check the year.")
        if day.year < OLDEST_BIRTH_YEAR:
            return EntryProblem("date_year", f"{self.label}: {day.year} is too long ago. Check the year.")
        return day


class PatientForm(Part):
    """The record number; name and birth date are only asked of someone who is new here."""

    patient_reference = WordsField(label="Patient reference", most=40)
    patient_name = WordsField(label="Patient name", most=120)
    birth_date = BirthDateField(label="Birth date")
