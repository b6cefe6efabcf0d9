"""One below, exactly at, one above: every threshold in minutes, milligrams and days."""

from datetime import date, timedelta
from typing import Any

import pytest

from infusion.services.administration import further_hours
from infusion.services.reference import Drug, eleven_digits, shipped_reference
from payers.policy import PARAMETERS
from tests.rules.shorthand import (
    DAY,
    claimed,
    clock,
    drugs,
    encounter,
    errors,
    found,
    hydrated,
    infused,
    injected,
    line_of,
    on,
    pushed,
    read,
    reasons,
    services,
    told,
)

HOSPITAL = "hospital_outpatient"
REFERENCE = shipped_reference()


# Minutes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "lines"),
    [
        (1, ["96374 x1"]),
        (15, ["96374 x1"]),
        (16, ["96365 x1"]),
        (17, ["96365 x1"]),
        (60, ["96365 x1"]),
        (90, ["96365 x1"]),  # 60 + 30
        (91, ["96365 x1", "96366 x1"]),  # 60 + 31
        (92, ["96365 x1", "96366 x1"]),
        (150, ["96365 x1", "96366 x1"]),  # 60 + 60 + 30
        (151, ["96365 x1", "96366 x2"]),  # 60 + 60 + 31
        (1440, ["96365 x1", "96366 x23"]),  # 24 h = 1 + 23
    ],
)
def test_minutes_of_one_infusion(minutes: int, lines: list[str]) -> None:
    assert services(encounter(infused("J2350", 0, minutes))) == lines


@pytest.mark.parametrize(
    ("threshold", "minutes", "further"),
    [
        (1, 60, 0), (1, 61, 1), (1, 120, 1), (1, 121, 2),
        (30, 89, 0), (30, 90, 1), (30, 91, 1), (30, 149, 1), (30, 150, 2),
        (31, 90, 0), (31, 91, 1),
        (60, 119, 0), (60, 120, 1), (60, 121, 1), (60, 179, 1), (60, 180, 2),
    ],
)  # fmt: skip
def test_minutes_that_earn_another_hour(threshold: int, minutes: int, further: int) -> None:
    policy = {"additional_hour_minimum_minutes": threshold}
    expected = ["96365 x1"] + ([f"96366 x{further}"] if further else [])
    assert services(encounter(infused("J2350", 0, minutes), policy=policy)) == expected


@pytest.mark.parametrize("threshold", [1, 15, 30, 31, 60])
@pytest.mark.parametrize("minutes", [59, 60, 61, 90, 91, 119, 120, 121, 150, 151])
def test_the_reason_is_right_about_one_minute_more_or_less(threshold: int, minutes: int) -> None:
    """The distance told in the sentence is walked, and the unit has changed there and not one minute sooner."""

    def further(running: int) -> int:
        lines = read(encounter(infused("J2350", 0, running), policy=policy)).lines
        return sum(line.units for line in lines if line.code == "96366")

    policy = {"additional_hour_minimum_minutes": threshold}
    statement = read(encounter(infused("J2350", 0, minutes), policy=policy))
    earned = further(minutes)
    said = reasons(statement, f"96366 x{earned}" if earned else "96365 x1").casefold()
    more = next(count for count in range(1, 200) if further(minutes + count) > earned)
    assert f"{'one more minute' if more == 1 else f'{more} more minutes'} would add one unit of 96366" in said
    if earned:
        fewer = next(count for count in range(1, 200) if further(minutes - count) < earned)
        away = "one fewer minute" if fewer == 1 else f"{fewer} fewer minutes"
        assert f"{away} would take one away" in said


@pytest.mark.parametrize(
    ("minimum", "minutes", "code"),
    [(15, 14, "96374"), (15, 15, "96365"), (16, 15, "96374"), (31, 30, "96374"), (31, 31, "96365")],
)
def test_a_payer_s_own_minimum_of_an_infusion(minimum: int, minutes: int, code: str) -> None:
    policy = {"infusion_minimum_minutes": minimum}
    assert services(encounter(infused("J2350", 0, minutes), policy=policy)) == [f"{code} x1"]


def test_a_missing_stop_that_makes_a_push_gives_the_rule_and_no_minutes() -> None:
    document = encounter(infused("J2350", 0, 60), policy={"missing_stop_time": "push"})
    del document["administrations"][0]["stop"]
    statement = read(document)
    assert services(document) == ["96374 x1"]
    line = line_of(statement, "96374")
    assert line.minutes is None
    assert [because.rule for because in line.because] == ["first_push", "missing_stop_time", "administration_family"]
    assert "counts as a push" in reasons(statement, "96374 x1")


@pytest.mark.parametrize("which", ["stop on another bag", "no start", "an order of its own"])
def test_a_missing_stop_of_a_drug_that_has_one_elsewhere_is_asked_for(which: str) -> None:
    one, other = infused("J2350", 0, 60), infused("J2350", 100, 160)
    del one["stop"]
    if which == "no start":
        del other["stop"], other["start"]
    if which == "an order of its own":
        one["order"], other["order"] = "A", "B"
    document = encounter(one, other, policy={"missing_stop_time": "push"})
    assert set(errors(document)) <= {"time.stop_missing", "time.start_missing"}
    assert "time.stop_missing" in errors(document)
    assert [line.code for line in read(document).lines] == ["J2350"]


