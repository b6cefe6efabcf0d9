"""Which service is initial, and what every other one is beside it.

Administrations of one drug under one order on one access are one service. Per access the highest service is initial:
complex infusion, complex push, infusion, push, hydration; then the longest; then the first listed [RMC, CA96365]. In
an office the one marked primary comes first, as long as no add-on code loses its parent. Overlapping infusions: a lower
one keeps only the minutes it does not share [MLOVER].

Not handled: two encounters of one patient on a day; whether a reason for a second access is a good one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from infusion.services.clock import Period, length, merged, whole_minutes, without
from infusion.services.findings import Findings
from infusion.services.record import Given
from infusion.services.reference import Drug
from payers.policy import Reading, Rules

REPEAT_INFUSION_MINIMUM_MINUTES = 31
REPEAT_PUSH_GAP = timedelta(minutes=30)
UNCLEAR_GAP = timedelta(minutes=30)


@dataclass(slots=True, eq=False)
class Service:
    """An infusion or push of one drug under one order on one access. `running` is what ran, `counted` what counts.

    `bag_change_minutes` of `running` lay between two bags. `minutes` are those that count.
    """

    infusion: bool
    drug: Drug
    complex: bool
    given: tuple[Given, ...]
    running: tuple[Period, ...]
    readings: tuple[Reading, ...]
    counted: tuple[Period, ...]
    minutes: int
    bag_change_minutes: int = 0

    @property
    def rank(self) -> tuple[bool, bool, timedelta, int]:
        """Sorts the highest service first."""
        return (not self.complex, not self.infusion, -length(self.running), self.given[0].position)

    @property
    def start(self) -> datetime | None:
        return min((each.start for each in self.given if each.start), default=None)

    @property
    def running_minutes(self) -> int:
        return self.minutes if self.counted is self.running else whole_minutes(length(self.running))

    @property
    def shared_minutes(self) -> int:
        """Minutes lost to infusions that rank higher."""
        return whole_minutes(length(self.running) - length(self.counted))

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple([each.administration.id for each in self.given])

    @property
    def primary(self) -> bool:
        return any(each.administration.primary for each in self.given)


@dataclass(frozen=True, slots=True)
class Hydration:
    """Ordered hydration on one access: the minutes in which no drug infused."""

    given: tuple[Given, ...] = ()
    minutes: int = 0
    reading: Reading | None = None
    periods: tuple[Period, ...] = ()
    bag_changes: tuple[Reading, ...] = ()


NO_HYDRATION = Hydration()


@dataclass(slots=True)
class AccessPlan:
    """What was done on one access, each service in its role."""

    access: str
    initial: Service | None = None
    sequential: list[Service] = field(default_factory=list)
    concurrent: list[Service] = field(default_factory=list)
    repeats: list[Service] = field(default_factory=list)
    pushes: list[Service] = field(default_factory=list)
    repeat_pushes: list[Service] = field(default_factory=list)
    hydration: Hydration = NO_HYDRATION

    @property
    def rank(self) -> tuple[bool, tuple[bool, tuple[Any, ...]]]:
        """Sorts the access with the highest first service first, hydration after every drug."""
        if self.initial is None:
            fluid = self.hydration
            primary = any(each.administration.primary for each in fluid.given)
            return (not primary, (True, (-fluid.minutes, fluid.given[0].position)))
        return (not self.initial.primary, (False, self.initial.rank))


def plan_accesses(by_vein: Sequence[Given], rules: Rules, findings: Findings) -> list[AccessPlan]:
    """The services of each access that counts, the access with the highest first service first."""
    accesses = {each.administration.access for each in by_vein}
    groups: Mapping[str, Sequence[Given]] = dict.fromkeys(accesses, by_vein)
    if len(accesses) != 1:
        groups = _accesses_that_count(by_vein, findings)
    plans = [_plan(access, group, rules, findings) for access, group in groups.items()]
    reported = [plan for plan in plans if plan.initial is not None or plan.hydration.given]
    if len(reported) < 2:
        return reported
    if rules.setting != "office":
        return sorted(reported, key=lambda plan: plan.rank[1])
    return sorted(reported, key=lambda plan: plan.rank)


def _accesses_that_count(by_vein: Sequence[Given], findings: Findings) -> dict[str, list[Given]]:
    """What was given on each access, by the access it is counted on."""
    counted: dict[str, str] = {}
    reasoned = {each.administration.access for each in by_vein if each.administration.access_reason.strip()}
    for each in by_vein:
        access = each.administration.access
        if access in counted:
            continue
        first = next(iter(counted), access)
        counted[access] = access if access == first or access in reasoned else first
        if counted[access] != access:
            findings.add(
                "access.reason_missing", administration=each.id, field="access_reason", access=access, first=first
            )
    groups: dict[str, list[Given]] = {}
    for each in by_vein:
        groups.setdefault(counted[each.administration.access], []).append(each)
    return groups


def _plan(access: str, group: Sequence[Given], rules: Rules, findings: Findings) -> AccessPlan:
    services = [*_infusions(group, rules, findings), *_pushes(group, rules, findings)]
    if services and len(services[0].given) == len(group):
        return AccessPlan(access, services[0])  # alone: nothing to rank before it, nothing to share minutes with
    infusions = [each for each in services if each.infusion]
    pushes = [each for each in services if not each.infusion]
    principals, repeats = _principals(infusions)
    plan = AccessPlan(access)
    plan.pushes, plan.repeat_pushes = _new_pushes(pushes, infused={each.drug.code for each in principals})
    candidates = sorted([*principals, *plan.pushes], key=lambda service: service.rank)
    plan.initial = _initial(candidates, rules)
    if (
        plan.initial
        and plan.initial is not candidates[0]
        and _leaves_an_orphan(plan.initial, principals, repeats, rules)
    ):
        plan.initial = candidates[0]
    _share_minutes(plan, principals, repeats, rules, findings)
    plan.pushes = [each for each in plan.pushes if each is not plan.initial]
    infused = [each for each in services if each.given[0].route == "iv_infusion"]
    plan.hydration = _hydration(group, infused, rules, findings)
    return plan


# Services -----------------------------------------------------------------------------------------------------------


def _infusions(group: Sequence[Given], rules: Rules, findings: Findings) -> Iterable[Service]:
    """Bags, rate changes and interruptions of one order are one infusion; too short a one is a push."""
    orders: dict[tuple[str, str], list[Given]] = {}
    for each in group:
        if each.route == "iv_infusion" and each.drug is not None:
            orders.setdefault((each.drug.code, each.administration.order), []).append(each)
    for (code, order), bags in orders.items():
        drug = bags[0].drug
        assert drug is not None  # noqa: S101  only bags with a drug were grouped
        changes, change_rule = _bag_changes(code, bags, group, rules)
        running = bags[0].periods
        if len(bags) != 1:
            running = tuple(merged([*changes, *(period for bag in bags for period in bag.periods)]))
            if not order:
                _ask_about_gap(bags, findings)
        minutes = whole_minutes(length(running))
        minimum = rules.read("infusion_minimum_minutes", code)
        family = _family(drug, rules)
        readings = [minimum, *family, *change_rule]
        if bags[0].counted_as_push:
            missing_stop = rules.read("missing_stop_time", code)
            findings.add(
                "time.counted_as_push",
                administration=bags[0].id,
                field="stop",
                what=drug.label,
                payer=missing_stop.whose,
            )
            readings = [missing_stop, *readings[1:]]
        yield Service(
            minutes >= minimum.minutes and not bags[0].counted_as_push,
            drug,
            _is_complex(family),
            tuple(bags),
            running,
            tuple(readings),
            running,
            minutes,
            whole_minutes(length(changes)),
        )


def _bag_changes(
    code: str, bags: Sequence[Given], group: Sequence[Given], rules: Rules
) -> tuple[list[Period], list[Reading]]:
    """The gaps between bags that the payer counts as running, and the rule that says so [CA96366].

    Both bags have to run up to the gap and no other infusion may run in it; else it is a pause.
    """
    if len(bags) < 2:
        return [], []
    spans = merged((bag.start, bag.stop) for bag in bags if bag.start and bag.stop)
    gaps = [(earlier[1], later[0]) for earlier, later in pairwise(spans)]
    if not gaps:
        return [], []
    reading = rules.read("bag_change_minutes", code)
    running = merged(period for bag in bags for period in bag.periods)
    starts, stops = {start for start, _ in running}, {stop for _, stop in running}
    others = merged(
        period for each in group if each.route == "iv_infusion" and each not in bags for period in each.periods
    )
    changes = [
        (stop, start)
        for stop, start in gaps
        if start - stop <= timedelta(minutes=reading.minutes)
        and stop in stops
        and start in starts
        and without([(stop, start)], others) == [(stop, start)]
    ]
    return changes, [reading] if changes else []


def _pushes(group: Sequence[Given], rules: Rules, findings: Findings) -> Iterable[Service]:
    for each in group:
        if each.route != "iv_push" or each.drug is None:
            continue
        minutes = whole_minutes(length(each.periods))
        if minutes >= rules.read("infusion_minimum_minutes", each.drug.code).minutes:
            findings.add("time.push_long", administration=each.id, field="stop", what=each.what, minutes=minutes)
        family = _family(each.drug, rules)
        yield Service(
            False, each.drug, _is_complex(family), (each,), each.periods, tuple(family), each.periods, minutes
        )


def _family(drug: Drug, rules: Rules) -> list[Reading]:
    return [rules.read("administration_family", drug.code)] if drug.may_be_complex else []


def _is_complex(family: Sequence[Reading]) -> bool:
    return bool(family) and family[0].value == "complex"


def _ask_about_gap(bags: Sequence[Given], findings: Findings) -> None:
    spans = merged((bag.start, bag.stop) for bag in bags if bag.start and bag.stop)
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(spans)]
    if gaps and max(gaps) > UNCLEAR_GAP:
        last = bags[-1]
        findings.add(
            "time.repeat_unclear",
            administration=last.id,
            field="order",
            what=last.what,
            minutes=whole_minutes(max(gaps)),
        )


# Roles --------------------------------------------------------------------------------------------------------------


def _principals(infusions: Sequence[Service]) -> tuple[list[Service], list[Service]]:
    """The first order of each drug, and its later orders."""
    first: dict[str, Service] = {}
    later = []
    for service in sorted(infusions, key=lambda each: (each.start, each.given[0].position)):
        if service.drug.code in first:
            later.append(service)
        else:
            first[service.drug.code] = service
    return list(first.values()), later


def _new_pushes(pushes: Sequence[Service], infused: set[str]) -> tuple[list[Service], list[Service]]:
    """The first push of each drug, and the ones that repeat a drug already given on this access."""
    drugs: dict[str, list[Service]] = {}
    for service in sorted(pushes, key=lambda each: each.given[0].position):
        drugs.setdefault(service.drug.code, []).append(service)
    new, again = [], []
    for code, same in drugs.items():
        timed = [(each.start, each) for each in same if each.start is not None]
        if len(timed) == len(same):
            same = [each for _, each in sorted(timed, key=lambda pair: pair[0])]
        new += same[:1] if code not in infused else []
        again += same[1:] if code not in infused else same
    return new, again


def _initial(candidates: Sequence[Service], rules: Rules) -> Service | None:
    if rules.setting == "office":
        for service in candidates:
            if service.primary and _every_add_on_keeps_its_parent(service, candidates):
                return service
    return candidates[0] if candidates else None


def _every_add_on_keeps_its_parent(initial: Service, candidates: Sequence[Service]) -> bool:
    """Complex add-ons hang on a complex initial code, an additional complex infusion on a complex infusion."""
    others = [each for each in candidates if each is not initial]
    if any(each.complex and each.infusion for each in others):
        return initial.complex and initial.infusion
    return initial.complex or not any(each.complex for each in others)


def _leaves_an_orphan(initial: Service, principals: list[Service], repeats: list[Service], rules: Rules) -> bool:
    """Whether the one put first leaves further hours or a concurrent drug with no infusion code to hang on.

    Further hours need an infusion code of their own family, a concurrent drug any. A later order may be longer than
    the first one of its drug, and then takes the minutes that made that one count.
    """
    tried = AccessPlan("", initial)
    _share_minutes(tried, principals, repeats, rules, Findings.none_yet())
    coded = {each.complex for each in (tried.initial, *tried.sequential) if each is not None and each.infusion}

    def minimum(name: str, service: Service) -> int:
        return rules.look_up(name, service.drug.code).minutes

    hours = [
        each.minutes >= max(REPEAT_INFUSION_MINIMUM_MINUTES, minimum("additional_hour_minimum_minutes", each))
        for each in tried.repeats
        if each.complex not in coded
    ]
    beside = [
        each.shared_minutes >= minimum("concurrent_minimum_minutes", each) for each in tried.concurrent if not coded
    ]
    return any(hours + beside)


def _share_minutes(
    plan: AccessPlan, principals: list[Service], repeats: list[Service], rules: Rules, findings: Findings
) -> None:
    """A lower infusion loses the minutes it shares with higher ones; what is left decides its role."""
    taken: list[Period] = []
    initial = plan.initial
    for service in sorted([*principals, *repeats], key=lambda each: (each is not initial, each.rank)):
        left = without(service.running, taken)
        taken = merged([*taken, *service.running])
        own = Service(
            True,
            service.drug,
            service.complex,
            service.given,
            service.running,
            service.readings,
            tuple(left),
            whole_minutes(length(left)),
            service.bag_change_minutes,
        )
        lost_minutes = service.running_minutes - own.minutes
        if service in repeats:
            plan.repeats.append(own)
        elif service is initial:
            plan.initial = own
        elif own.minutes >= rules.read("infusion_minimum_minutes", service.drug.code).minutes:
            plan.sequential.append(own)
            if lost_minutes:
                findings.add(
                    "time.partial_overlap",
                    administration=service.ids[0],
                    field="start",
                    what=service.drug.label,
                    minutes=lost_minutes,
                )
        elif service.complex:
            findings.add(
                "time.concurrent_complex", administration=service.ids[0], field="start", what=service.drug.label
            )
        else:
            plan.concurrent.append(own)


def _hydration(group: Sequence[Given], infused: Sequence[Service], rules: Rules, findings: Findings) -> Hydration:
    """Ordered fluid, less every minute in which a drug infused; nothing when too little is left."""
    ordered = [each for each in group if each.route == "hydration" and each.administration.purpose == "ordered"]
    if not ordered:
        return NO_HYDRATION
    taken = merged(period for service in infused for period in service.running)
    left = without([period for each in ordered for period in each.periods], taken)
    minutes = whole_minutes(length(left))
    minimum = rules.read("hydration_minimum_minutes")
    if minutes < minimum.minutes:
        findings.add(
            "hydration.too_short", administration=ordered[0].id, field="stop", minutes=minutes, needed=minimum.minutes
        )
        return NO_HYDRATION
    readings = (each for service in infused for each in service.readings)
    bag_changes = tuple(each for each in readings if each.name == "bag_change_minutes")
    return Hydration(tuple(ordered), minutes, minimum, tuple(left), bag_changes)
