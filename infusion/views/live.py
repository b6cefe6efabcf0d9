"""What the live page says about one encounter at one moment: its drugs, what can be pressed, and what is left to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.urls import reverse

from infusion.access import NURSE
from infusion.chair_board import (
    NOT_STARTED,
    PAUSED,
    RUNNING,
    Course,
    Sign,
    clock,
    courses_of,
    duration,
    main_course,
    sign_of,
    when,
)
from infusion.documentation import Checklist, checklist_of
from infusion.models import Encounter, Tap, User
from infusion.reference_now import current_reference
from infusion.selectors import facts_of, review_of
from infusion.services import facts
from infusion.services.facts import ROUTES
from infusion.services.findings import Finding
from infusion.services.words import counted, plain
from infusion.time_entry import TimeOfDay
from infusion.timeline import Timeline, draw_timeline
from infusion.views.few_words import LACKS

UNDO_WITHIN = timedelta(minutes=10)
LATE_AFTER = timedelta(minutes=15)
WORDS = {"start": "Started", "pause": "Paused", "resume": "Resumed", "stop": "Stopped", "new_bag": "New bag"}
GIVEN_NOW = "Given now"
TO_DO, DONE = Sign("free", "To do"), Sign("ok", "Done")
TIMES = ("time.start_missing", "time.stop_missing", "time.pause_open")
AMOUNTS = ("amount.missing", "waste.unaccounted", "drug.not_given")


@dataclass(frozen=True, slots=True)
class Press:
    """A button that can be pressed now. `tap_id` makes pressing it twice one tap."""

    kind: str
    words: str
    is_main: bool
    tap_id: UUID


@dataclass(frozen=True, slots=True)
class Drug:
    """One drug with its state, its facts and its buttons."""

    course: Course
    sign: Sign
    how: str
    facts: tuple[tuple[str, str], ...]
    presses: tuple[Press, ...]
    new_bag: Press | None

    @property
    def position(self) -> int:
        return self.course.row.position

    @property
    def key(self) -> int:
        """What a button names beside the place, which another drug may have by the time it is pressed."""
        return self.course.row.pk

    @property
    def clock(self) -> str:
        """The running time in big digits, which may break between hours and minutes where letters are set wide;
        nothing before the start and for what does not run."""
        told = self.course.is_timed and self.course.since
        return duration(self.course.running_minutes).replace("h\u00a0", "h ") if told else ""

    @property
    def runs(self) -> bool:
        return self.course.state == RUNNING


@dataclass(frozen=True, slots=True)
class Dose:
    """A drug whose amount is still to be confirmed: all of it, and what is left in its vials."""

    position: int
    label: str
    administered: Decimal | None
    discarded: Decimal
    words: str
    """What happens to the rest, or why the amount has to be typed."""
    address: str
    needs_witness: bool = False
    """Whether something is thrown away and the record does not say yet who saw it."""

    @property
    def can_be_confirmed(self) -> bool:
        return self.administered is not None

    @property
    def amount(self) -> str:
        return plain(self.administered) if self.administered is not None else ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One line of "Times recorded"."""

    at: str
    words: str
    by: str


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that a complete record has."""

    words: str
    sign: Sign
    address: str
    parts: tuple[tuple[str, str], ...] = ()
    """What of it is still missing, each with the address at which it is mended."""


@dataclass(frozen=True, slots=True)
class Undo:
    tap_id: UUID
    words: str
    ago: str


class Live:
    """One encounter at one moment, for the person who looks at it."""

    def __init__(self, encounter: Encounter, person: User, now: datetime) -> None:
        self.encounter = encounter
        self.person = person
        self.now = now.astimezone(ZoneInfo(encounter.clinic.time_zone))

    @property
    def is_open(self) -> bool:
        """Whether anything can be recorded: billing does not have it."""
        return self.encounter.state == Encounter.State.DRAFT

    @cached_property
    def courses(self) -> list[Course]:
        return courses_of(self.encounter, self.now)

    @cached_property
    def taps(self) -> list[Tap]:
        """Those that stand, in the order in which they were entered."""
        return list(self.encounter.taps.filter(undone_at__isnull=True).select_related("by"))

    @cached_property
    def main(self) -> Drug | None:
        course = main_course(self.courses)
        return self._drug(course) if course else None

    @cached_property
    def others(self) -> list[Drug]:
        main = main_course(self.courses)
        return [self._drug(course) for course in self.courses if course is not main]

    @cached_property
    def lost(self) -> Course | None:
        """A drug that was started and whose stop nobody recorded when it came."""
        older = self.encounter.date_of_service < self.now.date()
        return next((each for each in self.courses if each.is_open and (older or each.has_lost_its_stop)), None)

    @property
    def lost_since(self) -> str:
        return when(self.lost.since, self.now) if self.lost and self.lost.since else ""

    @property
    def several(self) -> bool:
        return len(self.courses) > 1

    def _drug(self, course: Course) -> Drug:
        access = course.row.access
        place = f", {access}" if access and not access.isdigit() else ""
        presses = tuple(self._presses(course)) if self.is_open else ()
        bag = Press("new_bag", "New bag", is_main=False, tap_id=uuid4()) if course.is_open and self.is_open else None
        return Drug(
            course, self._sign(course), f"{course.drug_and_dose}, {route_words(course.row.route)}{place}",
            tuple(self._facts(course)), presses, bag,
        )  # fmt: skip

    def _presses(self, course: Course) -> list[Press]:
        def press(kind: str, words: str, *, is_main: bool) -> Press:
            return Press(kind, words, is_main, uuid4())

        if course.state == NOT_STARTED:
            return [press("start", "Start" if course.is_timed else GIVEN_NOW, is_main=True)]
        if course.state == RUNNING:
            return [press("pause", "Pause", is_main=False), press("stop", "Stop", is_main=True)]
        if course.state == PAUSED:
            return [press("stop", "Stop", is_main=False), press("resume", "Resume", is_main=True)]
        return []

    def _sign(self, course: Course) -> Sign:
        if course.state == RUNNING:
            return Sign("run", "Running")
        if course.state == PAUSED and course.since:
            minutes = (self.now - course.since) // timedelta(minutes=1)
            return Sign("pause", f"Paused {duration(minutes)}")
        return sign_of(course, self.now)

    def _facts(self, course: Course) -> list[tuple[str, str]]:
        row = course.row
        if row.started_at is None or not course.is_timed:
            return []
        told = [("Started", self.echo(row.started_at))]
        pauses = [each for each in row.pauses.all() if each.started_at]
        if len(pauses) == 1 and pauses[0].started_at:
            told.append(("Paused", self._pause_words(pauses[0].started_at, pauses[0].stopped_at)))
        elif pauses:
            minutes = sum(
                ((each.stopped_at or self.now) - each.started_at) // timedelta(minutes=1)
                for each in pauses
                if each.started_at
            )
            told.append(("Paused", f"{len(pauses)} times, {duration(minutes)}"))
        if row.stopped_at:
            told.append(("Stopped", self.echo(row.stopped_at)))
        return [*told, self._bags(course)]

    def _bags(self, course: Course) -> tuple[str, str]:
        """Which bag hangs, and since when; how many there were in all once it is over. Nobody says beforehand."""
        hung = [t.happened_at for t in self.taps if t.position == course.row.position and t.kind == Tap.Kind.NEW_BAG]
        number = 1 + len(hung)
        if course.is_over:
            return "Bags", f"{number} in all"
        return "Bag", f"{number}, since {when(hung[-1], self.now)}" if hung else f"{number}"

    def _pause_words(self, start: datetime, stop: datetime | None) -> str:
        if stop is None:
            return f"since {clock(start, self.now)}"
        minutes = (stop - start) // timedelta(minutes=1)
        return f"{clock(start, self.now)} to {clock(stop, self.now)}, {duration(minutes)}"

    def echo(self, moment: datetime) -> str:
        """Both clocks side by side, and the day when it was another one."""
        local = moment.astimezone(self.now.tzinfo)
        both = TimeOfDay(local.hour, local.minute).echo
        return both if local.date() == self.now.date() else f"{when(moment, self.now).partition(', ')[0]}, {both}"

    # What was recorded, and the last of it ------------------------------------------------------------------------

    @property
    def undo(self) -> Undo | None:
        last = self.taps[-1] if self.taps else None
        if last is None or not self.is_open or self.now - last.entered_at > UNDO_WITHIN or not self._stands(last):
            return None
        minutes = (self.now - last.entered_at) // timedelta(minutes=1)
        ago = "just now" if minutes < 1 else "a minute ago" if minutes == 1 else f"{minutes} minutes ago"
        return Undo(last.client_id, f"{self._tap_words(last)} at {when(last.happened_at, self.now)}", ago)

    def _stands(self, tap: Tap) -> bool:
        """Whether the record still has what a tap recorded: the form may have changed it since."""
        return any(tap.stands_on(course.row) for course in self.courses)

    def _tap_words(self, tap: Tap) -> str:
        course = next((each for each in self.courses if each.row.position == tap.position), None)
        words = WORDS[tap.kind] if course is None or course.is_timed else "Given"
        return f"{course.name}: {words}" if self.several and course else words

    @cached_property
    def recorded(self) -> list[Recorded]:
        """Every time of the record, the latest first; one that was typed says so."""
        found: list[tuple[datetime, int, Recorded]] = []
        tapped: set[tuple[int, datetime]] = set()
        for order, tap in enumerate(each for each in self.taps if self._stands(each)):
            tapped.add((tap.position, tap.happened_at))
            by = f"Late entry at {when(tap.entered_at, self.now)}, {tap.by.signature}: {tap.late_reason}"
            line = Recorded(
                when(tap.happened_at, self.now), self._tap_words(tap), by if tap.late_reason else tap.by.signature
            )
            found.append((tap.happened_at, order, line))
        for course in self.courses:
            for happened, entered, words in typed_times(course):
                if (course.row.position, happened) in tapped:
                    continue
                late = f"Late entry at {when(entered, self.now)}" if entered - happened > LATE_AFTER else "Typed"
                by = f"{late}: {course.row.late_reason}" if course.row.late_reason else late
                name = f"{course.name}: {words}" if self.several else words
                found.append((happened, -1, Recorded(when(happened, self.now), name, by)))
        return [line for *_, line in sorted(found, key=lambda each: each[:2], reverse=True)]

    @cached_property
    def timeline(self) -> Timeline | None:
        """The times so far, drawn as if all that is open ended now."""
        running = [course for course in self.courses if course.is_open]
        moment = self.now.astimezone(ZoneInfo("UTC"))
        drawn = facts_of(self.encounter)
        # A pause that is not over ends a breath before the picture does, which shows where now is.
        rows = tuple(closed(each, moment) for each in drawn.administrations)
        names = {f"a{course.row.position + 1}": course.name for course in self.courses}
        picture = draw_timeline(replace(drawn, administrations=rows), names)
        if picture is None or not running:
            return picture
        marks = (*picture.marks[:-1], replace(picture.marks[-1], label="Now"))
        lanes = tuple(
            replace(lane, stretches=tuple(each for each in lane.stretches if each.kind == "pause" or each.minutes))
            for lane in picture.lanes
        )
        return replace(picture, marks=marks, lanes=lanes)

    # What is left to do -------------------------------------------------------------------------------------------

    @cached_property
    def errors(self) -> Sequence[Finding]:
        return review_of(self.encounter).statement.errors if self.is_open else ()

    @property
    def doses(self) -> list[Dose]:
        """What was given and waits for its amount, once nothing runs any more."""
        if not self.is_open or any(course.is_open for course in self.courses):
            return []
        return [
            self._dose(course)
            for course in self.courses
            if course.is_over and course.row.administered is None and course.row.route != "hydration"
        ]

    @property
    def confirmable(self) -> list[Dose]:
        return [dose for dose in self.doses if dose.can_be_confirmed]

    def _dose(self, course: Course) -> Dose:
        row, vials = course.row, list(course.row.vials.all())
        address = f"{reverse('encounter', args=[self.encounter.public_id])}#d{row.position + 1}-administered"
        held = sum((vial.amount * vial.count for vial in vials), Decimal(0))
        problem = ""
        if row.ordered is None:
            problem = "No dose was ordered here, so type what was given."
        elif not vials and row.route != "oral":
            problem = "No vials are planned here, so type which were used."
        elif vials and held < row.ordered:
            problem = f"The vials hold {plain(held)} mg, less than was ordered. Type what was given."
        single = all(self._is_single_dose(course, vial.single_dose) for vial in vials)
        rest = held - (row.ordered or Decimal(0)) if vials and single else Decimal(0)
        recorded = list(row.discards.all())
        if not problem and recorded and [(each.amount, each.reason) for each in recorded] != [(rest, "vial_remainder")]:
            problem = "Discards are recorded already, so type what was given."
        if problem:
            return Dose(row.position, course.drug_and_dose, None, Decimal(0), problem, address)
        opened = ", ".join(f"{counted(vial.count, 'vial')} of {plain(vial.amount)} mg" for vial in vials)
        left = f"{plain(rest)}\u00a0mg discarded, rest of the vial" if rest else "nothing discarded"
        words = f"{opened}; {left}" if opened else ""
        unseen = bool(rest) and all(each.witness_id is None for each in recorded)
        return Dose(row.position, course.drug_and_dose, row.ordered, rest, words, address, unseen)

    def _is_single_dose(self, course: Course, said: bool | None) -> bool:
        drug = current_reference().drug(course.row.drug, self.encounter.date_of_service)
        return said if said is not None else drug is None or drug.single_dose

    @property
    def witnesses(self) -> QuerySet[User] | None:
        """Who may have seen drug being thrown away, when the clinic asks for it and some was."""
        clinic = self.encounter.clinic
        if not clinic.asks_witness or not any(dose.needs_witness for dose in self.doses):
            return None
        staff = User.objects.filter(clinic=clinic, is_active=True, groups__name=NURSE)
        return staff.exclude(pk=self.person.pk).order_by("last_name", "first_name")

    @property
    def can_hand_over(self) -> bool:
        return self.is_open and not self.errors and all(course.is_over for course in self.courses)

    @cached_property
    def tasks(self) -> list[Task]:
        """What a complete record has, and whether it is there."""
        form = reverse("encounter", args=[self.encounter.public_id])
        started = all(course.state != NOT_STARTED for course in self.courses)
        stopped = all(course.is_over for course in self.courses if course.is_timed)
        codes = {finding.code for finding in self.errors}
        dosed = all(
            each.row.administered is not None for each in self.courses if each.row.route not in ("hydration", "oral")
        )
        amounts = dosed and not codes & set(AMOUNTS)
        lots = [vial for course in self.courses for vial in course.row.vials.all()]
        vials = not any(code.startswith("vials.") for code in codes) and all(vial.lot or vial.ndc for vial in lots)
        here = self.main.position if self.main else 0
        dose = "#given" if any(each.can_be_confirmed for each in self.doses) else f"{form}#d{here + 1}-administered"
        documented = checklist_of(self.encounter, facts_of(self.encounter))
        rows = [
            Task("Start time", done(started), f"#taps-{here}" if self.main and not started else "#recorded"),
            Task(
                "Stop time", done(started and stopped), f"#taps-{here}" if not stopped or not started else "#recorded"
            ),
            Task("Dose and waste", done(amounts), dose),
            Task("Vials and lot", done(vials), f"{form}#d{here + 1}-v1-size"),
            Task(
                "Documentation", done(not documented.missing), f"{form}#documentation", undocumented(documented, form)
            ),
        ]
        known = (*TIMES, *AMOUNTS)
        other = [each for each in self.errors if each.code not in known and not each.code.startswith("vials.")]
        named = dict.fromkeys(LACKS.get(each.code, each.message) for each in other)
        rows += [Task(words[:1].upper() + words[1:], TO_DO, form) for words in named]
        handed = not self.is_open
        return [*rows, Task("Hand to billing", done(handed), "#hand-over" if self.can_hand_over else "#tasks")]

    @property
    def tasks_left(self) -> int:
        return sum(1 for task in self.tasks if task.sign is TO_DO)


def done(is_done: bool) -> Sign:
    return DONE if is_done else TO_DO


def undocumented(documented: Checklist, form: str) -> tuple[tuple[str, str], ...]:
    """What the checklist still asks for, each with its field."""
    rows = [row for row in documented.rows if not row.done]
    return tuple((row.item.label, f"{form}#{row.item.mended_at or row.item.form_name}") for row in rows)


def route_words(route: str) -> str:
    """
    >>> route_words("oral"), route_words("iv_push")
    ('by mouth', 'IV push')
    """
    words = ROUTES.get(route, route)
    return words if words.startswith("IV") else words[:1].lower() + words[1:]


def typed_times(course: Course) -> list[tuple[datetime, datetime, str]]:
    """Each time of a drug's rows: when it happened, when it was entered, and what it was."""
    row = course.row
    found = [
        (row.started_at, row.started_entered_at, "Started" if course.is_timed else "Given"),
        (row.stopped_at, row.stopped_entered_at, "Stopped"),
    ]
    for pause in row.pauses.all():
        found.append((pause.started_at, pause.started_entered_at, "Paused"))
        if pause.stopped_at != row.stopped_at:
            found.append((pause.stopped_at, pause.stopped_entered_at, "Resumed"))
    return [(happened, entered or happened, words) for happened, entered, words in found if happened]


def closed(each: facts.Administration, now: datetime) -> facts.Administration:
    """A drug that is still running, as if it stopped now."""
    if each.start is None or each.stop is not None or each.route not in ("iv_infusion", "hydration"):
        return each
    breath = timedelta(seconds=1)
    pauses = tuple(pause if pause.stop else replace(pause, stop=now) for pause in each.pauses)
    paused = any(pause.stop is None for pause in each.pauses)
    return replace(each, pauses=pauses, stop=now + breath if paused else max(now, each.start + breath))