def test_how_far_a_push_is_from_an_infusion_is_told() -> None:
    assert "4 more minutes would make it an infusion" in reasons(read(encounter(infused("J2350", 0, 12))), "96374 x1")
    assert "one fewer minute would make it a push (96374)" in reasons(
        read(encounter(infused("J2350", 0, 16))), "96365 x1"
    )


@pytest.mark.parametrize(
    ("minutes", "alone", "beside"),
    [
        (30, [], []),
        (31, ["96360 x1"], ["96361 x1"]),
        (32, ["96360 x1"], ["96361 x1"]),
        (90, ["96360 x1"], ["96361 x1"]),  # 60 + 30
        (91, ["96360 x1", "96361 x1"], ["96361 x2"]),  # 60 + 31
        (151, ["96360 x1", "96361 x2"], ["96361 x3"]),  # 60 + 60 + 31
    ],
)
def test_minutes_of_hydration(minutes: int, alone: list[str], beside: list[str]) -> None:
    assert services(encounter(hydrated(0, minutes))) == alone
    after = encounter(infused("J2350", 0, 60), hydrated(60, 60 + minutes))
    assert services(after) == sorted(["96365 x1", *beside])


def test_hydration_loses_the_minutes_of_a_drug_and_adds_up_the_rest() -> None:
    # 120 minutes of fluid round a drug of 60: 15 before + 45 after = 60
    document = encounter(hydrated(0, 120), infused("J2350", 15, 75))
    assert services(document) == ["96361 x1", "96365 x1"]
    assert "60 minutes of ordered hydration" in reasons(read(document), "96361 x1")
    # 30 left over is not reported
    document = encounter(hydrated(0, 90), infused("J2350", 15, 75))
    assert services(document) == ["96365 x1"]
    assert "30 minutes of hydration count; under 31" in found(read(document), "hydration.too_short").message


@pytest.mark.parametrize(
    ("minutes", "threshold", "needed"),
    [(30, 31, 31), (20, 25, 31), (40, 60, 60), (20, 1, 31)],
)
def test_a_repeat_that_is_too_short_says_what_it_needs(minutes: int, threshold: int, needed: int) -> None:
    def orders(repeat: int) -> dict[str, Any]:
        one = infused("J2350", 0, 60, order="A")
        other = infused("J2350", 120, 120 + repeat, order="B")
        return encounter(one, other, policy={"additional_hour_minimum_minutes": threshold})

    assert services(orders(minutes)) == ["96365 x1"]
    message = found(read(orders(minutes)), "infusion.repeat_too_short").message
    assert f"ran {minutes} minutes that count" in message
    assert f"under {needed}." in message
    assert services(orders(needed - 1)) == ["96365 x1"]
    assert services(orders(needed)) == ["96365 x1", "96366 x1"]


@pytest.mark.parametrize(
    ("minutes", "lines"),
    [
        (30, ["96365 x1"]),
        (31, ["96365 x1", "96366 x1"]),
        (32, ["96365 x1", "96366 x1"]),
        (90, ["96365 x1", "96366 x1"]),  # 60 + 30, counted from zero
        (91, ["96365 x1", "96366 x2"]),  # 60 + 31
    ],
)
def test_minutes_of_a_separate_order_of_the_same_drug(minutes: int, lines: list[str]) -> None:
    one = infused("J2350", 0, 60 + 40, order="A")
    other = infused("J2350", 200, 200 + minutes, order="B")
    assert services(encounter(one | {"stop": clock(60)}, other)) == lines


@pytest.mark.parametrize(
    ("start", "stop", "policy", "lines"),
    [
        # 10 to 41 are 31 minutes of the later order: 96366 would have no infusion to hang on
        (10, 41, {}, ["96365 x1", "96375 x1"]),
        # 30 minutes earn nothing, but leave the first order 10 of its 16: 96368 would have none either
        (10, 40, {}, ["96365 x1", "96375 x1"]),
        # apart from each other the first order is an infusion of its own
        (20, 51, {}, ["96366 x1", "96367 x1", "96374 x1"]),
        (20, 50, {}, ["96367 x1", "96374 x1"]),
        # a payer who asks for more shared minutes than those 6 pays no 96368
        (10, 40, {"concurrent_minimum_minutes": 6}, ["96365 x1", "96375 x1"]),
        (10, 40, {"concurrent_minimum_minutes": 7}, ["96374 x1"]),
        # and then the hours of the later order decide, which the payer's threshold may raise and not lower
        (10, 41, {"concurrent_minimum_minutes": 7}, ["96365 x1", "96375 x1"]),
        (10, 40, {"concurrent_minimum_minutes": 7, "additional_hour_minimum_minutes": 15}, ["96374 x1"]),
        (10, 69, {"concurrent_minimum_minutes": 7, "additional_hour_minimum_minutes": 60}, ["96374 x1"]),
    ],
)
def test_a_push_that_is_the_reason_comes_first_only_if_every_add_on_keeps_its_parent(
    start: int, stop: int, policy: dict[str, int], lines: list[str]
) -> None:
    orders = [infused("J1200", 0, 16, order="A"), infused("J1200", start, stop, order="B")]
    assert services(encounter(pushed("J2919", primary=True), *orders, policy=policy)) == lines


