"""Lists of encounters: which one someone looks at, what it is narrowed to, its order, and who stands beside whom.

A listing is all that an address says: names of lists, opaque ids, dates. What names a patient is never part of it; a
search by patient reference is kept with the session, and the address only says which one.

How ready each encounter is comes from the judgements, which are brought up to date before anything is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from urllib.parse import urlencode
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import Exists, F, IntegerField, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.expressions import OrderBy
from django.http import QueryDict

from infusion import judgements
from infusion.models import Administration, Clinic, Encounter, Hold, Judgement, Question
from infusion.selectors import encounters_of, todays_encounters
from infusion.time_entry import read_date
from payers.policy import PayerPolicy

State = Encounter.State

TODAY, WITH_BILLING, WARNINGS, BLOCKED = "today", "with-billing", "warnings", "blocked"
CLAIM, HELD = "claim-checks", "held"
ASKED, BACK, NO_STOP, APPROVED, ALL = "asked", "back", "no-stop", "approved", "all"
LABELS = {
    TODAY: "Today",
    WITH_BILLING: "With billing",
    WARNINGS: "Warnings",
    BLOCKED: "Blocked",
    CLAIM: "Claim checks",
    HELD: "On hold",
    ASKED: "Asked the nurse",
    BACK: "Back from nurse",
    NO_STOP: "No stop time",
    APPROVED: "Approved",
    ALL: "All",
}
# The others are work to be done, and work is done from the oldest on.
NEWEST_FIRST = (TODAY, APPROVED, ALL)
FILM_LENGTH = 5
# Further than this nobody needs a number, and none of the many that were approved over the years is counted for one.
MOST_COUNTED = 1_000
# Nor does anyone walk further than this from one encounter to the next.
MOST_PLACED = 10_000

# What a column may be sorted by. Nothing else ever reaches the ORDER BY.
SORTS: Mapping[str, tuple[str, ...]] = {
    "date": ("date_of_service",),
    "reference": ("patient__reference",),
    "payer": ("payer__name",),
    "age": ("-handed_over_at",),
    "findings": ("judgement__errors", "judgement__warnings", "judgement__claim_findings"),
}
HOLDS = ("yes", "no")
SHAPES = {
    "payer": re.compile(r"[-a-z0-9_]{1,40}"),
    "state": re.compile(r"draft|with_billing|approved|void"),
    "finding": re.compile(r"[a-z_]{1,30}\.[a-z_]{1,30}"),
    "drug": re.compile(r"[A-Z0-9]{1,10}"),
    "person": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
}
MOST_VALUES = 30


@dataclass(frozen=True, slots=True)
class Listing:
    """What an address asks for. `chosen` are the filters' values by name; `unread` says that something was not one."""

    name: str
    chosen: Mapping[str, tuple[str, ...]]
    since: date | None = None
    until: date | None = None
    hold: str = ""
    sort: str = ""
    search: str = ""
    unread: bool = False

    @property
    def is_filtered(self) -> bool:
        return bool(any(self.chosen.values()) or self.since or self.until or self.hold)

    @property
    def query(self) -> str:
        """The listing as an address says it, with one spelling for one listing."""
        said: list[tuple[str, str]] = [("view", self.name)]
        said += [(name, value) for name in SHAPES for value in self.chosen.get(name, ())]
        for name, value in (("from", self.since), ("until", self.until)):
            said += [(name, value.isoformat())] if value else []
        said += [(name, text) for name, text in self._texts() if text]
        return urlencode(said)

    def _texts(self) -> tuple[tuple[str, str], ...]:
        return ("hold", self.hold), ("sort", self.sort), ("search", self.search)

    def without(self, name: str, value: str = "") -> Listing:
        """The same listing with one filter value taken off."""
        if name in SHAPES:
            left = tuple(each for each in self.chosen.get(name, ()) if each != value)
            return replace(self, chosen={**self.chosen, name: left})
        empty = {"from": {"since": None}, "until": {"until": None}, "hold": {"hold": ""}, "search": {"search": ""}}
        return replace(self, **empty[name])  # type: ignore[arg-type]

    def unfiltered(self) -> Listing:
        return Listing(self.name, {}, sort=self.sort)

    def sorted_by(self, column: str) -> Listing:
        """The same listing by a column: a second click turns it around, a third one takes it off."""
        following = {column: f"-{column}", f"-{column}": ""}
        return replace(self, sort=following.get(self.sort, column))

    def direction(self, column: str) -> str:
        """How a column is sorted, as `aria-sort` says it."""
        return {column: "ascending", f"-{column}": "descending"}.get(self.sort, "")


