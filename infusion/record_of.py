"""Who read and who changed what is kept of one patient or one encounter, newest first, with each change in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.utils.dateparse import parse_date, parse_datetime

from infusion.audit import AuditEvent, Reading
from infusion.models import Authorization, BatchClaim, Clinic, Coverage, Encounter, Order, Patient, User
from payers.selectors import day_in_words

ON_A_PAGE = 50
MOST_PAGES = 400
MOST_DIFFERENCES = 12
LONGEST_VALUE = 120
PEOPLE = ("by", "recorded_by", "handed_over_by", "asked_by", "answered_by", "placed_by", "released_by", "ended_by")
# How a part of a document is called where its own name says it badly.
CALLED = {
    "administrations": "drug", "record": "", "entered_at": "entered", "client_id": "form", "ndc": "NDC",
    "entered": "when it was entered",
}  # fmt: skip
OPAQUE = re.compile(r"[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHOWN_OF_OPAQUE = 8
DONE = {
    "encounter.open": "Opened", "encounter.print": "Opened to print", "encounter.record": "Looked at this record",
    "patient.open": "Opened the patient", "patient.record": "Looked at the patient’s record",
    "coverage.open": "Opened a coverage", "authorization.open": "Opened an authorization",
    "order.open": "Opened the order",
    "encounter.list": "Listed the encounters",
    "batch.open": "Opened a batch with it", "batch.export": "Took out a file with it",
    "encounter.add": "Recorded the encounter", "encounter.save": "Changed the record",
    "encounter.hand_over": "Handed it to billing", "encounter.return": "Returned it to the nurse",
    "encounter.approve": "Approved it", "encounter.claim": "Said what its claim carries",
    "encounter.correct": "Took it up again to correct it", "encounter.void": "Made it void",
    "encounter.dose": "Confirmed the dose", "encounter.document": "Documented an item",
    "encounter.take_back": "Took the approval back", "encounter.demo": "Recorded the encounter",
    "tap.start": "Tapped Start", "tap.stop": "Tapped Stop", "tap.pause": "Tapped Pause", "tap.resume": "Tapped Resume",
    "tap.new_bag": "Tapped New bag", "tap.undo": "Took a tap back",
    "hold.place": "Put it on hold", "hold.release": "Released it", "skip.add": "Set a check aside",
    "skip.end": "Let a check count again",
    "order.place": "Placed the order", "order.begin": "Began the order", "order.cancel": "Took the order off the day",
    "patient.save": "Recorded the patient", "patient.correct": "Corrected the patient",
    "coverage.add": "Added a coverage", "coverage.change": "Changed a coverage",
    "authorization.add": "Added an authorization", "authorization.change": "Changed an authorization",
    "batch.make": "Put it in a batch", "batch.write": "Wrote the file of its batch",
    "claim.reference": "Recorded the payer’s number of its claim",
}  # fmt: skip
PAGES = {
    "encounter": "the encounter", "chair": "the chair page", "review": "the review", "approval": "an approval",
    "review-payers": "the payers side by side", "void": "the page to void it", "claim-facts": "who treated",
    "sheet": "the charge sheet", "claim-checklist": "the claim checklist", "coverage-add": "to add a coverage",
    "authorization-add": "to add an authorization", "export_claims": "on the command line",
    "api": "by its token", "api-lines": "its lines, by its token",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose doings are asked for, and on which day; neither is everyone, always."""

    person: User | None = None
    day: date | None = None
    page: int = 1


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of a document that became another."""

    what: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the record."""

    at: datetime
    who: str
    what: str
    is_reading: bool
    number: int
    why: str = ""
    differences: tuple[Difference, ...] = ()
    more: int = 0


def subjects_of_encounters(encounters: QuerySet[Encounter]) -> set[str]:
    """What rows about these encounters are filed under: themselves, their orders, batches and claims."""
    found = {str(each) for each in encounters.values_list("public_id", flat=True)}
    found |= {str(each) for each in Order.objects.filter(encounter__in=encounters).values_list("public_id", flat=True)}
    for batch, number in BatchClaim.objects.filter(encounter__in=encounters).values_list("batch__public_id", "number"):
        found |= {str(batch), number}
    return found


def subjects_of_patient(patient: Patient) -> set[str]:
    found = {str(patient.public_id), *subjects_of_encounters(Encounter.objects.filter(patient=patient))}
    rows: list[QuerySet[Any]] = [
        model._default_manager.filter(patient=patient) for model in (Coverage, Authorization, Order)
    ]
    for row in rows:
        found |= {str(each) for each in row.values_list("public_id", flat=True)}
    return found


