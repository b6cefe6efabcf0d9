"""Where everyone lands after signing in: the nurse's day, or the worklist of billing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from infusion.access import ADMIN, BILLING, NURSE, allow, roles_of
from infusion.models import Clinic, Encounter, Judgement, Question, SavedView, User
from infusion.reference_now import current_reference
from infusion.selectors import encounters_of
from infusion.services.reference import in_force
from infusion.services.words import counted
from infusion.views.few_words import ACKNOWLEDGED, LACKS
from infusion.worklist import (
    ALL,
    APPROVED,
    ASKED,
    BACK,
    BLOCKED,
    CLAIM,
    HELD,
    LABELS,
    NO_STOP,
    TODAY,
    WARNINGS,
    WITH_BILLING,
    Item,
    Listing,
    Pages,
    Worklist,
    listing_of,
    so_many,
)
from payers.models import Payer
from payers.selectors import day_in_words

State = Encounter.State
ROWS_ON_A_PAGE = 50
ROWS_LATELY = 10
DESK = (WITH_BILLING, WARNINGS, BLOCKED, CLAIM, HELD, ASKED, BACK, NO_STOP, APPROVED, ALL)
ONLY_IF_ANY = (BLOCKED, CLAIM, HELD)
SEARCHES = "searches"
"""Where a session keeps what someone searched for; it names patients, so no address does."""
EMPTY = {
    TODAY: "No infusion is recorded for today, and no older draft is unfinished.",
    WITH_BILLING: "Nothing waits for billing. What nurses hand over appears here.",
    WARNINGS: "No encounter that waits for billing has a warning.",
    BLOCKED: "No encounter that waits for billing is blocked.",
    CLAIM: "No encounter that waits for billing would be sent back as it is.",
    HELD: "Nothing is on hold.",
    ASKED: "No question is waiting for a nurse.",
    BACK: "No answered question is waiting for billing.",
    NO_STOP: "Every infusion has its stop time.",
    APPROVED: "Nothing is approved yet.",
    ALL: "No encounter is recorded yet.",
}
COLUMNS = (
    ("reference", "Patient reference"),
    ("", "Drug"),
    ("payer", "Payer"),
    ("date", "Date of service"),
    ("age", "With billing for"),
    ("findings", "State"),
)
FILTERS = {"payer": "Payer", "state": "State", "finding": "Finding", "drug": "Drug", "person": "Recorded by"}


@dataclass(frozen=True, slots=True)
class View:
    """One list in the strip above a worklist."""

    name: str
    label: str
    count: int | None
    here: bool

    @property
    def total(self) -> str:
        return "" if self.count is None else so_many(self.count)


@dataclass(frozen=True, slots=True)
class Sign:
    """A state as mark and word."""

    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """An encounter in a list, in words. `unfit` says why it cannot be approved from here."""

    encounter: Encounter
    address: str
    drugs: str
    state: Sign
    readiness: Sign | None
    lacking: str
    question: str
    held: str
    age: str
    lines: str
    unfit: str
    content: str


@dataclass(frozen=True, slots=True)
class Head:
    """A column's head: where a click on it leads, and how the list is sorted by it now."""

    label: str
    query: str
    direction: str


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is set, and the address without it."""

    label: str
    query: str


@dataclass(frozen=True, slots=True)
class Option:
    """A value that can be filtered by."""

    value: str
    label: str
    checked: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """A list under a name."""

    view: SavedView
    count: int
    mine: bool
    here: bool

    @property
    def total(self) -> str:
        return so_many(self.count)


@require_safe
@allow(NURSE, BILLING, ADMIN)
def encounters(request: HttpRequest) -> HttpResponse:
    """The person's own list, one page of it."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101  narrows the type; only a person with a clinic has a role
    worklist = worklist_of(user, request.session.get(SEARCHES))
    names = views_of(user)
    listing = listing_of(request.GET, names, worklist.today)
    found = worklist.encounters(listing)
    page = Pages(found.values_list("pk", flat=True), ROWS_ON_A_PAGE, request.GET.get("page")).page_asked_for
    shown = list(page.object_list)
    beside = [] if request.GET.get("view") or listing.is_filtered else list(latest_beside(worklist, shown))
    items = worklist.items([*shown, *beside])
    context = {
        "listing": listing,
        "name": listing.name,
        "heading": LABELS[listing.name] if len(names) == 1 or listing.name != ALL else "All encounters",
        "views": strip(worklist, names, listing.name),
        "page": page,
        "rows": [row_of(item, listing, roles_of(user), worklist.today) for item in items[: len(shown)]],
        "lately": [
            row_of(item, Listing(listing.name, {}), roles_of(user), worklist.today) for item in items[len(shown) :]
        ],
        "empty": EMPTY[listing.name] if not listing.is_filtered and not listing.search else NOTHING_MATCHES,
        "today": worklist.today,
        "nothing_selected": request.GET.get("said") == "nothing",
        "may_record": NURSE in roles_of(user),
        "without_stop": worklist.without_stop if NURSE in roles_of(user) else 0,
        **(desk_of(user, worklist, listing) if len(names) > 1 else {}),
    }
    return render(request, "infusion/home/page.html", context)