def listing_of(asked: QueryDict, names: Sequence[str], today: date = date.min) -> Listing:
    """The listing of an address. What is not understood is left out, and the listing says so."""
    name = asked.get("view", "")
    found = {key: tuple(dict.fromkeys(value for value in asked.getlist(key) if value)) for key in SHAPES}
    chosen = {
        key: tuple(value for value in values if SHAPES[key].fullmatch(value))[:MOST_VALUES]
        for key, values in found.items()
    }
    since, until = _day(asked.get("from", ""), today), _day(asked.get("until", ""), today)
    sort, hold, search = asked.get("sort", ""), asked.get("hold", ""), asked.get("search", "")
    understood = (
        chosen == found,
        name in ("", *names),
        (since is None) == (not asked.get("from")),
        (until is None) == (not asked.get("until")),
        not hold or hold in HOLDS,
        not sort or sort.removeprefix("-") in SORTS,
    )
    return Listing(
        name=name if name in names else names[0],
        chosen=chosen,
        since=since,
        until=until,
        hold=hold if hold in HOLDS else "",
        sort=sort if sort.removeprefix("-") in SORTS else "",
        search=search if re.fullmatch(r"[0-9a-f]{1,16}", search) else "",
        unread=not all(understood),
    )


def _day(text: str, today: date) -> date | None:
    found = read_date(text, today)
    return found if isinstance(found, date) else None


class CountedRows(Subquery):
    """How many rows a query has; one that is cut off is counted no further."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()


class Pages(Paginator[int]):
    """A list in pages, counted from the page that is asked for no further than `MOST_COUNTED` rows on."""

    def __init__(self, rows: QuerySet[Encounter, int], on_a_page: int, asked: str | None) -> None:
        super().__init__(rows, on_a_page)
        self.rows = rows
        self.asked = int(asked[:9]) if asked and asked.isdecimal() else 1
        self.counted_to = self.asked * on_a_page + MOST_COUNTED

    @cached_property
    def count(self) -> int:
        return self.rows[: self.counted_to + 1].count()

    @property
    def page_asked_for(self) -> Page[int]:
        """That page, or the last one before it."""
        return self.get_page(self.asked)

    @property
    def all_counted(self) -> bool:
        return self.count <= self.counted_to

    @property
    def total(self) -> str:
        return so_many(self.count, self.counted_to)


def so_many(count: int, most: int | None = None) -> str:
    """A count in words, where nothing was counted further than one beyond `most` rows, by default `MOST_COUNTED`."""
    most = MOST_COUNTED if most is None else most
    return f"{most:,}+" if count > most else f"{count:,}"


@dataclass(frozen=True, slots=True)
class Item:
    """An encounter in a list, with how ready it is; what is approved or void has nothing left to be ready for."""

    encounter: Encounter

    @property
    def judgement(self) -> Judgement | None:
        return getattr(self.encounter, "judgement", None)

    @property
    def open_question(self) -> Question | None:
        """What billing asked and nobody has answered yet."""
        return next((each for each in self.encounter.questions.all() if each.answered_at is None), None)

    @property
    def hold(self) -> Hold | None:
        return next((each for each in self.encounter.holds.all() if each.released_at is None), None)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an encounter stands in a list: `number` of `total`, None when it is no longer in it, or too far along."""

    number: int | None
    total: int
    previous: UUID | None
    next: UUID | None
    film: tuple[int, ...]

    @property
    def total_words(self) -> str:
        return so_many(self.total, MOST_PLACED)


