"""The chairs of a clinic at one moment: who sits where, what runs, what is late, and what still waits for a stop.

Everything here is read against a `now` that the caller gives; nothing is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet

from infusion.models import Administration, Chair, Clinic, Encounter, Order
from infusion.reference_now import current_reference
from infusion.services.clock import Period, length, merged, without
from infusion.services.reference import in_force
from infusion.services.words import plain
from infusion.time_entry import date_in_words

TIMED = ("iv_infusion", "hydration")
"""Routes that run: they have a start and a stop. The others happen at one moment."""
NOT_STARTED, RUNNING, PAUSED, STOPPED, GIVEN = "not-started", "running", "paused", "stopped", "given"

# Twice as long as an infusion usually runs without a stop, and someone has to look. Where no page says how long that
# is, three hours: late enough to trouble nobody for nothing, and still on the same day.
USUAL_MINUTES_OF_OTHERS = 180
SOON = timedelta(hours=1)
NO_BREAK = "\u00a0"


@dataclass(frozen=True, slots=True)
class Sign:
    """A state as mark and word."""

    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Course:
    """One drug of an encounter at one moment."""

    row: Administration
    name: str
    state: str
    running_seconds: int
    since: datetime | None
    """When the present state began; None for a drug that has not started."""
    usual_minutes: int = USUAL_MINUTES_OF_OTHERS

    @property
    def running_minutes(self) -> int:
        return self.running_seconds // 60

    @property
    def is_open(self) -> bool:
        """Started, and nobody has said when it stopped."""
        return self.state in (RUNNING, PAUSED)

    @property
    def is_timed(self) -> bool:
        return self.row.route in TIMED

    @property
    def is_over(self) -> bool:
        return self.state in (STOPPED, GIVEN)

    @property
    def drug_and_dose(self) -> str:
        """As on the bag: "Ocrelizumab 600 mg"."""
        return named_dose(self.name, self.row.ordered)

    @property
    def has_lost_its_stop(self) -> bool:
        """Running far longer than this drug does."""
        return self.is_open and self.running_minutes > 2 * self.usual_minutes


@dataclass(frozen=True, slots=True)
class Tile:
    """A chair, or a person without one. Either leads to an encounter, begins an order, or is free."""

    key: str
    chair: str
    who: str
    what: str
    sign: Sign
    encounter: UUID | None = None
    order: UUID | None = None
    waits_for_stop: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """An order of today that nobody has begun and that has no tile of its own."""

    order: Order
    at: str
    who: str
    what: str
    late: Sign | None


@dataclass(frozen=True, slots=True)
class Board:
    now: datetime
    tiles: tuple[Tile, ...]
    due: tuple[Due, ...]

    @property
    def waiting(self) -> list[Tile]:
        """Those that wait for a stop."""
        return [tile for tile in self.tiles if tile.waits_for_stop]


# One drug -------------------------------------------------------------------------------------------------------------


def course_of(row: Administration, encounter: Encounter, now: datetime) -> Course:
    name = drug_name(row.route, row.drug, encounter.date_of_service)
    usual = usual_minutes_of(row, encounter.date_of_service)
    if row.started_at is None:
        given = row.route not in TIMED and row.administered is not None
        return Course(row, name, GIVEN if given else NOT_STARTED, 0, None)
    if row.route not in TIMED:
        return Course(row, name, GIVEN, 0, row.started_at)
    until = row.stopped_at or max(now, row.started_at)
    pauses: list[Period] = [
        (pause.started_at, pause.stopped_at or until) for pause in row.pauses.all() if pause.started_at
    ]
    seconds = length(without([(row.started_at, until)], merged(pauses))) // timedelta(seconds=1)
    if row.stopped_at is not None:
        return Course(row, name, STOPPED, seconds, row.stopped_at, usual)
    open_since = [pause.started_at for pause in row.pauses.all() if pause.started_at and pause.stopped_at is None]
    if open_since:
        return Course(row, name, PAUSED, seconds, open_since[-1], usual)
    resumed = [pause.stopped_at for pause in row.pauses.all() if pause.stopped_at]
    return Course(row, name, RUNNING, seconds, max([row.started_at, *resumed]), usual)


def courses_of(encounter: Encounter, now: datetime) -> list[Course]:
    return [course_of(row, encounter, now) for row in encounter.administrations.all()]


def main_course(courses: Iterable[Course]) -> Course | None:
    """The drug that the clock is about: what runs, then what is next, then what ran last."""
    ordered = sorted(courses, key=lambda course: not course.is_timed)
    for wanted in (lambda course: course.is_open, lambda course: course.state == NOT_STARTED):
        if found := next((course for course in ordered if course.is_timed and wanted(course)), None):
            return found
    return next((course for course in reversed(ordered) if course.is_timed), ordered[0] if ordered else None)


def usual_minutes_of(row: Administration, on: date) -> int:
    """How long an infusion of this drug takes by its maker."""
    drug = current_reference().drug(row.drug, on)
    return drug.usual_minutes if drug and drug.usual_minutes else USUAL_MINUTES_OF_OTHERS


def drug_name(route: str, code: str, on: date) -> str:
    if route == "hydration":
        return "Hydration"
    rows = current_reference().drugs.get(code, ())
    row = in_force(rows, on) or (rows[-1] if rows else None)
    return row.label if row else code[:1].upper() + code[1:] or "No drug yet"


def named_dose(name: str, ordered: Decimal | None) -> str:
    return f"{name} {plain(ordered)}\u00a0mg" if ordered is not None else name


def duration(minutes: int) -> str:
    """
    >>> duration(53), duration(122)
    ('53\\xa0min', '2\\xa0h\\xa002\\xa0min')
    """
    return f"{minutes}\u00a0min" if minutes < 60 else f"{minutes // 60}\u00a0h\u00a0{minutes % 60:02d}\u00a0min"


# The board ------------------------------------------------------------------------------------------------------------


def board_of(clinic: Clinic, now: datetime) -> Board:
    """All chairs, everyone being treated, today's orders, and every older infusion without a stop."""
    local = now.astimezone(ZoneInfo(clinic.time_zone))
    chairs = list(Chair.objects.filter(clinic=clinic))
    sitting: dict[int | None, list[Tile]] = defaultdict(list)
    for encounter in being_treated(clinic, local.date()):
        sitting[encounter.chair_id].append(tile_of(encounter, local))
    ordered: dict[int | None, list[Order]] = defaultdict(list)
    for order in todays_orders(clinic, local):
        ordered[order.chair_id].append(order)
    tiles: list[Tile] = []
    for chair in chairs:
        tiles += sitting[chair.pk] or [empty_chair(chair, ordered[chair.pk], local)]
    tiles += sitting[None]
    tiles += [order_tile(order, local) for order in ordered[None] if order.scheduled_at <= now]
    with_tile = {tile.order for tile in tiles}
    left = sorted((order for orders in ordered.values() for order in orders), key=lambda order: order.scheduled_at)
    return Board(local, tuple(tiles), tuple(due(each, local) for each in left if each.public_id not in with_tile))


