"""Why a line is what it is: an answer in two sentences, and behind it every time, amount and value that made it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from infusion.reference_now import current_reference
from infusion.services.administration import COMPLEX, FURTHER_HOME_HOUR, FURTHER_HYDRATION, THERAPEUTIC
from infusion.services.away import LineChange, Margin, Near, Neighbourhood, units_of
from infusion.services.calculate import calculate
from infusion.services.clock import ClockChange, instant, length, running_periods, whole_minutes, zone_named
from infusion.services.facts import Administration, Encounter
from infusion.services.lines import Because, ServiceLine, Statement
from infusion.services.reference import Reference
from infusion.services.words import counted, plain
from infusion.views.preview import LayerView, LineView, layer_view, layer_views, line_view
from payers.policy import DISCARD_REASONS, PARAMETERS, PayerPolicy, Reading, Rules
from payers.selectors import day_in_words

SENTENCE = re.compile(r"(?<=[.])\s+(?=[A-Z0-9])")
FURTHER_HOURS = frozenset({THERAPEUTIC.further_hour, COMPLEX.further_hour, FURTHER_HYDRATION, FURTHER_HOME_HOUR})
MINUTE = timedelta(minutes=1)
LIMITS = {"authorization.required": "a prior authorization", "units.above_mue": "the usual daily limit"}


@dataclass(frozen=True, slots=True)
class Step:
    """One row of a reckoning: what, its value, and what it adds up to."""

    name: str
    value: str
    total: str = ""


@dataclass(frozen=True, slots=True)
class Reckoning:
    """How the minutes or milligrams of one administration came to be."""

    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value as it was read on the day: whose it is, where it is written, and from when until when it holds."""

    name: str
    label: str
    value: str
    layer: LayerView
    source_key: str
    source: str
    dates: str
    others: tuple[LayerView, ...]


@dataclass(frozen=True, slots=True)
class RuleRead:
    """A rule that holds for every payer, and where it is written."""

    key: str
    title: str
    source_key: str
    source: str