@pytest.mark.parametrize(
    ("gap", "lines"),
    [(29, ["96374 x1"]), (30, ["96374 x1"]), (31, ["96374 x1", "96376 x1"]), (32, ["96374 x1", "96376 x1"])],
)
def test_minutes_between_two_pushes_of_one_drug(gap: int, lines: list[str]) -> None:
    assert services(encounter(pushed("J1200", 0), pushed("J1200", gap), setting=HOSPITAL)) == lines
    assert services(encounter(pushed("J1200", 0), pushed("J1200", gap))) == ["96374 x1"]


def test_a_third_push_is_measured_from_the_second() -> None:
    # 31 after the first, 30 after the second, 31 after the third
    times = [0, 31, 61, 92]
    assert services(encounter(*[pushed("J1200", at) for at in times], setting=HOSPITAL)) == ["96374 x1", "96376 x2"]


def test_a_push_beside_its_own_infusion_repeats_it() -> None:
    document = encounter(infused("J1200", 0, 30), pushed("J1200", 5), setting=HOSPITAL)
    assert services(document) == ["96365 x1", "96376 x1"]
    assert services(document | {"setting": "office"}) == ["96365 x1"]


@pytest.mark.parametrize(
    ("minutes", "lines"),
    [
        (1, ["99601 x1"]),
        (120, ["99601 x1"]),
        (150, ["99601 x1"]),  # 120 + 30
        (151, ["99601 x1", "99602 x1"]),  # 120 + 31
        (180, ["99601 x1", "99602 x1"]),
        (210, ["99601 x1", "99602 x1"]),  # 120 + 60 + 30
        (211, ["99601 x1", "99602 x2"]),  # 120 + 60 + 31
    ],
)
def test_minutes_of_a_home_visit(minutes: int, lines: list[str]) -> None:
    visit = {"start": clock(0), "stop": clock(minutes)}
    assert services(encounter(infused("J2350", 0, 60), setting="home", visit=visit)) == lines


def test_a_drug_decides_about_the_further_hours_of_its_visit_and_of_several_the_strictest() -> None:
    document = encounter(
        infused("J2350", 0, 60), setting="home", visit={"start": clock(0), "stop": clock(150)},
        policy={"drugs": {"J2350": {"settings": {"home": {"additional_hour_minimum_minutes": 30}}}}},
    )  # fmt: skip
    assert services(document) == ["99601 x1", "99602 x1"]
    document["administrations"].append(injected("J2351") | {"id": "a2"})
    assert services(document) == ["99601 x1"]


def test_24_hours_are_allowed_and_a_minute_more_is_not() -> None:
    assert errors(encounter(infused("J2350", 0, 24 * 60))) == []
    assert errors(encounter(infused("J2350", 0, 24 * 60 + 1))) == ["time.too_long"]
    assert errors(encounter(infused("J2350", 0, 0))) == ["time.stop_not_after_start"]
    assert errors(encounter(infused("J2350", 0, 1))) == []


@pytest.mark.parametrize(("gap", "asked"), [(0, False), (30, False), (31, True)])
def test_minutes_between_two_bags(gap: int, asked: bool) -> None:
    document = encounter(infused("J2350", 0, 60), infused("J2350", 60 + gap, 120 + gap))
    assert ("time.repeat_unclear" in told(document)) == asked
    assert services(document) == ["96365 x1", "96366 x1"]
    if asked:
        assert found(read(document), "time.repeat_unclear").message.startswith("Ocrelizumab stood still for 31 minutes")
    ordered = encounter(infused("J2350", 0, 60, order="A"), infused("J2350", 60 + gap, 120 + gap, order="A"))
    assert "time.repeat_unclear" not in told(ordered)


@pytest.mark.parametrize(
    ("own", "lines"),
    [
        (15, ["96365 x1", "96366 x1", "96368 x1"]),
        (16, ["96365 x1", "96366 x1", "96367 x1"]),
        (17, ["96365 x1", "96366 x1", "96367 x1"]),
    ],
)
def test_minutes_left_beside_a_higher_infusion(own: int, lines: list[str]) -> None:
    # 120 minutes of one drug, and 60 + own of the other, of which 60 are shared
    document = encounter(infused("J2350", 0, 120), infused("J3380", 60, 120 + own))
    assert services(document) == lines
    assert ("time.partial_overlap" in told(document)) == (own > 15)
    if own == 16:
        said = reasons(read(document), "96367 x1")
        assert "ran 76 minutes" in said
        assert "which leaves 16" in said
        assert "with one fewer minute" in said


def test_a_complex_drug_beside_another_is_refused_unless_enough_is_left() -> None:
    complex_ = {"administration_family": "complex"}
    beside = encounter(infused("J2350", 0, 120), infused("J3380", 60, 120), policy=complex_)
    assert errors(beside) == ["time.concurrent_complex"]
    assert [line.kind for line in read(beside).lines] == ["drug", "drug"]
    left = encounter(infused("J2350", 0, 120), infused("J3380", 60, 136), policy=complex_)
    assert services(left) == ["96413 x1", "96415 x1", "96417 x1"]