NOTHING_MATCHES = "Nothing matches. Take a filter off, or look in another list."


def desk_of(user: User, worklist: Worklist, listing: Listing) -> dict[str, object]:
    """What only billing's lists have: filters, saved lists, heads to sort by, and what can be done to many."""
    names = names_of(worklist)
    return {
        "desk": True,
        "may_approve": BILLING in roles_of(user),
        "heads": [Head(label, listing.sorted_by(key).query if key else "", listing.direction(key) if key else "")
                  for key, label in COLUMNS],
        "chips": chips_of(worklist, listing, names),
        "filters": filters_of(listing, names),
        "kept": kept_lists(user, worklist, listing),
        "searched": worklist.searches.get(listing.search, ""),
        "search_is_gone": bool(listing.search) and listing.search not in worklist.searches,
        "keys_on": user.single_keys,
    }  # fmt: skip


def latest_beside(worklist: Worklist, shown: list[int]) -> QuerySet[Encounter, int]:
    """The newest encounters that a home does not show already, whatever became of them."""
    others = encounters_of(worklist.clinic).exclude(pk__in=shown)
    return others.order_by("-pk").values_list("pk", flat=True)[:ROWS_LATELY]


def worklist_of(user: User, searches: Mapping[str, str] | None = None) -> Worklist:
    clinic = user.clinic
    assert clinic is not None  # noqa: S101  narrows the type; a role is only given with a clinic
    return Worklist(clinic, clinic_today(clinic), searches)


def clinic_today(clinic: Clinic) -> date:
    return timezone.now().astimezone(ZoneInfo(clinic.time_zone)).date()


def views_of(user: User) -> tuple[str, ...]:
    """The lists that a person may look at, the first one being where they land."""
    roles = roles_of(user)
    desk = DESK if roles & {BILLING, ADMIN} else ()
    return (TODAY, *desk) if NURSE in roles else desk


def strip(worklist: Worklist, names: tuple[str, ...], here: str) -> list[View]:
    """The lists with how many each has. Nothing for a single list, and no empty list of what should not be."""
    if len(names) == 1:
        return []
    counts = worklist.counts
    return [
        View(name, LABELS[name], counts.get(name), name == here)
        for name in names
        if name not in ONLY_IF_ANY or counts[name] or here == name
    ]


# Filters and lists under a name ---------------------------------------------------------------------------------------

Names = Mapping[str, Mapping[str, str]]