def entries(clinic: Clinic, subjects: set[str], asked: Asked) -> tuple[list[Entry], bool]:
    """One page of the record, newest first, and whether there is another."""
    zone, many = ZoneInfo(clinic.time_zone), ON_A_PAGE * asked.page + 1
    events = _narrowed(AuditEvent.objects.all(), clinic, subjects, asked, zone)[:many]
    readings = _narrowed(Reading.objects.all(), clinic, subjects, asked, zone)[:many]
    both: list[AuditEvent | Reading] = sorted([*events, *readings], key=lambda row: (row.at, row.pk), reverse=True)
    shown = both[ON_A_PAGE * (asked.page - 1) : ON_A_PAGE * asked.page]
    names = _names(shown)
    return [_entry(row, zone, names) for row in shown], len(both) > ON_A_PAGE * asked.page


def _narrowed(rows: QuerySet[Any], clinic: Clinic, subjects: set[str], asked: Asked, zone: ZoneInfo) -> QuerySet[Any]:
    found = rows.filter(clinic_id=clinic.pk, subject_id__in=subjects).select_related("by").order_by("-at", "-pk")
    if asked.person is not None:
        found = found.filter(by=asked.person)
    if asked.day is not None:
        begin = datetime.combine(asked.day, time(), zone)
        found = found.filter(at__gte=begin, at__lt=datetime.combine(asked.day + timedelta(days=1), time(), zone))
    return found


def _entry(row: AuditEvent | Reading, zone: ZoneInfo, names: Mapping[int, str]) -> Entry:
    who = row.by.signature if row.by else "The program"
    what = DONE.get(row.action, row.action)
    if isinstance(row, Reading):
        page = PAGES.get((row.detail or {}).get("page", ""), "")
        return Entry(row.at, who, f"{what}: {page}" if page else what, True, row.sequence)
    found = list(differences(row.before, row.after, zone, names)) if row.before and row.after else []
    shown = tuple(found[:MOST_DIFFERENCES])
    return Entry(row.at, who, what, False, row.sequence, row.reason, shown, len(found) - len(shown))


def _names(rows: list[AuditEvent | Reading]) -> dict[int, str]:
    """Names of the people whom documents name by number."""
    wanted: set[int] = set()
    for row in rows:
        if isinstance(row, AuditEvent):
            for document in (row.before, row.after):
                parts = _parts(document or {})
                wanted |= {value for path, value in parts if path[-1] in PEOPLE and isinstance(value, int)}
    return {each.pk: each.signature for each in User.objects.filter(pk__in=wanted)}


# Words ----------------------------------------------------------------------------------------------------------------


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], zone: ZoneInfo, names: Mapping[int, str]
) -> Iterator[Difference]:
    """Each part that is otherwise, in words: "Drug 1, stop: nothing, now 11:30 on March 10, 2026"."""
    was, now = dict(_parts(before)), dict(_parts(after))
    for path in dict.fromkeys([*was, *now]):
        old, new = was.get(path), now.get(path)
        if old != new and path != ("version",):
            yield Difference(_label(path), _words(path, old, zone, names), _words(path, new, zone, names))


def _parts(document: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value in a document, with the way to it; an empty list or part has none."""
    if isinstance(document, Mapping):
        for name, value in document.items():
            yield from _parts(value, (*path, name))
    elif isinstance(document, list):
        for number, value in enumerate(document, start=1):
            yield from _parts(value, (*path, number))
    elif path:
        yield path, document


def _label(path: tuple[str | int, ...]) -> str:
    words: list[str] = []
    for part in path:
        if isinstance(part, int):
            words[-1:] = [f"{(words or [''])[-1].rstrip('s')} {part}".strip()]
        else:
            words.append(CALLED.get(part, part.replace("_", " ")))
    label = ", ".join(word for word in words if word)
    return label[:1].upper() + label[1:]


def _words(path: tuple[str | int, ...], value: Any, zone: ZoneInfo, names: Mapping[int, str]) -> str:
    if value in (None, ""):
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if path[-1] in PEOPLE and isinstance(value, int):
        return names.get(value, f"person {value}")
    text = str(value)
    if OPAQUE.fullmatch(text):
        return f"{text[:SHOWN_OF_OPAQUE]}…"
    if len(text) >= 19 and (moment := _moment(text)) is not None:
        local = moment.astimezone(zone) if moment.tzinfo else moment
        return f"{local:%H:%M} on {day_in_words(local.date())}"
    if len(text) == 10 and (day := _day(text)) is not None:
        return day_in_words(day)
    if path[-1] in ("state", "route", "setting"):
        text = text.replace("_", " ")
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _moment(text: str) -> datetime | None:
    try:
        return parse_datetime(text)
    except ValueError:
        return None


def _day(text: str) -> date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


def people_of(clinic: Clinic, subjects: set[str]) -> list[User]:
    """Everyone who is named in the record, to choose from."""
    named: set[int] = set()
    for model in (AuditEvent, Reading):
        rows: QuerySet[Any] = model._default_manager.filter(clinic_id=clinic.pk, subject_id__in=subjects)
        named |= set(rows.filter(by__isnull=False).order_by().values_list("by", flat=True).distinct())
    return list(User.objects.filter(pk__in=named).order_by("last_name", "username"))