@pytest.mark.parametrize(("minutes", "told_long"), [(15, False), (16, True)])
def test_minutes_that_make_a_push_doubtful(minutes: int, told_long: bool) -> None:
    document = encounter(pushed("J1200", 0, stop=clock(minutes)))
    assert services(document) == ["96374 x1"]
    assert ("time.push_long" in told(document)) == told_long


def test_seconds_are_dropped_once_at_the_end() -> None:
    def bags(*seconds: int) -> dict[str, Any]:
        given = []
        for number, second in enumerate(seconds):
            given.append(infused("J2350", 100 * number, 100 * number, order="A"))
            given[-1]["stop"] = f"{clock(100 * number + 30)}:{second:02}"
        return encounter(*given)

    assert services(bags(59, 59, 59)) == ["96365 x1", "96366 x1"]  # 90 min 177 s = 92
    assert services(bags(29, 30)) == ["96365 x1"]  # 60 min 59 s
    one = infused("J2350", 0, 90) | {"stop": f"{clock(90)}:59"}
    assert services(encounter(one)) == ["96365 x1"]
    assert line_of(read(encounter(one)), "96365").minutes == 90


# Nights -------------------------------------------------------------------------------------------------------------


def night(start: str, stop: str, zone: str = "America/New_York") -> dict[str, Any]:
    given = infused("J2350", 0, 60) | {"start": start, "stop": stop}
    return encounter(given, time_zone=zone, date_of_service=start[:10])


@pytest.mark.parametrize(
    ("start", "stop", "minutes"),
    [
        ("2025-11-02T00:30", "2025-11-02T02:30", 180),  # two hours on the clock, three that ran
        ("2026-03-08T01:30", "2026-03-08T03:30", 60),  # two on the clock, one that ran
        ("2025-11-02T01:30-04:00", "2025-11-02T01:30-05:00", 60),  # the same time twice
        ("2025-11-02T00:59", "2025-11-02T02:00", 121),
        ("2026-03-08T01:59", "2026-03-08T03:00", 1),
        ("2026-03-10T23:00", "2026-03-11T00:00", 60),
        ("2026-03-10T23:00", "2026-03-11T01:00", 120),
    ],
)
def test_minutes_of_a_night(start: str, stop: str, minutes: int) -> None:
    [line] = [line for line in read(night(start, stop)).lines if line.code in ("96365", "96374")]
    assert line.minutes == minutes


@pytest.mark.parametrize(
    ("start", "stop", "error"),
    [
        ("2025-11-02T00:59", "2025-11-02T02:00", None),
        ("2025-11-02T01:00", "2025-11-02T03:00", "time.ambiguous"),
        ("2025-11-02T01:59", "2025-11-02T03:00", "time.ambiguous"),
        ("2025-11-02T02:00", "2025-11-02T03:00", None),
        ("2026-03-08T01:59", "2026-03-08T03:00", None),
        ("2026-03-08T01:00", "2026-03-08T02:00", "time.nonexistent"),
        ("2026-03-08T02:59", "2026-03-08T04:00", "time.nonexistent"),
    ],
)
def test_times_that_happen_twice_or_never(start: str, stop: str, error: str | None) -> None:
    assert errors(night(start, stop)) == ([error] if error else [])
    # Arizona keeps one clock all year.
    assert errors(night(start, stop, "America/Phoenix")) == []


def test_25_hours_of_one_calendar_day_are_too_long() -> None:
    assert errors(night("2025-11-02T00:00", "2025-11-03T00:00")) == ["time.too_long"]  # 25 hours that night
    assert errors(night("2025-11-02T00:00", "2025-11-02T23:00")) == []  # 24


def test_midnight_is_told_once_it_is_past() -> None:
    past = night("2026-03-10T23:00", "2026-03-11T00:01")
    assert "time.crosses_midnight" in told(past)
    assert "dated 2026-03-10" in found(read(past), "time.crosses_midnight").message
    assert "time.crosses_midnight" not in told(night("2026-03-10T23:00", "2026-03-11T00:00"))


@pytest.mark.parametrize(("start", "stop"), [("03-10T09:00", "03-10T10:00"), ("03-10T23:00", "03-11T00:00")])
def test_another_day_than_that_of_the_record_is_not_past_midnight(start: str, stop: str) -> None:
    document = night(f"2026-{start}", f"2026-{stop}") | {"date_of_service": "2026-03-09"}
    assert told(document) == ["date_of_service.differs"]
    push = encounter(pushed("J1200", 0), date_of_service="2026-03-09")
    assert "time.crosses_midnight" not in told(push)


def test_fluid_past_midnight_is_told_of_as_well() -> None:
    document = encounter(hydrated(14 * 60, 16 * 60))
    assert found(read(document), "time.crosses_midnight").message.startswith("Hydration runs past midnight")