def chips_of(worklist: Worklist, listing: Listing, names: Names) -> list[Chip]:
    """Every filter that is set, in words, with the address without it."""
    chips = [
        Chip(f"{label}: {names[key].get(value, 'not known here')}", listing.without(key, value).query)
        for key, label in FILTERS.items()
        for value in listing.chosen.get(key, ())
    ]
    if listing.since:
        chips.append(Chip(f"From {day_in_words(listing.since)}", listing.without("from").query))
    if listing.until:
        chips.append(Chip(f"Until {day_in_words(listing.until)}", listing.without("until").query))
    if listing.hold:
        words = "On hold" if listing.hold == "yes" else "Not on hold"
        chips.append(Chip(words, listing.without("hold").query))
    if listing.search in worklist.searches:
        chips.append(Chip(f"Reference with {worklist.searches[listing.search]}", listing.without("search").query))
    return chips


def names_of(worklist: Worklist) -> Names:
    """Everything that can be filtered by, with its name."""
    people = User.objects.filter(clinic=worklist.clinic).order_by("last_name", "first_name", "username")
    return {
        "payer": dict(Payer.objects.values_list("slug", "name")),
        "state": {str(value): str(label) for value, label in State.choices},
        "finding": {code: finding_label(code) for code in worklist.codes_found},
        "drug": {code: f"{drug_name(code)}, {code}" for code in worklist.drugs_given},
        "person": {str(person.public_id): person.signature for person in people},
    }


def filters_of(listing: Listing, names: Names) -> list[tuple[str, str, list[Option]]]:
    """The filters that a list offers: what would change nothing in it is not among them."""
    return [
        (key, label, [Option(value, text, value in listing.chosen.get(key, ())) for value, text in names[key].items()])
        for key, label in FILTERS.items()
        if key != "state" or listing.name == ALL or listing.chosen.get("state")
    ]


def finding_label(code: str) -> str:
    """A finding in a few words: "Stop time missing", "the infusion stopped early"."""
    if code in LACKS:
        return f"Lacks {LACKS[code]}"
    words = ACKNOWLEDGED.get(code, (code.replace("_", " ").replace(".", ": "), ""))[0]
    return words[:1].upper() + words[1:]


def drug_name(code: str) -> str:
    rows = current_reference().drugs.get(code, ())
    return rows[-1].label if rows else "No drug of the table"


def kept_lists(user: User, worklist: Worklist, listing: Listing) -> list[Kept]:
    """One's own lists and those that colleagues share, each with how many encounters it has now."""
    views = list(views_for(user))
    listings = [listing_of_query(view.query, views_of(user)) for view in views]
    counts = worklist.numbers(listings)
    here = replace(listing, search="").query
    return [
        Kept(view, count, view.owner_id == user.pk, each.query == here)
        for view, each, count in zip(views, listings, counts, strict=True)
    ]


def views_for(user: User) -> QuerySet[SavedView]:
    """The saved lists that a person may open: their own, and those shared in their clinic."""
    mine = SavedView.objects.filter(clinic=user.clinic).filter(Q(owner=user) | Q(shared=True))
    return mine.select_related("owner")


def listing_of_query(query: str, names: tuple[str, ...]) -> Listing:
    return listing_of(QueryDict(query), names)


# Rows -----------------------------------------------------------------------------------------------------------------


def row_of(item: Item, listing: Listing | str, roles: frozenset[str], today: date | None = None) -> Row:
    encounter, question, hold = item.encounter, item.open_question, item.hold
    listing = Listing(listing, {}) if isinstance(listing, str) else listing
    draft = encounter.state == Encounter.State.DRAFT
    for_nurse = NURSE in roles and (listing.name == TODAY or draft)
    judgement = item.judgement
    codes = judgement.findings if judgement and draft else ()
    return Row(
        encounter=encounter,
        address=reverse("encounter", args=[encounter.public_id])
        if for_nurse
        else f"{reverse('review', args=[encounter.public_id])}?{listing.query}",
        drugs=drugs_of(encounter),
        state=state_of(encounter),
        readiness=None if for_nurse else readiness_of(item),
        lacking=", ".join(dict.fromkeys(LACKS[code] for code in codes if code in LACKS)),
        question=question_words(question, encounter) if question else "",
        held=hold.reason if hold else "",
        age=age_of(encounter, today),
        lines=lines_in_short(judgement) if judgement and not for_nurse else "",
        unfit=unfit_for_approval(item),
        content=judgement.content_hash if judgement else "",
    )


