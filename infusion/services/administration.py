"""Running minutes and injections -> administration lines.

Every hour code counts by one rule: whole hours past those already included, plus one when the rest reaches the payer's
threshold [IFR96415]. Counted per infusion, then added up per code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import Literal, NamedTuple

from infusion.services.clock import MOMENT, whole_minutes
from infusion.services.days import Days
from infusion.services.facts import Encounter
from infusion.services.findings import Findings
from infusion.services.hierarchy import (
    REPEAT_INFUSION_MINIMUM_MINUTES,
    REPEAT_PUSH_GAP,
    AccessPlan,
    Service,
    plan_accesses,
)
from infusion.services.lines import Because, ServiceLine
from infusion.services.record import BY_VEIN, INJECTED, Given, Reader
from infusion.services.reference import Reference
from infusion.services.words import counted, minutes_away
from payers.policy import Reading, Rules


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of one family."""

    infusion: str
    further_hour: str
    sequential: str
    push: str
    next_push: str
    injection: str


THERAPEUTIC = Codes("96365", "96366", "96367", "96374", "96375", "96372")
COMPLEX = Codes("96413", "96415", "96417", "96409", "96411", "96401")
CONCURRENT, REPEAT_PUSH = "96368", "96376"
HYDRATION, FURTHER_HYDRATION = "96360", "96361"
HOME_VISIT, FURTHER_HOME_HOUR = "99601", "99602"
HOME_VISIT_MINUTES = 120


def codes_of(service: Service) -> Codes:
    return COMPLEX if service.complex else THERAPEUTIC


class Hours(NamedTuple):
    """Units earned past the included minutes, and how far the next and the last unit are."""

    units: int
    next_unit_minutes: int
    last_unit_minutes: int


def further_hours(minutes: int, included_minutes: int, threshold_minutes: int) -> Hours:
    """Further-hour units of so many running minutes.

    >>> [further_hours(minutes, 60, 31).units for minutes in (59, 90, 91, 150, 151)]
    [0, 0, 1, 1, 2]
    >>> further_hours(119, 60, 60).units, further_hours(120, 60, 60).units, further_hours(60, 60, 1).units
    (0, 1, 0)
    """
    full_hours, rest_minutes = divmod(max(0, minutes - included_minutes), 60)
    units = full_hours + (rest_minutes >= threshold_minutes)
    next_at = included_minutes + 60 * units + threshold_minutes
    return Hours(units, next_at - minutes, minutes - (next_at - 60) + 1 if units else 0)


@dataclass(slots=True)
class Part:
    """What one service adds to a code. `begins` says of each unit when it began, where that is known."""

    units: int
    ids: tuple[str, ...]
    minutes: int | None
    because: list[Because]
    drug: str = ""
    begins: tuple[datetime | None, ...] = ()


def together(parts: Sequence[Part]) -> Part:
    """Parts of one code as one."""
    if len(parts) == 1:
        return parts[0]
    return Part(
        units=sum(part.units for part in parts),
        ids=tuple(each for part in parts for each in part.ids),
        minutes=sum(part.minutes or 0 for part in parts),
        because=[each for part in parts for each in part.because],
    )


def each_once(because: list[Because]) -> tuple[Because, ...]:
    if len({why.rule for why in because}) == len(because):
        return tuple(because)
    return tuple(dict.fromkeys(because))