@pytest.mark.parametrize(
    ("purpose", "words"), [("keep_open", "kept the line open"), ("diluent", "carried a drug"), ("ordered", "")]
)
def test_only_ordered_fluid_is_hydration(purpose: str, words: str) -> None:
    document = encounter(infused("J2350", 0, 60, purpose=purpose), hydrated(60, 120, purpose=purpose))
    assert services(document) == (["96365 x1"] if words else ["96361 x1", "96365 x1"])
    said = [(each.administration, each.message) for each in read(document).findings]
    assert said == ([("a2", f"Fluid that {words} is not billed as hydration.")] if words else [])


def test_the_date_of_service_is_the_local_day_of_the_earliest_start() -> None:
    late = night("2026-03-10T23:30", "2026-03-11T00:30")
    del late["date_of_service"]
    assert str(read(late).date_of_service) == "2026-03-10"
    # 23:30 in New York is 03:30 of the next day in UTC, and 20:30 in Los Angeles.
    late["administrations"][0] |= {"start": "2026-03-11T03:30Z", "stop": "2026-03-11T04:30Z"}
    assert str(read(late).date_of_service) == "2026-03-10"
    late["time_zone"] = "Europe/Berlin"
    assert str(read(late).date_of_service) == "2026-03-11"
    after_midnight = infused("J2323", 0, 60, id="a2") | {"start": "2026-03-12T00:10", "stop": "2026-03-12T01:10"}
    late["administrations"].insert(0, after_midnight)
    assert str(read(late).date_of_service) == "2026-03-11"


def test_what_was_given_at_no_recorded_time_is_dated_by_the_visit_at_home() -> None:
    visit = {"start": "2026-03-10T23:30", "stop": "2026-03-11T00:30"}
    document = encounter(injected("J2351"), setting="home", visit=visit)
    del document["date_of_service"]
    assert str(read(document).date_of_service) == "2026-03-10"
    assert errors(document) == []


# Days ---------------------------------------------------------------------------------------------------------------


def trio(first: date | None, last: date | None) -> list[tuple[date, bool]]:
    """Days round the two ends, and whether the row holds on each."""
    days = []
    if first:
        days += [(first - timedelta(days=1), False), (first, True)]
    if last:
        days += [(last, True), (last + timedelta(days=1), False)]
    return days


DRUG_ROWS = [row for rows in REFERENCE.drugs.values() for row in rows]


@pytest.mark.parametrize(
    ("drug", "day", "holds"),
    [
        pytest.param(row, day, holds, id=f"{row.code}-{day}")
        for row in DRUG_ROWS
        for day, holds in trio(row.first_day, row.last_day)
    ],
)
def test_a_drug_code_holds_from_its_first_to_its_last_day(drug: Drug, day: date, holds: bool) -> None:
    route = drug.routes[0]
    given = infused(drug.code, 0, 60) if route == "iv_infusion" else injected(drug.code, route)
    document = on(str(day), given)
    assert errors(document) == ([] if holds else ["code.not_effective"])
    assert bool([line for line in read(document).lines if line.code == drug.code]) == holds


@pytest.mark.parametrize(
    ("code", "day", "holds"),
    [
        pytest.param(row.code, day, holds, id=f"{row.code}-{day}")
        for rows in REFERENCE.diagnoses.values()
        for row in rows
        for day, holds in trio(row.first_day, row.last_day)
    ],
)
def test_a_diagnosis_holds_from_its_first_to_its_last_day(code: str, day: date, holds: bool) -> None:
    document = on(str(day), hydrated(0, 60), diagnoses=[code])
    assert errors(document) == ([] if holds else ["diagnosis.not_billable"])


@pytest.mark.parametrize("code", ["G35.9", "G35.B", "G35.B3", "G35.A1", "G37.80", "G37.82"])
def test_no_other_code_of_a_split_family_is_billable(code: str) -> None:
    for day in ("2023-09-30", "2025-09-30", "2025-10-01", DAY):
        assert errors(on(day, hydrated(0, 60), diagnoses=[code])) == ["diagnosis.not_billable"]


def test_a_diagnosis_from_elsewhere_is_asked_about() -> None:
    assert told(encounter(hydrated(0, 60), diagnoses=["K50.90"])) == ["diagnosis.unknown"]


@pytest.mark.parametrize(
    ("day", "line"),
    [
        ("2023-06-29", "J2350 x300"),
        ("2023-06-30", "J2350 x300"),
        ("2023-07-01", "J2350 JZ x300"),
        ("2023-07-02", "J2350 JZ x300"),
    ],
)
def test_jz_is_carried_from_its_first_day(day: str, line: str) -> None:
    assert drugs(on(day, infused("J2350", 0, 60))) == [line]
    if line == "J2350 x300":
        assert "JZ is carried only from 2023-07-01 on" in reasons(read(on(day, infused("J2350", 0, 60))), line)


# Milligrams ---------------------------------------------------------------------------------------------------------


def part_of_vials(drug: str, given: str, vials: list[str], rest: str, **more: Any) -> dict[str, Any]:
    discards = [{"amount": rest, "reason": "vial_remainder"}] if rest != "0" else []
    opened = [{"amount": size} for size in vials]
    return encounter(infused(drug, 0, 60, administered=given, vials=opened, discards=discards), **more)


