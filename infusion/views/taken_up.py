"""What a person typed and did not save: offered when the form is opened again, and taken up again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from infusion.forms.structure import TooMuch, known_entries
from infusion.models import Clinic, Encounter, User, WorkingCopy
from infusion.selectors import copies_of
from payers.selectors import day_in_words

COPY = "copy"
MOST_OFFERED = 3


@dataclass(frozen=True, slots=True)
class Offer:
    """A copy that can be taken up again or thrown away."""

    client_id: UUID
    about: str
    when: str
    address: str


def address_of_form(stored: Encounter | None) -> str:
    return reverse("encounter", args=[stored.public_id]) if stored else reverse("encounter-new")


def taken_up(request: HttpRequest, stored: Encounter | None) -> WorkingCopy | None:
    """The person's own copy that the address asks for."""
    asked = uuid_of(request.GET.get(COPY, ""))
    copy = copies_of(cast(User, request.user), stored).filter(client_id=asked).first() if asked else None
    if copy is None:
        return None
    try:
        copy.entries = known_entries((str(name), str(text)) for name, text in copy.entries.items())
    except TooMuch:
        return None
    return copy


def offers(request: HttpRequest, stored: Encounter | None, clinic: Clinic) -> list[Offer]:
    """The copies that are not open here."""
    found, here = copies_of(cast(User, request.user), stored), uuid_of(request.GET.get(COPY, ""))
    if here is not None:
        found = found.exclude(client_id=here)
    return [
        Offer(
            client_id=copy.client_id,
            about="" if stored else str(copy.entries.get("patient_reference", "")).strip(),
            when=when_kept(copy, clinic),
            address=f"{address_of_form(stored)}?{COPY}={copy.client_id}",
        )
        for copy in found[:MOST_OFFERED]
    ]


def when_kept(copy: WorkingCopy, clinic: Clinic) -> str:
    """When something was kept, with its day before today: ``at 11:16``."""
    zone = ZoneInfo(clinic.time_zone)
    at, today = copy.kept_at.astimezone(zone), timezone.now().astimezone(zone).date()
    return f"at {at:%H:%M}" if at.date() == today else f"on {day_in_words(at.date())} at {at:%H:%M}"


def uuid_of(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