class Worklist:
    """The lists of one clinic on one day. `searches` are the texts that a listing's `search` stands for."""

    def __init__(self, clinic: Clinic, today: date, searches: Mapping[str, str] | None = None) -> None:
        self.clinic = clinic
        self.today = today
        self.searches = searches or {}
        self.refreshed = judgements.refresh(clinic, self.policies)

    @cached_property
    def policies(self) -> Mapping[int, PayerPolicy]:
        """The published rules of every payer that departs from the baseline, in one query."""
        return judgements.policies_of_payers()

    # What is in a list ------------------------------------------------------------------------------------------------

    @cached_property
    def _conditions(self) -> dict[str, Q]:
        """The lists by what the rows say. A subquery without the outer row is read once, not for each encounter."""
        unstopped = Administration.objects.filter(
            encounter=OuterRef("pk"), route__in=("iv_infusion", "hydration"), stopped_at__isnull=True
        )
        asked = Question.objects.filter(encounter__clinic=self.clinic)
        waiting = Q(state=State.WITH_BILLING)
        return {
            WITH_BILLING: waiting,
            WARNINGS: waiting & Q(judgement__warnings__gt=0),
            BLOCKED: waiting & Q(judgement__errors__gt=0),
            CLAIM: waiting & Q(judgement__claim_findings__gt=0),
            HELD: ~Q(state=State.VOID) & self._is_held,
            ASKED: Q(state=State.DRAFT) & Q(pk__in=asked.filter(answered_at__isnull=True).values("encounter")),
            BACK: waiting & Q(pk__in=asked.values("encounter")),
            NO_STOP: Q(state__in=judgements.JUDGED) & Q(Exists(unstopped)),
            APPROVED: Q(state=State.APPROVED),
            ALL: Q(),
        }

    @property
    def _is_held(self) -> Q:
        return Q(pk__in=Hold.objects.filter(released_at__isnull=True).values("encounter"))

    def condition(self, listing: Listing) -> Q:
        """All that a listing asks for. A search looks through every encounter, in whichever list someone was."""
        condition = self._conditions[listing.name] if listing.name != TODAY else Q()
        fields = {"payer": "payer__slug", "state": "state", "person": "recorded_by__public_id"}
        for name, field in fields.items():
            if listing.chosen.get(name):
                condition &= Q(**{f"{field}__in": listing.chosen[name]})
        if listing.chosen.get("drug"):
            given = Administration.objects.filter(drug__in=listing.chosen["drug"], encounter__clinic=self.clinic)
            condition &= Q(pk__in=given.values("encounter"))
        if listing.chosen.get("finding"):
            condition &= _any(Q(judgement__findings__icontains=f'"{code}"') for code in listing.chosen["finding"])
        if listing.since:
            condition &= Q(date_of_service__gte=listing.since)
        if listing.until:
            condition &= Q(date_of_service__lte=listing.until)
        if listing.hold:
            condition &= self._is_held if listing.hold == "yes" else ~self._is_held
        if listing.search in self.searches:
            condition &= Q(patient__reference__icontains=self.searches[listing.search])
        return condition

    def encounters(self, listing: Listing) -> QuerySet[Encounter]:
        """The encounters of a listing in its order."""
        mine = todays_encounters(self.clinic, self.today) if listing.name == TODAY else self._mine
        return mine.filter(self.condition(listing)).order_by(*order_of(listing))

    @property
    def _mine(self) -> QuerySet[Encounter]:
        return Encounter.objects.filter(clinic=self.clinic)

    def numbers(self, listings: Collection[Listing]) -> list[int]:
        """How many encounters each of some listings has, in one query; no further than one beyond `MOST_COUNTED`."""
        if not listings:
            return []
        rows = [self.encounters(each).order_by().values("pk")[: MOST_COUNTED + 1] for each in listings]
        counted = {f"n{n}": CountedRows(each) for n, each in enumerate(rows)}
        return list(Clinic.objects.filter(pk=self.clinic.pk).annotate(**counted).values_list(*counted).get())

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many encounters each list has."""
        return dict(zip(self._conditions, self.numbers([Listing(name, {}) for name in self._conditions]), strict=True))

    @property
    def without_stop(self) -> int:
        """How many infusions have started, and nobody has said when they stopped."""
        started = Administration.objects.filter(
            encounter=OuterRef("pk"), route__in=("iv_infusion", "hydration"),
            started_at__isnull=False, stopped_at__isnull=True,
        )  # fmt: skip
        return self._mine.filter(Q(Exists(started)), state=State.DRAFT).count()

    # What can be asked for --------------------------------------------------------------------------------------------

    @cached_property
    def codes_found(self) -> list[str]:
        """The findings that encounters of the clinic have now, by the oldest of them where they are very many."""
        waiting = self._mine.filter(state__in=judgements.JUDGED).order_by("date_of_service").values("pk")
        kept = Judgement.objects.filter(encounter__in=waiting[:MOST_COUNTED])
        return sorted({code for codes in kept.values_list("findings", flat=True).distinct() for code in codes})

    @cached_property
    def drugs_given(self) -> list[str]:
        """The codes of the drugs that the clinic gave lately."""
        lately = self._mine.order_by("-date_of_service").values("pk")[:MOST_COUNTED]
        given = Administration.objects.filter(encounter__in=lately).exclude(drug="")
        return sorted(given.order_by().values_list("drug", flat=True).distinct())

    # Rows and neighbours ----------------------------------------------------------------------------------------------

    def items(self, encounters: Iterable[int]) -> list[Item]:
        """The encounters of these rows, in their order, with what a list shows."""
        order = {pk: position for position, pk in enumerate(encounters)}
        found = (
            encounters_of(self.clinic)
            .filter(pk__in=order)
            .select_related("judgement", "clinic")
            .prefetch_related(
                Prefetch("administrations", Administration.objects.only("encounter", "position", "drug", "route")),
                Prefetch("questions", Question.objects.filter(answered_at__isnull=True)),
                Prefetch("holds", Hold.objects.filter(released_at__isnull=True)),
            )
        )
        return [Item(each) for each in sorted(found, key=lambda each: order[each.pk])]

    def rows_of(self, ids: Iterable[UUID]) -> list[int]:
        """The rows of the encounters of these ids, in their order."""
        ids = list(ids)
        rows = dict(self._mine.filter(public_id__in=ids).values_list("public_id", "pk"))
        return [rows[each] for each in ids if each in rows]

    def place(self, encounter: Encounter, listing: Listing | str) -> Place:
        """The neighbours of an encounter, also when it has just left the list."""
        listing = Listing(listing, {}) if isinstance(listing, str) else listing
        asked = self.condition(listing)
        mine = todays_encounters(self.clinic, self.today) if listing.name == TODAY else self._mine
        with_it = mine.filter(asked | Q(pk=encounter.pk)).order_by(*order_of(listing))
        rows = list(with_it.values_list("pk", flat=True)[: MOST_PLACED + 1])
        if len(rows) > MOST_PLACED and encounter.pk not in rows:
            return Place(None, len(rows), None, None, ())
        inside = mine.filter(asked, pk=encounter.pk).exists()
        here = rows.index(encounter.pk) if encounter.pk in rows else 0
        if not inside and encounter.pk in rows:
            rows.pop(here)
        before, after = rows[max(0, here - FILM_LENGTH) : here], rows[here + inside : here + FILM_LENGTH + 1]
        first = max(0, min(here - FILM_LENGTH // 2, len(rows) - FILM_LENGTH))
        names = dict(self._mine.filter(pk__in=[*before[-1:], *after[:1]]).values_list("pk", "public_id"))
        return Place(
            number=here + 1 if inside else None,
            total=len(rows),
            previous=names[before[-1]] if before else None,
            next=names[after[0]] if after else None,
            film=tuple(rows[first : first + FILM_LENGTH]),
        )


def order_of(listing: Listing) -> list[OrderBy]:
    """The order of a listing: its own column, then always date and row, so that pages never overlap."""
    backwards = listing.sort.startswith("-")
    columns = list(SORTS.get(listing.sort.removeprefix("-"), ()))
    newest_first = listing.name in NEWEST_FIRST
    order = []
    for column in columns:
        field = F(column.removeprefix("-"))
        descending = column.startswith("-") != backwards
        order.append(field.desc(nulls_last=True) if descending else field.asc(nulls_last=True))
    if listing.sort.removeprefix("-") == "date":
        newest_first = backwards
        order = []
    last = [F("date_of_service"), F("pk")]
    return [*order, *(each.desc() if newest_first else each.asc() for each in last)]


def _any(conditions: Iterable[Q]) -> Q:
    found = Q()
    for condition in conditions:
        found |= condition
    return found