@pytest.mark.parametrize(
    ("drug", "given", "vials", "rest", "lines"),
    [
        ("J2350", "299.5", ["300"], "0.5", ["J2350 JZ x300"]),  # 0.5 mg is no unit
        ("J2350", "299", ["300"], "1", ["J2350 JW x1", "J2350 x299"]),
        ("J2350", "298.5", ["300"], "1.5", ["J2350 JW x1", "J2350 x299"]),
        ("J2350", "280.4", ["300"], "19.6", ["J2350 JW x19", "J2350 x281"]),  # 281 + 19 = 300
        ("J1745", "91", ["100"], "9", ["J1745 JZ x10"]),  # 10 units of 10 mg, 9 mg left are none
        ("J1745", "90", ["100"], "10", ["J1745 JW x1", "J1745 x9"]),
        ("J1745", "89", ["100"], "11", ["J1745 JW x1", "J1745 x9"]),
        ("J1745", "305", ["100"] * 4, "95", ["J1745 JW x9", "J1745 x31"]),
        ("J1745", "301", ["100"] * 4, "99", ["J1745 JW x9", "J1745 x31"]),
        ("J2919", "37.5", ["40"], "2.5", ["J2919 JZ x8"]),  # 7.5 units round up to 8
        ("J2919", "35", ["40"], "5", ["J2919 JW x1", "J2919 x7"]),
        ("J2919", "123", ["125"], "2", ["J2919 JZ x25"]),
        ("J1200", "0.1", ["50"], "49.9", ["J1200 JZ x1"]),
    ],
)
def test_administered_rounds_up_and_discarded_down(
    drug: str, given: str, vials: list[str], rest: str, lines: list[str]
) -> None:
    assert drugs(part_of_vials(drug, given, vials, rest)) == lines


def test_two_remainders_never_exceed_the_labels_together() -> None:
    # Two doses of 62.5 mg from two 125 mg vials of 125 mg a unit: 125 / 125 = 1 given, 1 discarded.
    halves = [
        pushed("J2930", 0, administered="62.5", vials=[{"amount": "125"}], ordered="125",
               discards=[{"amount": "62.5", "reason": "vial_remainder"}])
        for _ in range(2)
    ]  # fmt: skip
    assert drugs(on("2024-03-31", *halves)) == ["J2930 JW x1", "J2930 x1"]


@pytest.mark.parametrize(
    ("given", "rest", "error"),
    [
        ("280", "19.999", "waste.unaccounted"),
        ("280", "20", None),
        ("280", "20.001", "vials.exceeded"),
        ("300.001", "0", "vials.exceeded"),
    ],
)
def test_containers_add_up_to_the_milligram(given: str, rest: str, error: str | None) -> None:
    assert errors(part_of_vials("J2350", given, ["300"], rest)) == ([error] if error else [])


@pytest.mark.parametrize(
    ("ordered", "error"), [("299.9", "vials.more_than_needed"), ("300", "vials.more_than_needed"), ("300.1", None)]
)
def test_the_last_vial_has_to_have_been_needed(ordered: str, error: str | None) -> None:
    document = part_of_vials("J2350", "280", ["300", "300"], "320")
    document["administrations"][0]["ordered"] = ordered
    assert errors(document) == ([error] if error else [])


def test_the_smallest_vial_decides_whether_one_was_too_many() -> None:
    assert errors(part_of_vials("J9312", "500", ["500", "100"], "100")) == ["vials.more_than_needed"]
    assert errors(part_of_vials("J9312", "501", ["500", "100"], "99")) == []
    assert errors(part_of_vials("J9312", "501", ["500", "500"], "499")) == []


@pytest.mark.parametrize(
    ("given", "vials", "rest", "best"),
    [
        ("501", ["500", "500"], "499", "600"),  # 500 + 100
        ("501", ["500", "100"], "99", None),
        ("590", ["500", "100"], "10", None),
        ("400", ["500"], "100", "400"),  # four of 100
        ("401", ["500"], "99", None),
    ],
)
def test_vials_that_would_have_wasted_less_are_named(given: str, vials: list[str], rest: str, best: str | None) -> None:
    document = part_of_vials("J9312", given, vials, rest)
    assert ("vials.smaller_available" in told(document)) == (best is not None)
    if best:
        assert f"vials with {best} mg in all" in found(read(document), "vials.smaller_available").message


def test_vials_are_weighed_against_what_was_ordered_too() -> None:
    """500 mg were prepared, and the infusion stopped after 100: the vial was the right one."""
    document = part_of_vials("J9312", "100", ["500"], "400")
    assert "vials.smaller_available" in told(document)
    document["administrations"][0]["ordered"] = "500"
    assert "vials.smaller_available" not in told(document)


def test_better_vials_are_named_only_where_the_record_adds_up_and_no_vial_is_shared() -> None:
    unaccounted = part_of_vials("J9312", "100", ["500"], "300")
    assert errors(unaccounted) == ["waste.unaccounted"]
    assert "vials.smaller_available" not in told(unaccounted)
    several_doses = part_of_vials("J9312", "100", ["500"], "0")
    several_doses["administrations"][0]["vials"][0]["single_dose"] = False
    assert errors(several_doses) == []
    assert "vials.smaller_available" not in told(several_doses)