@dataclass(slots=True)
class Claim:
    """Administration lines in the making: parts added up per code and modifiers."""

    reference: Reference
    days: Days
    parts: dict[tuple[str, tuple[str, ...]], list[Part]] = field(default_factory=dict)
    everywhere: list[Because] = field(default_factory=list)

    def add(self, code: str, part: Part, modifiers: tuple[str, ...] = ()) -> None:
        self.parts.setdefault((code, modifiers), []).append(part)

    def add_earned(self, code: str, part: Part) -> None:
        if part.units:
            self.add(code, part)

    def rule(self, key: str, text: str | Callable[[], str]) -> Because:
        return Because(key, text, self.reference.rules[key].source)

    def lines(self, kind: Literal["administration", "visit"]) -> list[ServiceLine]:
        lines = []
        for (code, modifiers), all_parts in self.parts.items():
            for day, parts in self._by_day(all_parts).items():
                part = together(parts)
                lines.append(
                    ServiceLine(
                        code=code,
                        modifiers=modifiers,
                        units=part.units,
                        kind=kind,
                        administrations=tuple(dict.fromkeys(part.ids)),
                        minutes=part.minutes or None,
                        because=each_once([*part.because, *self.everywhere]),
                        date_of_service=day,
                    )
                )
        return lines

    def _by_day(self, parts: list[Part]) -> dict[date | None, list[Part]]:
        """The parts of each day: a part is cut where its units began on two, and one without units joins the first."""
        if self.days.one_day:
            return {None: parts}
        by_day: dict[date | None, list[Part]] = {}
        for part in parts:
            days = [self.days.of(begin, part.drug) for begin in part.begins]
            if not days:
                by_day.setdefault(next(iter(by_day), None), []).append(part)
            for day, why in dict(days).items():
                units = sum(each == day for each, _ in days)
                by_day.setdefault(day, []).append(replace(part, units=units, because=[*part.because, *why]))
        return by_day


def administration_lines(
    encounter: Encounter, given: Sequence[Given], rules: Rules, reference: Reference, reader: Reader
) -> list[ServiceLine]:
    """The lines for giving the drugs. None that depends on a time, route or drug that is missing or wrong."""
    findings = reader.findings
    one_day = not [each for each in given if not each.one_day]
    claim = Claim(reference, Days(reader.on, reader.zone, rules, findings, one_day))
    if encounter.setting == "home":
        at_home = _home_reading(given, rules)
        if at_home.value == "visit":
            _home_visit(encounter, given, at_home, rules, reader, claim)
            return claim.lines("visit")
        claim.everywhere.append(_from(at_home, "At home the infusion is reported by its time, not the nursing visit."))
    by_vein = [each for each in given if each.administration.route in BY_VEIN]
    if not [each for each in by_vein if not each.sound]:
        plans = plan_accesses(by_vein, rules, findings)
        _tell_about_the_clock(by_vein, reader, claim.days)
        if "time.concurrent_complex" not in [each.code for each in findings.found]:
            for position, plan in enumerate(plans):
                _report(plan, rules, claim, findings, distinct=position > 0)
    _injections(given, rules, claim)
    return claim.lines("administration")


def _codes(given: Sequence[Given]) -> Sequence[str]:
    return list(dict.fromkeys(each.drug.code for each in given if each.drug is not None)) or [""]


def _home_reading(given: Sequence[Given], rules: Rules) -> Reading:
    """Visit or infusion time: one drug billed by the visit makes it a visit, never both ways."""
    readings = [rules.read("home_administration", code) for code in _codes(given)]
    return next((reading for reading in readings if reading.value == "visit"), readings[0])


def _tell_about_the_clock(by_vein: Iterable[Given], reader: Reader, days: Days) -> None:
    for each in by_vein:
        # An infusion that stops at midnight has not run past it.
        if not each.one_day and each.start and each.stop and days.day(each.start) < days.day(each.stop - MOMENT):
            code = each.drug.code if each.drug else ""
            by_day = reader.rules.read("infusion_past_midnight", code).value == "per_day"
            reader.findings.add(
                "time.dated_by_day" if by_day else "time.crosses_midnight",
                administration=each.id,
                field="stop",
                what=each.what,
                on=days.day(each.start),
            )
        if each.administration.purpose in ("keep_open", "diluent") and each.route == "hydration":
            purpose = {"keep_open": "kept the line open", "diluent": "carried a drug"}[each.administration.purpose]
            reader.findings.add("hydration.not_counted", administration=each.id, field="purpose", purpose=purpose)