@dataclass(frozen=True, slots=True)
class Why:
    """A line with its reasons: `answer` for a glance, the rest for who wants to follow it."""

    line: LineView
    answer: str
    near: tuple[str, ...]
    reckonings: tuple[Reckoning, ...]
    parameters: tuple[Parameter, ...]
    rules: tuple[RuleRead, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What the whys of one encounter are told from. `rules` are those of the day, where they are still known."""

    facts: Encounter
    statement: Statement
    policy: PayerPolicy
    rules: Rules | None
    names: dict[str, str]
    zone: ZoneInfo


def whys_of(told: Told) -> list[Why]:
    """Every line of an encounter with its why."""
    reference = current_reference()
    near = near_of(told, reference)
    return [
        Why(
            line=line_view(line, reference, told.rules),
            answer=answer_of(line),
            near=near.get(position, ()),
            reckonings=tuple(reckonings_of(line, told)),
            parameters=tuple(parameters_of(line, told.rules, reference)),
            rules=tuple(rules_of(line, reference)),
            reasons=tuple(dict.fromkeys(because.text for because in line.because)),
        )
        for position, line in enumerate(told.statement.lines)
    ]


def answer_of(line: ServiceLine, sentences: int = 2) -> str:
    """The first sentences of the reasons, those that only tell of other minutes left out where there are others."""
    said = [sentence for because in line.because for sentence in SENTENCE.split(because.text)]
    plain_ones = [sentence for sentence in said if " would " not in sentence or ";" in sentence]
    return " ".join((plain_ones or said)[:sentences])


# What is near ---------------------------------------------------------------------------------------------------------


def near_of(told: Told, reference: Reference) -> dict[int, tuple[str, ...]]:
    """By the place of the line, what was one minute or one milligram away. Nothing where the tables have changed since.

    What changes a line is told there; what would only add one is told at the first line that rests on the same record.
    """
    lines, statement = told.statement.lines, told.statement
    if not lines or statement.reference_version != reference.version:
        return {}
    if units_of(calculate(told.facts, told.policy, reference).lines) != units_of(lines):
        return {}
    around = Neighbourhood(told.facts, told.policy, reference, statement)
    found: dict[int, list[str]] = {}
    for near in around.nearest():
        place = place_of(near, lines)
        if place is not None:
            found.setdefault(place, []).append(near_words(near, told))
    for margin in around.margins():
        place = next((n for n, line in enumerate(lines) if line.code == margin.code), None)
        if place is not None:
            found.setdefault(place, []).append(margin_words(margin))
    return {place: tuple(dict.fromkeys(words)) for place, words in found.items()}


def place_of(near: Near, lines: Iterable[ServiceLine]) -> int | None:
    """The line that a near change is told at."""
    drug = near.measure == "mg"
    changed = {(change.code, change.modifiers) for change in near.changes}
    mine = [
        (n, line)
        for n, line in enumerate(lines)
        if (line.kind == "drug") is drug and (near.administration in line.administrations or line.kind == "visit")
    ]
    at = [n for n, line in mine if (line.code, line.modifiers) in changed] or [n for n, _ in mine]
    return at[0] if at else None


def near_words(near: Near, told: Told) -> str:
    """ "1 more minute, a stop at 11:31, would have earned another hour: 96366 with 2 units instead of 1." """
    amount, more = abs(near.by), near.by > 0
    if near.measure == "mg":
        how = (
            f"{plain(amount)} mg more out of the same vials" if more else f"{plain(amount)} mg less, discarded instead,"
        )
        return f"{how} would have made it {changes_words(near.changes)}."
    subject = f"{plain(amount)} {'more' if more else 'fewer'} {'minute' if amount == 1 else 'minutes'}"
    stop = stop_words(near, told)
    verb = effect_of(near.changes, more=more)
    return f"{subject}{stop} would have {verb}: {changes_words(near.changes)}."


def stop_words(near: Near, told: Told) -> str:
    each = next((each for each in told.facts.administrations if each.id == near.administration), None)
    stop = each.stop if each else None
    if stop is None:
        return ""
    try:
        moved = (instant(stop, told.zone) + int(near.by) * MINUTE).astimezone(told.zone)
    except ClockChange:
        return ""
    drug = f" of {told.names[near.administration]}" if len(told.facts.administrations) > 1 else ""
    return f"{drug}, a stop at {moved:%H:%M},"


def effect_of(changes: tuple[LineChange, ...], *, more: bool) -> str:
    """What such a minute does, in a word or two."""
    if len(changes) == 1 and (changes[0].now > changes[0].was) is more:
        unit = "hour" if changes[0].code in FURTHER_HOURS else "unit"
        return f"earned another {unit}" if more else f"lost {'an hour' if unit == 'hour' else 'a unit'}"
    return "changed the lines"


def changes_words(changes: Iterable[LineChange]) -> str:
    """ "J2350 with 579 units instead of 580 and J2350 JW with 21 instead of 20" """
    words = []
    for change in changes:
        name = " ".join((change.code, *change.modifiers))
        if not change.now:
            words.append(f"no {name}")
        elif not change.was:
            words.append(f"{name} with {counted(change.now, 'unit')}")
        else:
            words.append(f"{name} with {counted(change.now, 'unit')} instead of {change.was}")
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def margin_words(margin: Margin) -> str:
    limit = LIMITS[margin.finding]
    if not margin.mg:
        return f"At {limit}: any more, and it would be said: {margin.message}"
    return f"{plain(margin.mg)} mg away from {limit}. Above it would be said: {margin.message}"


# The tree -------------------------------------------------------------------------------------------------------------


def reckonings_of(line: ServiceLine, told: Told) -> Iterator[Reckoning]:
    """Each administration behind a line: its minutes, or its milligrams."""
    if line.kind == "visit" and told.facts.visit is not None:
        visit = told.facts.visit
        yield Reckoning(
            "Nursing visit",
            (
                Step("Began", clock(visit.start, told)),
                Step("Ended", clock(visit.stop, told), counted(line.minutes or 0, "minute")),
            ),
        )
        return
    for each in told.facts.administrations:
        if each.id in line.administrations:
            steps = amounts_of(each) if line.kind == "drug" else minutes_of(each, told)
            if steps:
                yield Reckoning(told.names.get(each.id, ""), tuple(steps))


def minutes_of(each: Administration, told: Told) -> list[Step]:
    """Start, pauses and stop, and the running minutes that they leave."""
    if each.start is None and each.stop is None:
        return []
    steps = [Step("Start", clock(each.start, told))]
    for pause in each.pauses:
        steps.append(
            Step(
                "Paused",
                f"{clock(pause.start, told)} to {clock(pause.stop, told)}",
                _less(pause.start, pause.stop, told),
            )
        )
    steps.append(Step("Stop", clock(each.stop, told)))
    running = running_periods(each, zone_named(told.facts.time_zone))
    if running:
        steps.append(Step("Running", "start to stop, less pauses", counted(whole_minutes(length(running)), "minute")))
    return steps


def _less(start: datetime | None, stop: datetime | None, told: Told) -> str:
    if start is None or stop is None:
        return ""
    try:
        away = instant(stop, told.zone) - instant(start, told.zone)
    except ClockChange:
        return ""
    return f"less {counted(whole_minutes(away), 'minute')}"


def amounts_of(each: Administration) -> list[Step]:
    """What was ordered, opened, given and thrown away."""
    steps = [] if each.ordered is None else [Step("Ordered", f"{plain(each.ordered)} mg")]
    for vial in each.vials:
        steps.append(
            Step("Opened", f"{vial.count} of {plain(vial.amount)} mg", f"{plain(vial.amount * vial.count)} mg")
        )
    if each.administered is not None:
        steps.append(Step("Given", "to the patient", f"{plain(each.administered)} mg"))
    for discard in each.discards:
        steps.append(Step("Discarded", DISCARD_REASONS[discard.reason].lower(), f"{plain(discard.amount)} mg"))
    return steps


def clock(moment: datetime | None, told: Told) -> str:
    """A time of the record on the clinic's clock, with its day where it is another one."""
    if moment is None:
        return "not recorded"
    try:
        local = instant(moment, told.zone).astimezone(told.zone)
    except ClockChange:
        return f"{moment:%H:%M}"
    day = "" if local.date() == told.statement.date_of_service else f"{local:%B} {local.day}, "
    return f"{day}{local:%H:%M}"


def parameters_of(line: ServiceLine, rules: Rules | None, reference: Reference) -> Iterator[Parameter]:
    """The values that decided a line, each once."""
    readings = {because.reading.name: because.reading for because in line.because if because.reading is not None}
    for reading in readings.values():
        yield parameter_of(reading, rules, reference)


def parameter_of(reading: Reading, rules: Rules | None, reference: Reference) -> Parameter:
    source = reference.sources.get(reading.source)
    return Parameter(
        name=reading.name,
        label=PARAMETERS[reading.name].label,
        value=reading.words[:1].upper() + reading.words[1:],
        layer=layer_view(reading, reference, decides=True),
        source_key=reading.source if source else "",
        source=source.title if source else reading.source,
        dates=dates_words(reading.layer.effective_from, reading.layer.effective_until),
        others=tuple(each for each in layer_views(reading, rules, reference) if not each.decides) if rules else (),
    )


def dates_words(first: date | None, last: date | None) -> str:
    if first is None:
        return "Always"
    return f"{day_in_words(first)} to {day_in_words(last)}" if last else f"From {day_in_words(first)}"


def rules_of(line: ServiceLine, reference: Reference) -> Iterator[RuleRead]:
    """The rules for every payer that a line rests on, each once."""
    seen: dict[str, Because] = {because.rule: because for because in line.because if because.reading is None}
    for key, because in seen.items():
        rule, source = reference.rules.get(key), reference.sources.get(because.source)
        title = rule.title if rule else key.replace("_", " ").capitalize()
        yield RuleRead(
            key if rule else "", title, because.source if source else "", source.title if source else because.source
        )
