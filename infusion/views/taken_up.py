"""What a person typed and did not save: offered when the form is opened again, and taken up again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from infusion.actions import OfPage, copy_stamp
from infusion.forms.structure import known_entries
from infusion.models import Clinic, Encounter, User, WorkingCopy
from infusion.selectors import copies_of
from payers.selectors import day_in_words

COPY, UNKEPT = "copy", "unkept"
PAGE, KNOWN, INSTEAD, TOLD = "page", "known_copy", "instead_of", "told"
"""What a page sends to keep what is typed: its name, the copy that it took up, one given up, one told of."""
MOST_OFFERED = 3


@dataclass(frozen=True, slots=True)
class Offer:
    """A copy that can be taken up again or thrown away."""

    client_id: UUID
    about: str
    when: str
    address: str
    stamp: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What the page says of keeping: when that was, or that it is not, as `other` is kept or the form is too long."""

    when: str = ""
    other: str = ""
    address: str = ""
    too_long: bool = False
    instead_of: UUID | None = None

    @property
    def is_kept(self) -> bool:
        return not self.other and not self.too_long


def page_of(request: HttpRequest) -> OfPage:
    """The page that a form was sent from."""
    name = uuid_of(request.POST.get(PAGE, ""))
    known = {request.POST.get(KNOWN, ""), request.POST.get(INSTEAD, "")} - {""}
    return OfPage(str(name) if name else "", frozenset(known))


def kept_otherwise(copy: WorkingCopy, stored: Encounter | None, clinic: Clinic) -> Kept:
    address = f"{address_of_form(stored)}?{COPY}={copy.client_id}"
    return Kept(when=when_kept(copy, clinic), other=copy_stamp(copy), address=address)


def kept_before(request: HttpRequest, stored: Encounter | None, client_id: UUID, page: OfPage, clinic: Clinic) -> Kept:
    """What a page says before it keeps anything itself: whether something else is kept of its form."""
    copy = WorkingCopy.objects.filter(person=cast(User, request.user), client_id=client_id).first()
    return kept_otherwise(copy, stored, clinic) if copy and not page.may_replace(copy) else Kept()


def address_of_form(stored: Encounter | None) -> str:
    return reverse("encounter", args=[stored.public_id]) if stored else reverse("encounter-new")


def taken_up(request: HttpRequest, stored: Encounter | None) -> WorkingCopy | None:
    """The person's own copy that the address asks for."""
    asked = uuid_of(request.GET.get(COPY, ""))
    copy = copies_of(cast(User, request.user), stored).filter(client_id=asked).first() if asked else None
    if copy is None:
        return None
    said = {str(name): str(text) for name, text in copy.entries.items()}
    copy.entries = known_entries(said.items(), said)
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
            stamp=copy_stamp(copy),
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