def test_a_drug_without_vials_has_a_line_only_where_they_do_not_matter() -> None:
    without_vials = infused("J2919", 0, 60, vials=[])
    office = read(encounter(without_vials))
    assert [each.code for each in office.errors] == ["vials.missing"]
    assert [line.code for line in office.lines] == ["96365"]
    assert drugs(encounter(without_vials, setting=HOSPITAL)) == ["J2919 x8"]


def test_an_order_of_nothing_is_not_below_zero() -> None:
    assert claimed(encounter(infused("J2350", 0, 60, ordered="0"))) == ["96365 x1", "J2350 JZ x300"]


def test_a_milligram_more_or_less_is_told() -> None:
    def said(given: str) -> str:
        rest = str(300 - int(given))
        statement = read(part_of_vials("J1745", given, ["100"] * 3, rest))
        return reasons(statement, next(line for line in drugs(part_of_vials("J1745", given, ["100"] * 3, rest))
                                       if "JW" not in line))  # fmt: skip

    assert "290 mg were given. At 10 mg a unit, rounded up, that is 29 units" in said("290")
    assert "One milligram more would add one unit; 10 mg less would take one away" in said("290")
    assert "Up to 7 mg more would not change it" in said("283")


# Days and amounts of the payer -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "lines"), [
    (None, ["J2350 JZ x600"]),
    (601, ["J2350 JZ x600"]),
    (600, ["J2350 JZ x600"]),
    (599, ["J2350 JZ x1", "J2350 JZ x599"]),
    (300, ["J2350 JZ x300", "J2350 JZ x300"]),
    (250, ["J2350 JZ x100", "J2350 JZ x250", "J2350 JZ x250"]),
])  # fmt: skip
def test_units_on_one_line(most: int | None, lines: list[str]) -> None:
    policy = {"maximum_units_per_line": most}
    two = {"administered": "600", "vials": [{"amount": "300", "count": 2}]}
    assert drugs(encounter(infused("J2350", 0, 60, **two), policy=policy)) == lines


@pytest.mark.parametrize(("given", "asked"), [("299", False), ("300", False), ("301", True)])
def test_a_dose_above_the_limit_asks_for_an_authorization(given: str, asked: bool) -> None:
    policy = {"prior_authorization": "above_dose", "prior_authorization_dose_limit": "300"}
    vials = ["300"] * (1 + (int(given) > 300))
    document = part_of_vials("J2350", given, vials, str(300 * len(vials) - int(given)), policy=policy)
    assert ("authorization.required" in told(document)) == asked


@pytest.mark.parametrize(("expires", "expired"), [("2026-03-09", True), ("2026-03-10", False), ("2026-03-11", False)])
def test_a_vial_may_be_given_on_its_last_day(expires: str, expired: bool) -> None:
    document = encounter(infused("J2350", 0, 60, vials=[{"amount": "300", "expires": expires}]))
    assert ("vials.expired" in told(document)) == expired


@pytest.mark.parametrize(("hours", "setting", "above"), [
    (8, "office", False), (9, "office", True), (9, HOSPITAL, False),
])  # fmt: skip
def test_units_above_the_usual_daily_limit(hours: int, setting: str, above: bool) -> None:
    document = encounter(infused("J2350", 0, 60 * (hours + 1)), setting=setting)
    assert ("units.above_mue" in told(document)) == above


# National drug codes ------------------------------------------------------------------------------------------------


def listed(document: dict[str, Any]) -> dict[str, list[tuple[str, str, str]]]:
    """Per line: its NDCs with quantity and unit."""
    statement = read(document)
    assert statement.errors == (), statement.errors
    return {
        " ".join([line.code, *line.modifiers, f"x{line.units}"]): [
            (each.ndc, f"{each.quantity.normalize():f}", each.unit) for each in line.ndcs
        ]
        for line in statement.lines
        if line.kind == "drug"
    }


def test_millilitres_come_from_the_milligrams() -> None:
    ocrelizumab = "50242015001"
    # 600 / 30 = 20 mL
    whole = encounter(infused("J2350", 0, 60, administered="600", vials=[{"amount": "300", "count": 2}]))
    assert listed(whole) == {"J2350 JZ x600": [(ocrelizumab, "20", "ML")]}
    # 280 / 30 = 9.333 and 20 / 30 = 0.667
    assert listed(part_of_vials("J2350", "280", ["300"], "20")) == {
        "J2350 x280": [(ocrelizumab, "9.333", "ML")],
        "J2350 JW x20": [(ocrelizumab, "0.667", "ML")],
    }
    # not from the 281 and 19 units: 280.4 / 30 = 9.3466…, 19.6 / 30 = 0.6533…
    assert listed(part_of_vials("J2350", "280.4", ["300"], "19.6")) == {
        "J2350 x281": [(ocrelizumab, "9.347", "ML")],
        "J2350 JW x19": [(ocrelizumab, "0.653", "ML")],
    }


def test_even_one_milligram_has_its_millilitres() -> None:
    assert listed(part_of_vials("J2350", "299", ["300"], "1"))["J2350 JW x1"] == [("50242015001", "0.033", "ML")]


