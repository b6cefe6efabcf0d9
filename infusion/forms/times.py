"""From a clock time to a moment: which day it is on, and which of two when the clocks go back.

A time that is not after the one it should follow is never moved in silence. The form asks, offers answers as buttons,
and carries the answer in fields of its own: ``…-day`` (``next``) and ``…-turn`` (``first``, ``second``). The date
which that day follows stands in ``date-day``: where the date of service becomes that day itself, the time stays put.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from infusion.time_entry import Offer, TimeOfDay, occurrences, offers_after

SOME_DAY = date(2001, 1, 3)
"""Stands in while the date of service is unknown, so that questions about the order of times can still be asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A button: its words and the action it sends."""

    label: str
    action: str


@dataclass(frozen=True, slots=True)
class Echo:
    """What a field understood, what it asks, and what was answered before."""

    text: str = ""
    question: str = ""
    answers: tuple[Answer, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    undo: Answer | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """A time field within the form: its name, its words in a sentence, and all that was sent."""

    name: str
    words: str
    entries: Mapping[str, str]

    def chosen(self, what: str) -> str:
        return self.entries.get(f"{self.name}-{what}", "")


@dataclass(frozen=True, slots=True)
class Placed:
    """A time that became a moment. `dated` is false while the date of service is unknown."""

    words: str
    at: TimeOfDay
    day: date
    instant: datetime
    turn: str = ""
    dated: bool = True

    @property
    def moment(self) -> datetime | None:
        """As the rules take it: the wall clock, or the instant where the wall clock alone would not say."""
        if not self.dated:
            return None
        return self.instant if self.turn else datetime.combine(self.day, self.at.as_time())


@dataclass(frozen=True, slots=True)
class Outcome:
    """A moment, or the problem that keeps it from being one."""

    echo: Echo
    placed: Placed | None = None
    problem: str = ""


def place(
    slot: Slot, at: TimeOfDay, day: date | None, zone: ZoneInfo, after: Placed | None = None, *,
    insist: bool = True, or_at: bool = False,
) -> Outcome:  # fmt: skip
    """The moment of a typed time. `after` is the time it follows, or with `or_at` the earliest it can be; without
    `insist` an earlier one is only remarked.
    """
    on = after.day if after and insist else (day or SOME_DAY)
    dated = after.dated if after and insist else day is not None
    moved = False
    soft: tuple[Answer, ...] = ()
    at_once = or_at and after is not None and at.minutes == after.at.minutes and not slot.chosen("day")
    if slot.chosen("day") == "next" and not (after and insist):  # said of a start, which nothing else places
        if slot.entries.get("date-day") == (on - timedelta(days=1)).isoformat():
            return _kept_next(slot, _on_the_day(slot, at, on, zone, moved=False, soft=(), dated=dated))
        on, moved = on + timedelta(days=1), True
    elif after and not at_once and _is_before(at, on, after, zone):
        if slot.chosen("day") == "next":
            on, moved = on + timedelta(days=1), True
        else:
            answers = tuple(Answer(offer.label, _action(slot, offer)) for offer in offers_after(after.at, at))
            if insist:
                question = f"{slot.words} {at.clock} is not after {after.words} {after.at.clock}. Which is meant?"
                return Outcome(Echo(text=at.echo, question=question, answers=answers), problem=question)
            afternoon = after.at.hour >= 12 and at.hour < 8
            soft = answers[:1] if afternoon and len(answers) > 1 else ()
    return _on_the_day(slot, at, on, zone, moved=moved, soft=soft, dated=dated)


def _kept_next(slot: Slot, outcome: Outcome) -> Outcome:
    """What was said of another date of service is still said, should that date come back."""
    kept = ((f"{slot.name}-day", "next"), *outcome.echo.kept)
    return replace(outcome, echo=replace(outcome.echo, kept=kept))


def _is_before(at: TimeOfDay, on: date, after: Placed, zone: ZoneInfo) -> bool:
    if on != after.day or at.minutes > after.at.minutes:
        return False
    later = (moment.astimezone(UTC) > after.instant.astimezone(UTC) for moment in occurrences(on, at, zone))
    return not any(later)


def _on_the_day(
    slot: Slot, at: TimeOfDay, on: date, zone: ZoneInfo, *, moved: bool, soft: tuple[Answer, ...], dated: bool
) -> Outcome:
    moments = occurrences(on, at, zone)
    if not moments:
        problem = f"{slot.words} {at.clock} does not happen on {_short(on)}: the clocks skip that hour. Check the time."
        return Outcome(Echo(text=at.echo), problem=problem)
    turn = slot.chosen("turn") if len(moments) == 2 else ""
    kept = tuple(
        (f"{slot.name}-{what}", value) for what, value in (("day", "next" if moved else ""), ("turn", turn)) if value
    )
    if len(moments) == 2 and turn not in ("first", "second"):
        question = f"{slot.words} {at.clock} happens twice on {_short(on)}, when the clocks go back. Which is meant?"
        answers = tuple(
            Answer(f"The {word} {at.clock} ({moment:%Z})", f"set:{slot.name}-turn={word}")
            for word, moment in zip(("first", "second"), moments, strict=True)
        )
        return Outcome(
            Echo(text=at.echo, question=question, answers=answers, kept=kept[:1] if moved else ()), None, question
        )
    chosen = moments[1 if turn == "second" else 0]
    text = at.echo + (f", next day, {_short(on)}" if moved else "") + (f", the {turn} of that night" if turn else "")
    undo = _undo(slot, moved, turn)
    return Outcome(Echo(text, "", soft, kept, undo), Placed(slot.words, at, on, chosen, turn, dated))


def _undo(slot: Slot, moved: bool, turn: str) -> Answer | None:
    if turn:
        return Answer("Ask again", f"set:{slot.name}-turn=")
    return Answer("Same day instead", f"set:{slot.name}-day=") if moved else None


def _action(slot: Slot, offer: Offer) -> str:
    pairs = [f"{slot.name}={offer.text}"] if offer.text else []
    if offer.day:
        pairs.append(f"{slot.name}-day={offer.day}")
    return "set:" + ",".join(pairs)


def _short(day: date) -> str:
    return "that day" if day.year == SOME_DAY.year else f"{day:%A}, {day:%B} {day.day}"