def being_treated(clinic: Clinic, today: date) -> QuerySet[Encounter]:
    """Today's drafts, and older ones that wait for a time of what runs. The others are on the list of their day."""
    rows = Administration.objects.prefetch_related("pauses")
    waits = Administration.objects.filter(
        Q(started_at=None) | Q(stopped_at=None), encounter=OuterRef("pk"), route__in=TIMED
    )
    return (
        Encounter.objects.filter(clinic=clinic, state=Encounter.State.DRAFT)
        .filter(Q(date_of_service__gte=today) | Exists(waits))
        .select_related("patient", "chair")
        .prefetch_related(Prefetch("administrations", rows))
        .order_by("date_of_service", "pk")
    )


def todays_orders(clinic: Clinic, local: datetime) -> QuerySet[Order]:
    """Today's orders that nobody has begun."""
    midnight = datetime.combine(local.date(), time(), local.tzinfo)
    tomorrow = datetime.combine(local.date() + timedelta(days=1), time(), local.tzinfo)
    return Order.objects.filter(
        clinic=clinic, encounter=None, cancelled_at=None, scheduled_at__gte=midnight, scheduled_at__lt=tomorrow
    ).select_related("patient", "chair")


def tile_of(encounter: Encounter, now: datetime) -> Tile:
    """Someone being treated."""
    courses = courses_of(encounter, now)
    main = main_course(courses)
    older = encounter.date_of_service < now.date()
    lost = next((each for each in courses if each.is_open and (older or each.has_lost_its_stop)), None)
    shown = lost or main
    if lost is not None and lost.since is not None:
        sign = Sign("warn", joined("No stop since", when(lost.since, now)))
    elif older:
        sign = Sign("warn", f"No times, {day_words(encounter.date_of_service)}")
    else:
        sign = sign_of(main, now) if main else Sign("free", "Not started")
    return Tile(
        key=f"tile-{encounter.public_id}",
        chair=encounter.chair.label if encounter.chair else "",
        who=person_named(encounter.patient.name, encounter.patient.reference),
        what=shown.drug_and_dose if shown else "No drug yet",
        sign=sign,
        encounter=encounter.public_id,
        waits_for_stop=lost is not None or (older and sign.kind == "warn"),
    )


