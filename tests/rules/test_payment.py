"""What lines should bring: rate times units, rounded once, and what is left out of a total."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from infusion.services.lines import ServiceLine
from infusion.services.payment import (
    Expected,
    Rate,
    amount_of,
    expected_payment,
    limit_near,
    standing_of,
    times_apart,
    why_implausible,
)
from infusion.services.reference import PaymentLimit, shipped_reference

JULY = date(2026, 7, 1)
LIMITS = shipped_reference().payment_limits["J2350"]


def dollars(text: str) -> Decimal:
    return Decimal(text)


def line(code: str, units: int, *modifiers: str, charge: str = "") -> ServiceLine:
    return ServiceLine(
        code=code, units=units, kind="drug" if code.startswith("J") else "administration", administrations=("a1",),
        because=(), modifiers=modifiers, charge=Decimal(charge) if charge else None,
    )  # fmt: skip


def rate(code: str, amount: str, *quartiles: str, implausible: str = "") -> Rate:
    lower, median, upper = (Decimal(each) for each in quartiles) if quartiles else (None, None, None)
    return Rate(
        code=code, rate=Decimal(amount), lower_quartile=lower, median=median, upper_quartile=upper,
        implausible=implausible,
    )  # fmt: skip


def by_code(*rates: Rate) -> dict[str, Rate]:
    return {each.code: each for each in rates}


SARAH = (line("96365", 1), line("96366", 1), line("J2350", 580), line("J2350", 20, "JW"))
RATES = by_code(
    rate("96365", "68.50", "60.00", "70.00", "81.00"), rate("96366", "24.18"), rate("J2350", "60.97", "55", "62", "80")
)


def test_an_encounter_is_the_sum_of_its_lines() -> None:
    # 68.50 + 24.18 + 580 x 60.97 + 20 x 60.97 = 68.50 + 24.18 + 35362.60 + 1219.40
    found = expected_payment(SARAH, RATES)
    assert [each.amount for each in found.lines] == [
        dollars("68.50"), dollars("24.18"), dollars("35362.60"), dollars("1219.40"),
    ]  # fmt: skip
    assert found.total == dollars("36674.68")
    assert found.complete


def test_the_variance_compares_only_what_has_a_benchmark() -> None:
    # 96366 has no median. At the median: 70.00 + 580 x 62 + 20 x 62 = 37270.00; at the rates 68.50 + 36582.00.
    found = expected_payment(SARAH, RATES)
    assert [each.variance for each in found.lines] == [dollars("-1.50"), None, dollars("-597.40"), dollars("-20.60")]
    assert (found.compared, found.benchmark) == (dollars("36650.50"), dollars("37270.00"))
    assert found.variance == dollars("-619.50")


def test_without_any_benchmark_there_is_no_variance() -> None:
    found = expected_payment([line("96366", 2)], RATES)
    assert (found.total, found.benchmark, found.variance) == (dollars("48.36"), None, None)


def test_a_code_without_a_rate_is_said_and_is_never_nothing() -> None:
    found = expected_payment([*SARAH, line("J1200", 1), line("J1200", 2)], RATES)
    assert [each.amount for each in found.lines[-2:]] == [None, None]
    assert found.without_rate == ("J1200",)
    assert found.total == dollars("36674.68")
    assert not found.complete


def test_with_no_rate_at_all_there_is_no_total() -> None:
    found = expected_payment(SARAH, {})
    assert found.total is None
    assert found.variance is None
    assert found.without_rate == ("96365", "96366", "J2350")
    assert Expected(()).total is None


def test_a_rate_that_is_not_believed_is_shown_and_left_out() -> None:
    # 600 x 2429.16 = 1457496.00 would drown everything else.
    doubted = by_code(
        rate("96365", "68.50", "60", "70", "81"), rate("J2350", "2429.16", "1", "2", "3", implausible="40 times")
    )
    found = expected_payment([line("96365", 1), line("J2350", 600)], doubted)
    assert found.lines[1].amount == dollars("1457496.00")
    assert found.lines[1].implausible == "40 times"
    assert (found.total, found.variance) == (dollars("68.50"), dollars("-1.50"))
    assert [each.line.code for each in found.doubted] == ["J2350"]
    assert not found.complete


def test_a_supplied_drug_brings_nothing_and_says_so() -> None:
    found = expected_payment([line("J2350", 600, charge="0.01")], RATES)
    assert (found.lines[0].amount, found.lines[0].supplied) == (dollars("0.00"), True)
    assert found.without_rate == ()
    assert not any(each.supplied for each in expected_payment([*SARAH, line("J1200", 1)], RATES).lines)


@pytest.mark.parametrize(
    ("figure", "units", "amount"),
    [
        ("0.0049", 1, "0.00"),  # just under half a cent
        ("0.005", 1, "0.01"),  # exactly half a cent goes up
        ("0.0051", 1, "0.01"),
        ("1.0050", 1, "1.01"),  # and not to the even cent
        ("0.0049", 10, "0.05"),  # 0.049: rounded once for the line, not ten times for its units
        ("99999.9999", 999999, "99999899900.00"),
    ],
)
def test_a_line_is_rounded_half_up_once(figure: str, units: int, amount: str) -> None:
    assert amount_of(dollars(figure), units) == dollars(amount)


def test_a_total_adds_up_rounded_lines() -> None:
    # Two lines of 0.005 are two cents, although together they would be one.
    found = expected_payment([line("J2350", 1), line("J2350", 1, "JW")], by_code(rate("J2350", "0.005")))
    assert found.total == dollars("0.02")


@pytest.mark.parametrize(
    ("amount", "standing"),
    [("54.9999", "below"), ("55", "within"), ("60", "within"), ("80", "within"), ("80.0001", "above")],
)
def test_the_quartiles_themselves_lie_within(amount: str, standing: str) -> None:
    assert standing_of(rate("J2350", amount, "55", "62", "80")) == standing


def test_without_quartiles_nothing_is_said_about_them() -> None:
    assert standing_of(rate("J2350", "60")) == ""
    assert standing_of(Rate(code="J2350", rate=Decimal(60), lower_quartile=Decimal(50))) == ""


# What can be believed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("figure", "times"), [("663.67", "11 times"), ("2429.16", "40 times")])
def test_the_published_figures_for_a_milligram_are_not_believed(figure: str, times: str) -> None:
    # 663.67 / 60.97 = 10.9 and 2429.16 / 60.97 = 39.8, where Medicare pays about 60 dollars.
    told = why_implausible(rate("J2350", figure), LIMITS, JULY)
    assert f"{times} the $60.97 that Medicare pays at most (July 2026)" in told
    assert len(told) <= 200, "or it does not fit its column"


@pytest.mark.parametrize(
    ("figure", "believed"),
    [("304.85", True), ("304.8501", False), ("12.194", True), ("12.1939", False), ("60.97", True)],
)
def test_five_times_is_still_believed(figure: str, *, believed: bool) -> None:
    # 5 x 60.97 = 304.85 and 60.97 / 5 = 12.194
    assert (why_implausible(rate("J2350", figure), LIMITS, JULY) == "") is believed


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_quartile_is_looked_at_as_well(position: int) -> None:
    quartiles = ["55", "62", "80"]
    quartiles[position] = "2429.16"
    told = why_implausible(rate("J2350", "60", *quartiles), LIMITS, JULY)
    assert told.startswith("$2,429.16 ")
    assert ("in the lower quartile", "at the median", "in the upper quartile")[position] in told


def test_without_a_yardstick_a_rate_is_held_against_its_own_median() -> None:
    assert why_implausible(rate("J1745", "50.01", "5", "10", "20"), (), JULY) == (
        "$50.01 a unit is 5 times its own median of $10.00."
    )
    assert why_implausible(rate("J1745", "50", "5", "10", "20"), (), JULY) == ""
    assert why_implausible(rate("J1745", "5000"), (), JULY) == ""


def test_how_far_apart_is_told_in_words() -> None:
    assert times_apart(Decimal("11.99"), Decimal(60)) == "less than a fifth of"
    assert times_apart(Decimal(12), Decimal(60)) == ""


@pytest.mark.parametrize(
    ("on", "dollars_"),
    [
        (date(2020, 1, 1), "59.60"),  # before all of them: the first
        (date(2026, 6, 30), "59.60"),
        (date(2026, 7, 1), "60.97"),
        (date(2027, 1, 1), "60.97"),  # after all of them: the last
    ],
)
def test_the_nearest_limit_is_the_yardstick(on: date, dollars_: str) -> None:
    found = limit_near(LIMITS, on)
    assert found is not None
    assert found.dollars == Decimal(dollars_)


def test_without_limits_there_is_no_yardstick() -> None:
    assert limit_near((), JULY) is None


def test_of_two_earlier_limits_the_later_is_nearer() -> None:
    rows = [
        PaymentLimit(
            code="J2350", dollars=Decimal(number), source="expert", status="unverified",
            first_day=date(2020, number, 1), last_day=date(2020, number, 2),
        )
        for number in (1, 3, 2)
    ]  # fmt: skip
    found = limit_near(rows, date(2020, 6, 1))
    assert found is not None
    assert found.dollars == 3