def per_diem_lines(
    encounter: Encounter, given: Sequence[Given], rules: Rules, reference: Reference, reader: Reader
) -> list[ServiceLine]:
    """The line for a day of home infusion, where the payer takes one and a drug was given [OCR]."""
    if encounter.setting != "home":
        return []
    drugs = {each.id: each.drug.code for each in given if each.drug is not None and each.known}
    reading = next((one for code in drugs.values() if (one := rules.read("home_per_diem", code)).value != "none"), None)
    if reading is None:
        return []
    units = rules.read("home_per_diem_units", reading.drug)
    text = f"{reading.whose} takes a line for the day of a home infusion, beside what was done."
    each_day = f"A day is {counted(units.minutes, 'unit')} of it."
    claim = Claim(reference, Days(reader.on, reader.zone, rules, reader.findings))
    because = [_from(reading, text), _from(units, each_day)]
    claim.add(str(reading.value), Part(units.minutes, tuple(drugs), None, because))
    return claim.lines("visit")


# One access ---------------------------------------------------------------------------------------------------------


def _report(plan: AccessPlan, rules: Rules, claim: Claim, findings: Findings, *, distinct: bool) -> None:
    if plan.initial is not None:
        _initial(plan, plan.initial, rules, claim, distinct=distinct)
    for service in plan.sequential:
        _sequential(service, rules, claim)
    for service in plan.concurrent:
        _concurrent(service, rules, claim, findings)
    for service in plan.repeats:
        _repeat_infusion(service, rules, claim, findings)
    for service in plan.pushes:
        text = f"{service.drug.label} is another drug given by push, so it takes {codes_of(service).next_push} once."
        claim.add(codes_of(service).next_push, _push_part(service, claim, "next_push", text))
    if plan.repeat_pushes:
        _repeat_pushes(plan, rules, claim, findings)
    if plan.hydration.reading is not None:
        _hydration(plan, plan.hydration.reading, rules, claim, distinct=distinct)


def _initial(plan: AccessPlan, service: Service, rules: Rules, claim: Claim, *, distinct: bool) -> None:
    modifiers, site = _site(rules, service.drug.code) if distinct else ((), [])
    codes = codes_of(service)
    beside = plan.sequential or plan.concurrent or plan.pushes or plan.hydration.given
    first = [claim.rule("initial_service", _why_first(service, rules))] if beside or distinct else []
    if service.infusion:
        part = _infusion_part(service, codes.push)
        part.because += [*first, *site]
        hours = _hours(service, rules, claim, codes.further_hour, 60, "The first 60 are the initial hour")
        if not hours.units:
            part.because += hours.because
        claim.add(codes.infusion, part, modifiers)
        claim.add_earned(codes.further_hour, hours)
    else:
        text = f"{service.drug.label} is the first push here, so it takes {codes.push}."
        part = _push_part(service, claim, "first_push", text)
        part.because += [*first, *site]
        claim.add(codes.push, part, modifiers)


def _why_first(service: Service, rules: Rules) -> str:
    if service.primary and rules.setting == "office":
        return f"{service.drug.label} is marked as the reason for this visit, so it takes the initial code."
    return f"{service.drug.label} ranks highest on this access, whatever came first, so it takes the initial code."


def _site(rules: Rules, drug: str) -> tuple[tuple[str, ...], list[Because]]:
    reading = rules.read("distinct_site_modifier", drug)
    text = "A second access site was medically necessary, so it has an initial code of its own with this modifier."
    return (str(reading.value),), [_from(reading, text)]


def _sequential(service: Service, rules: Rules, claim: Claim) -> None:
    codes = codes_of(service)
    part = _infusion_part(service, codes.next_push)
    part.because.append(
        claim.rule("sequential_infusion", f"{service.drug.label} is another drug, infused after the first one.")
    )
    hours = _hours(service, rules, claim, codes.further_hour, 60, "The first 60 are its own first hour")
    if not hours.units:
        part.because += hours.because
    claim.add(codes.sequential, part)
    claim.add_earned(codes.further_hour, hours)