def age_of(encounter: Encounter, today: date | None) -> str:
    """For how many days an encounter has been with billing."""
    if encounter.state != State.WITH_BILLING or encounter.handed_over_at is None or today is None:
        return ""
    zone = ZoneInfo(encounter.clinic.time_zone)
    days = (today - encounter.handed_over_at.astimezone(zone).date()).days
    return counted(days, "day") if days > 0 else "Since today"


def lines_in_short(judgement: Judgement) -> str:
    """The service lines in one row: "96365, 96366 x 2, J2350 JZ x 600"."""
    return ", ".join(
        f"{' '.join((code, *modifiers))}{f' × {units}' if units != 1 else ''}"
        for code, modifiers, units in judgement.lines
    )


def unfit_for_approval(item: Item) -> str:
    """Why an encounter cannot be approved from a list, and what to do; empty when it can."""
    encounter, judgement, hold = item.encounter, item.judgement, item.hold
    if encounter.state == State.APPROVED:
        return "Approved already."
    if encounter.state == State.VOID:
        return "Void."
    if encounter.state == State.DRAFT:
        return "A draft, still with the nurse. Billing approves what was handed over."
    if hold is not None:
        return f"On hold: {hold.reason} Release it first."
    if judgement is None:
        return "Not judged yet. Load the list again."
    if judgement.errors:
        return "Blocked. Open it to see what is missing, and ask the nurse."
    if judgement.warnings:
        return f"Warnings to acknowledge: {judgement.warnings}. Open it, tick them and approve there."
    if judgement.claim_findings:
        return f"Claim checks that would send it back: {judgement.claim_findings}. Open it and see to them first."
    return ""


def state_of(encounter: Encounter) -> Sign:
    kinds = {State.DRAFT: "todo", State.WITH_BILLING: "sent", State.APPROVED: "ok", State.VOID: "todo"}
    return Sign(kinds[State(encounter.state)], encounter.get_state_display())


def readiness_of(item: Item) -> Sign | None:
    """Whether an encounter with billing can be approved as it is."""
    judgement = item.judgement
    if judgement is None or item.encounter.state != Encounter.State.WITH_BILLING:
        return None
    if item.hold is not None:
        return Sign("warn", "On hold")
    if judgement.errors:
        return Sign("bad", "Blocked")
    if judgement.warnings:
        return Sign("warn", counted(judgement.warnings, "warning"))
    if judgement.claim_findings:
        return Sign("warn", counted(judgement.claim_findings, "claim check"))
    return Sign("ok", "Ready")


def question_words(question: Question, encounter: Encounter) -> str:
    """What billing asks, after the drug it is about."""
    rows = [row for row in encounter.administrations.all() if row.position == question.administration]
    about = f"{drug_label(rows[0].route, rows[0].drug, encounter)}: " if rows else ""
    return about + question.text


def drugs_of(encounter: Encounter) -> str:
    """The names of what was given: "Ocrelizumab", "Natalizumab and 1 more"."""
    names = list(
        dict.fromkeys(drug_label(each.route, each.drug, encounter) for each in encounter.administrations.all())
    )
    if not names:
        return "No drug yet"
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def drug_label(route: str, code: str, encounter: Encounter) -> str:
    if route == "hydration":
        return "Hydration"
    rows = current_reference().drugs.get(code, ())
    row = in_force(rows, encounter.date_of_service) or (rows[-1] if rows else None)
    return row.label if row else code or "No drug yet"