def sign_of(course: Course, now: datetime) -> Sign:
    """A drug's state in as few words as a tile has room for."""
    if course.since is None:
        return Sign("ok", "Given") if course.state == GIVEN else Sign("free", "Not started")
    match course.state:
        case "running":
            return Sign("run", f"Running {duration(course.running_minutes)}")
        case "paused":
            return Sign("pause", joined("Paused at", when(course.since, now)))
        case "stopped":
            return Sign("stop", joined("Stopped at", when(course.since, now)))
    return Sign("ok", joined("Given at", when(course.since, now)))


def empty_chair(chair: Chair, orders: list[Order], now: datetime) -> Tile:
    """Who is awaited at a chair, or that it is free."""
    if orders and orders[0].scheduled_at <= now + SOON:
        return order_tile(orders[0], now)
    following = f"Next at {clock(orders[0].scheduled_at, now)}" if orders else "No more today"
    return Tile(f"chair-{chair.pk}", chair.label, "Free", following, Sign("free", "Nobody here"))


def order_tile(order: Order, now: datetime) -> Tile:
    at = clock(order.scheduled_at, now)
    late = order.scheduled_at <= now
    return Tile(
        key=f"order-{order.public_id}",
        chair=order.chair.label if order.chair else "",
        who=person_named(order.patient.name, order.patient.reference),
        what=named_dose(drug_name(order.route, order.drug, now.date()), order.ordered),
        sign=Sign("late", f"Late, due\u00a0{at}") if late else Sign("free", f"Due at\u00a0{at}"),
        order=order.public_id,
    )


def due(order: Order, now: datetime) -> Due:
    tile = order_tile(order, now)
    return Due(
        order,
        clock(order.scheduled_at, now),
        tile.who,
        tile.what,
        Sign("late", "Late") if order.scheduled_at <= now else None,
    )


def person_named(name: str, reference: str) -> str:
    return name or f"Record {reference}"


def clock(moment: datetime, now: datetime) -> str:
    """The time of day on the clinic's clock."""
    return f"{moment.astimezone(now.tzinfo):%H:%M}"


def when(moment: datetime, now: datetime) -> str:
    """The time of day, with its day when that is not today."""
    day = moment.astimezone(now.tzinfo).date()
    return clock(moment, now) if day == now.date() else f"{day_words(day)}, {clock(moment, now)}"


def joined(words: str, moment: str) -> str:
    """A time of day stays on the line of the word before it; a day may begin the next line of a narrow tile.

    >>> joined("Paused at", "09:05"), joined("No stop since", "March 9, 09:05")
    ('Paused at\\xa009:05', 'No stop since March 9, 09:05')
    """
    return f"{words}{' ' if ', ' in moment else NO_BREAK}{moment}"


def day_words(day: date) -> str:
    """
    >>> day_words(date(2026, 3, 9))
    'March 9'
    """
    return date_in_words(day).split(", ")[1]