def _concurrent(service: Service, rules: Rules, claim: Claim, findings: Findings) -> None:
    reading = rules.read("concurrent_minimum_minutes", service.drug.code)
    shared = service.shared_minutes
    if shared < reading.minutes:
        findings.add(
            "infusion.concurrent_too_short",
            administration=service.ids[0],
            field="stop",
            what=service.drug.label,
            minutes=shared,
            needed=reading.minutes,
            payer=reading.whose,
        )
        return
    text = f"{service.drug.label} ran beside another drug on the same access. This is reported once an encounter."
    because = [*_readings(service), claim.rule("concurrent_infusion", text)]
    if reading.minutes:
        enough = f"{reading.whose} asks for {counted(reading.minutes, 'shared minute')}, and they share {shared}."
        because.append(_from(reading, enough))
    first = not any(code == CONCURRENT for code, _ in claim.parts)
    begins = (service.running[0][0],) if first else ()
    part = Part(int(first), service.ids, service.running_minutes, because, service.drug.code, begins)
    claim.add(CONCURRENT, part)


def _repeat_infusion(service: Service, rules: Rules, claim: Claim, findings: Findings) -> None:
    """A later order of the same drug: its hours from zero, but only from 31 minutes on."""
    code = codes_of(service).further_hour
    hours = _hours(service, rules, claim, code, 0, "It is a separate order of the same drug, counted from zero")
    # The first hour is earned by the payer's threshold, but never by less than this.
    threshold = rules.read("additional_hour_minimum_minutes", service.drug.code)
    needed = max(REPEAT_INFUSION_MINIMUM_MINUTES, threshold.minutes)
    if service.minutes < needed:
        findings.add(
            "infusion.repeat_too_short",
            administration=service.ids[0],
            field="stop",
            what=service.drug.label,
            minutes=service.minutes,
            needed=needed,
        )
        return
    _tell_of_hours(service, hours.units, claim)
    hours.because.append(
        claim.rule("repeat_infusion", f"A separate order of {service.drug.name} adds further hours, not a first one.")
    )
    claim.add_earned(code, hours)


def _repeat_pushes(plan: AccessPlan, rules: Rules, claim: Claim, findings: Findings) -> None:
    """The same drug pushed again: hospital only, timed, more than 30 minutes after the push before."""
    previous = {each.drug.code: each for each in (*plan.pushes, *((plan.initial,) if plan.initial else ()))}
    previous = {code: each for code, each in previous.items() if not each.infusion}
    for service in plan.repeat_pushes:
        before = previous.get(service.drug.code)
        previous[service.drug.code] = service
        words = {"administration": service.ids[0], "what": service.drug.label}
        if rules.setting != "hospital_outpatient":
            reason = "only a hospital reports a repeat"
            findings.add("push.repeat_not_reported", field="route", reason=reason, **words)
        elif service.start is None or (before is not None and before.start is None):
            findings.add("push.untimed", field="start", **words)
        elif before is not None and before.start is not None and service.start - before.start <= REPEAT_PUSH_GAP:
            minutes = whole_minutes(service.start - before.start)
            reason = f"it came {counted(minutes, 'minute')} after the one before, where more than 30 are needed"
            findings.add("push.repeat_not_reported", field="start", reason=reason, **words)
        else:
            text = f"{service.drug.label} was pushed again more than 30 minutes after the push before, in a hospital."
            claim.add(REPEAT_PUSH, _push_part(service, claim, "repeat_push", text))