def test_dose_and_discard_on_one_line_have_the_millilitres_of_both() -> None:
    document = part_of_vials("J2350", "280", ["300"], "20", policy={"discarded_drug": "combined_line"})
    assert listed(document) == {"J2350 x300": [("50242015001", "10", "ML")]}


def test_powders_are_counted_in_vials() -> None:
    vials = [{"amount": "100", "count": 4, "ndc": "57894-030-01"}]
    discards = [{"amount": "95", "reason": "vial_remainder"}]
    document = encounter(infused("J1745", 0, 60, administered="305", vials=vials, discards=discards))
    assert listed(document) == {
        "J1745 x31": [("57894003001", "3.05", "UN")],
        "J1745 JW x9": [("57894003001", "0.95", "UN")],
    }


def test_thousandths_round_half_up() -> None:
    vials = [{"amount": "100", "ndc": "57894-030-01"}]

    def share(given: str, rest: str) -> list[str]:
        discards = [{"amount": rest, "reason": "line_residual"}]
        document = encounter(infused("J1745", 0, 60, administered=given, vials=vials, discards=discards))
        return [quantity for each in listed(document).values() for _, quantity, _ in each]

    assert share("50.05", "49.95") == ["0.501"]  # 0.5005
    assert share("50.04", "49.96") == ["0.5"]  # 0.5004


def test_every_split_line_lists_its_own_share() -> None:
    two_makers = [{"amount": "100", "ndc": "11111-111-11"}, {"amount": "100", "count": 2, "ndc": "22222-222-22"}]
    given = infused("J1745", 0, 60, administered="300", vials=two_makers)
    document = encounter(given, policy={"maximum_units_per_line": 15})
    # 15 units = 150 mg = the first vial and half of one of the second maker's
    statement = read(document)
    shares = [[(each.ndc, str(each.quantity)) for each in line.ndcs] for line in statement.lines if line.kind == "drug"]
    assert shares == [
        [("11111011111", "1.000"), ("22222022222", "0.500")],
        [("22222022222", "1.500")],
    ]


def test_lines_of_one_dose_list_no_more_than_was_given() -> None:
    document = part_of_vials("J2350", "280", ["300"], "20", policy={"maximum_units_per_line": 100})
    quantities = [str(each.quantity) for line in read(document).lines for each in line.ndcs]
    assert quantities == ["3.333", "3.333", "2.667", "0.667"]  # 100, 100, 80 and 20 at 30 mg/mL


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        ("50242-150-01", "50242015001"),
        ("50242-0150-01", "50242015001"),
        ("0009-0047-22", "00009004722"),
        ("50242-0150-1", "50242015001"),
        ("50242015001", "50242015001"),
        (" 50242-150-01 ", "50242015001"),
    ],
)
def test_an_ndc_becomes_eleven_digits(written: str, digits: str) -> None:
    assert eleven_digits(written) == digits


@pytest.mark.parametrize(
    "written",
    ["5024215001", "50242-15001", "50242-0150-001", "5024-150-01", "50242-150-0a", "502420150011", "1-2-3",
     "٥0242-0150-01", "-50242-0150-01"],
)  # fmt: skip
def test_an_ndc_that_could_mean_two_is_left_off_and_told(written: str) -> None:
    document = encounter(infused("J2350", 0, 60, vials=[{"amount": "300", "ndc": written}]))
    assert listed(document) == {"J2350 JZ x300": []}
    assert found(read(document), "ndc.malformed").field == "vials.0.ndc"


def test_the_baseline_s_thresholds_are_the_ones_tested_here() -> None:
    thresholds = {name: row.default for name, row in PARAMETERS.items() if row.kind == "minutes"}
    assert thresholds == {
        "infusion_minimum_minutes": 16,
        "hydration_minimum_minutes": 31,
        "additional_hour_minimum_minutes": 31,
        "bag_change_minutes": 0,
        "concurrent_minimum_minutes": 0,
    }


def test_amounts_of_one_code_are_pooled() -> None:
    halves = [
        infused("J2350", 60 * n, 60 * n + 60, administered="150",
                vials=[{"amount": "300"}] if n == 0 else [])
        for n in range(2)
    ]  # fmt: skip
    assert claimed(encounter(*halves)) == ["96365 x1", "96366 x1", "J2350 JZ x300"]


@pytest.mark.parametrize("included", [0, 60, 120])
@pytest.mark.parametrize("threshold", [1, 15, 30, 31, 60])
def test_the_next_and_the_last_unit_are_as_far_as_is_said(included: int, threshold: int) -> None:
    def units(minutes: int) -> int:
        return further_hours(minutes, included, threshold).units

    for minutes in range(401):
        hours = further_hours(minutes, included, threshold)
        assert units(minutes + hours.next_unit_minutes) == hours.units + 1
        assert units(minutes + hours.next_unit_minutes - 1) == hours.units
        if hours.units:
            assert units(minutes - hours.last_unit_minutes) == hours.units - 1
            assert units(minutes - hours.last_unit_minutes + 1) == hours.units
        else:
            assert hours.last_unit_minutes == 0