def _hydration(plan: AccessPlan, minimum: Reading, rules: Rules, claim: Claim, *, distinct: bool) -> None:
    fluid = plan.hydration
    ids = tuple(each.id for each in fluid.given)
    text = (
        f"{counted(fluid.minutes, 'minute')} of ordered hydration ran while no drug infused on this access; "
        f"{minimum.minutes} are needed."
    )
    changed = "A change of bags that counts as running counts for the drug, and not as hydration."
    enough = [_from(minimum, text), *(_from(change, changed) for change in fluid.bag_changes)]
    reading = rules.read("additional_hour_minimum_minutes")
    hours = further_hours(fluid.minutes, 60, reading.minutes)
    text = _hours_text(fluid.minutes, 60, "The first 60 are the first unit", hours, reading.minutes, FURTHER_HYDRATION)
    beyond = _from(reading, text)
    claim.days.tell_of_hours(fluid.periods, 1 + hours.units, "", "the hydration", ids[0])
    begins = claim.days.hour_begins(fluid.periods, 0, 1 + hours.units)
    if plan.initial is None:
        modifiers, site = _site(rules, "") if distinct else ((), [])
        because = [*enough, *site] if hours.units else [*enough, *site, beyond]
        claim.add(HYDRATION, Part(1, ids, fluid.minutes, because, "", begins[:1]), modifiers)
        if hours.units:
            claim.add(FURTHER_HYDRATION, Part(hours.units, ids, fluid.minutes, [beyond], "", begins[1:]))
        return
    beside = claim.rule("hydration_beside_drug", "Beside a drug, hydration takes the further-hour code alone.")
    claim.add(FURTHER_HYDRATION, Part(1 + hours.units, ids, fluid.minutes, [*enough, beside, beyond], "", begins))


# Reasons ------------------------------------------------------------------------------------------------------------


def _from(reading: Reading, text: str | Callable[[], str]) -> Because:
    return Because(reading.name, text, reading.source, reading)


def _readings(service: Service) -> list[Because]:
    """One reason for each parameter that made the service what it is."""
    reasons = []
    for reading in service.readings:
        if reading.name == "missing_stop_time":
            text = "No stop time was recorded, and by this rule the drug then counts as a push."
            reasons.append(_from(reading, text))
        elif reading.name == "administration_family":
            reasons.append(_from(reading, partial(_family_text, reading, service.drug.name)))
    return [*reasons, *_bag_change(service)]


def _family_text(reading: Reading, drug: str) -> str:
    return f"{reading.whose} takes {drug} in this family of administration codes: {reading.words}."


def _bag_change(service: Service) -> list[Because]:
    """Why minutes count in which no bag ran, and what would be left without them."""
    return [
        _from(
            reading,
            f"{reading.whose} counts a change of bags of up to {reading.words} as running: here "
            f"{counted(service.bag_change_minutes, 'minute')} in all. Without them it ran "
            f"{counted(service.running_minutes - service.bag_change_minutes, 'minute')}.",
        )
        for reading in service.readings
        if reading.name == "bag_change_minutes"
    ]


def _infusion_part(service: Service, push: str) -> Part:
    """An infusion's own unit. `push` is the code that it would have with fewer minutes."""
    minimum = service.readings[0]
    text = partial(_infusion_text, service.drug.label, service.running_minutes, service.minutes, minimum.minutes, push)
    because = [_from(minimum, text), *_readings(service)]
    return Part(1, service.ids, service.minutes, because, service.drug.code, (service.counted[0][0],))


def _infusion_text(what: str, running: int, minutes: int, needed: int, push: str) -> str:
    spare = minutes_away(minutes - needed + 1, "fewer")
    if running > minutes:
        return (
            f"{what} ran {counted(running, 'minute')}. Beside an infusion that ranks higher they count for that one, "
            f"which leaves {minutes}. At least {needed} make an infusion of its own; with {spare} it would be told as "
            "given at the same time."
        )
    return (
        f"{what} ran {counted(minutes, 'minute')}. At least {needed} make an infusion; {spare} would make it a push "
        f"({push})."
    )


def _push_part(service: Service, claim: Claim, rule: str, text: str) -> Part:
    because = [claim.rule(rule, text), *_readings(service)]
    minimum = service.readings[0] if service.readings else None
    if minimum is not None and minimum.name == "infusion_minimum_minutes":
        lacking = minimum.minutes - service.minutes
        because.insert(
            0,
            _from(
                minimum,
                f"{service.drug.label} ran {counted(service.minutes, 'minute')}, and under {minimum.minutes} it is a "
                f"push. {minutes_away(lacking, 'more').capitalize()} would make it an infusion.",
            ),
        )
    return Part(1, service.ids, service.minutes or None, because, service.drug.code, (service.start,))


def _hours(service: Service, rules: Rules, claim: Claim, code: str, included: int, first: str) -> Part:
    """The further hours that a service has earned, none among them."""
    reading = rules.read("additional_hour_minimum_minutes", service.drug.code)
    hours = further_hours(service.minutes, included, reading.minutes)
    text = partial(
        _hours_text, service.minutes, included, first, hours, reading.minutes, code, f"{service.drug.label}: "
    )
    because = [_from(reading, text), *_bag_change(service)]
    included_hours = included // 60
    if included_hours:
        _tell_of_hours(service, hours.units + included_hours, claim)
    begins = claim.days.hour_begins(service.counted, included_hours, hours.units)
    return Part(hours.units, service.ids, service.minutes, because, service.drug.code, begins)


def _tell_of_hours(service: Service, units: int, claim: Claim) -> None:
    claim.days.tell_of_hours(service.counted, units, service.drug.code, service.drug.label, service.ids[0])


def _hours_text(
    minutes: int, included: int, first: str, hours: Hours, threshold: int, code: str, what: str = ""
) -> str:
    """How the minutes divide into hours, and how far the next and the last unit are."""
    more = max(0, minutes - included)
    full_hours, rest = divmod(more, 60)
    inside = f"{counted(full_hours, 'full hour')} and {counted(rest, 'minute')}"
    parts = [
        f"{what}{counted(minutes, 'running minute')}. {first}; "
        + (f"{more} {'more ' if included else ''}are {inside}" if more else "nothing is left beyond them"),
        f"and {threshold} past a full hour earn another unit.",
        f"{minutes_away(hours.next_unit_minutes, 'more').capitalize()} would add one unit of {code}"
        + (f", {minutes_away(hours.last_unit_minutes, 'fewer')} would take one away." if hours.units else "."),
    ]
    return f"{parts[0]}, {parts[1]} {parts[2]}"


# Outside the hierarchy ----------------------------------------------------------------------------------------------


def _injections(given: Sequence[Given], rules: Rules, claim: Claim) -> None:
    unsound = {each.drug.code for each in given if each.drug is not None and not each.sound}
    for each in given:
        if each.route in INJECTED and each.drug is not None and each.drug.code not in unsound:
            family = rules.read("administration_family", each.drug.code) if each.drug.may_be_complex else None
            codes = COMPLEX if family and family.value == "complex" else THERAPEUTIC
            because = [
                claim.rule("injection", f"One injection of {each.drug.name} is one unit, whatever else is given.")
            ]
            if family:
                because.append(
                    _from(family, f"{family.whose} takes it in this family of administration codes: {family.words}.")
                )
            claim.add(codes.injection, Part(1, (each.id,), None, because, each.drug.code, (each.start,)))


def _home_visit(
    encounter: Encounter, given: Sequence[Given], by_visit: Reading, rules: Rules, reader: Reader, claim: Claim
) -> None:
    minutes = reader.visit_minutes(encounter)
    if minutes is None:
        return
    ids = tuple(each.id for each in encounter.administrations)
    # A visit is for all of its drugs: the one that asks most of a further hour decides.
    readings = [rules.read("additional_hour_minimum_minutes", code) for code in _codes(given)]
    reading = max(readings, key=lambda each: each.minutes)
    hours = further_hours(minutes, HOME_VISIT_MINUTES, reading.minutes)
    text = _hours_text(
        minutes, HOME_VISIT_MINUTES, "The first 120 are the visit code", hours, reading.minutes, FURTHER_HOME_HOUR
    ).replace("running minute", "visit minute")
    visit = _from(
        by_visit, "At home the nursing visit is reported, not the infusion: its first two hours are one unit."
    )
    beyond = _from(reading, text)
    claim.add(HOME_VISIT, Part(1, ids, minutes, [visit] if hours.units else [visit, beyond]))
    if hours.units:
        claim.add(FURTHER_HOME_HOUR, Part(hours.units, ids, minutes, [beyond]))
