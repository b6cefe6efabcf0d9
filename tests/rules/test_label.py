"""What the label says at the chair: the interval, the split first dose, the route, the minutes before the infusion."""

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pytest

from infusion.premedication import ITEMS, USUAL, premedication_for
from infusion.services.facts import Administration, Encounter, PastDose
from infusion.services.label import cautions, months_after
from infusion.services.reference import shipped_reference

TODAY = date(2026, 3, 10)
NINE = datetime(2026, 3, 10, 9, 0)


def dose(drug="J2350", route="iv_infusion", ordered=600, **more):
    return Administration(id="a1", drug=drug, route=route, ordered=Decimal(ordered), **more)


def encounter(*given, on=TODAY):
    return Encounter(time_zone="America/New_York", setting="office", date_of_service=on, administrations=given)


def past(*doses):
    return [PastDose(on, drug, Decimal(amount)) for on, drug, amount in doses]


def codes(given, *earlier):
    return [each.code for each in cautions(given, past(*earlier))]


@pytest.mark.parametrize(
    ("last", "warned"),
    [(date(2025, 10, 10), False), (date(2025, 10, 11), True), (date(2026, 3, 9), True), (TODAY, True)],
)
def test_five_months_lie_between_doses(last, warned):
    assert (codes(encounter(dose()), (last, "J2350", 600)) == ["label.interval"]) is warned
    assert (codes(encounter(dose("J2351", "subcutaneous", 920)), (last, "J2350", 600)) == ["label.interval"]) is warned


def test_the_interval_is_said_with_its_days():
    for last, words in ((TODAY, "earlier on this day"), (date(2026, 3, 9), "1 day before"), (date(2026, 3, 1), "9 d")):
        assert words in cautions(encounter(dose()), past((last, "J2350", 600)))[0].message


def test_of_several_doses_the_last_one_counts_and_other_drugs_do_not():
    assert codes(encounter(dose()), (date(2026, 1, 5), "J2350", 600), (date(2025, 1, 5), "J2350", 600)) == [
        "label.interval"
    ]
    assert codes(encounter(dose()), (date(2026, 3, 1), "J1745", 400), (date(2025, 3, 1), "J2350", 600)) == []


@pytest.mark.parametrize(
    ("given", "earlier", "warned"),
    [
        (dose(ordered=300), [(date(2026, 2, 24), "J2350", 300)], False),
        (dose(ordered=300), [(date(2026, 2, 25), "J2350", 300)], True),
        (dose(ordered=600), [(date(2026, 2, 24), "J2350", 300)], True),
        (dose(ordered=300), [(date(2026, 2, 10), "J2350", 300), (date(2026, 2, 24), "J2350", 300)], True),
        (dose(ordered=300), [(date(2026, 2, 24), "J2350", 600)], True),
        (dose("J2351", "subcutaneous", 300), [(date(2026, 2, 24), "J2350", 300)], True),
    ],
)
def test_the_second_half_of_the_first_dose_comes_after_two_weeks(given, earlier, warned):
    assert ("label.interval" in codes(encounter(given), *earlier)) is warned


def test_the_first_dose_is_split():
    assert codes(encounter(dose(ordered=600))) == ["label.first_dose"]
    assert codes(encounter(dose(ordered=300))) == []
    assert codes(encounter(dose(ordered=600, administered=Decimal(300)))) == []
    assert codes(encounter(replace(dose(), ordered=None))) == []
    assert codes(encounter(dose("J2351", "subcutaneous", 920))) == []


@pytest.mark.parametrize(
    ("drug", "route", "warned"),
    [
        ("J2350", "iv_infusion", False), ("J2350", "iv_push", False), ("J2350", "subcutaneous", True),
        ("J2350", "intramuscular", True), ("J2351", "subcutaneous", False), ("J2351", "iv_infusion", True),
        ("J2351", "iv_push", True), ("J1745", "subcutaneous", False),
    ],
)  # fmt: skip
def test_each_product_has_its_way(drug, route, warned):
    assert ("label.route" in codes(encounter(dose(drug, route, 300)))) is warned


@pytest.mark.parametrize(
    ("pushed", "warned"),
    [((8, 30), False), ((8, 31), True), ((8, 59), True), ((9, 0), True), ((9, 1), False)],
)
def test_premedication_comes_half_an_hour_before(pushed, warned):
    push = replace(premedication_for(["methylprednisolone"])[0], start=datetime(2026, 3, 10, *pushed))
    infusion = dose(ordered=300, start=NINE)
    assert (codes(encounter(push, infusion)) == ["label.premedication"]) is warned


@pytest.mark.parametrize(
    ("drug", "name"),
    [("J2919", "Methylprednisolone"), ("J2930", "Methylprednisolone"), ("J2920", "Methylprednisolone"),
     ("J1200", "Diphenhydramine")],
)  # fmt: skip
def test_premedication_is_called_by_its_name_under_each_of_its_codes(drug, name):
    tablet, push = replace(premedication_for(["acetaminophen"])[0], start=NINE), dose(drug, "iv_push", 100, start=NINE)
    [caution] = cautions(encounter(tablet, push, dose(ordered=300, start=NINE)), ())
    assert caution.message.startswith(f"{name} was pushed 0 minutes before")


def test_what_is_not_known_is_not_warned_about():
    push, _, tablet = premedication_for(USUAL)
    started = dose(ordered=300, start=NINE)
    assert codes(encounter(push, tablet, started)) == []
    assert codes(encounter(replace(push, start=NINE), dose(ordered=300))) == []
    assert codes(encounter(replace(push, start=NINE, drug="J1745"), started)) == []
    assert codes(encounter(replace(tablet, start=NINE), started)) == []
    assert codes(encounter(replace(push, start=NINE), dose("J2351", "subcutaneous", 920, start=NINE))) == []
    assert codes(encounter(dose(), on=None), (TODAY, "J2350", 600)) == []
    skipped = encounter(replace(push, start=NINE), dose(ordered=300, start=datetime(2026, 3, 8, 2, 30)))
    assert codes(skipped) == []


def test_one_minute_is_one_minute():
    push = replace(premedication_for(["diphenhydramine"])[0], start=datetime(2026, 3, 10, 8, 59))
    [caution] = cautions(encounter(push, dose(ordered=300, start=NINE)), ())
    assert caution.message.startswith("Diphenhydramine was pushed 1 minute before")
    assert (caution.administration, caution.field) == (push.id, "start")


def test_every_caution_names_a_source_of_the_tables():
    given = encounter(dose("J2351", "iv_push", 920), dose(), dose(route="subcutaneous", ordered=300))
    found = cautions(given, past((date(2026, 3, 1), "J2350", 600)))
    assert {each.source for each in found} == {"OCRDOSE", "ZUN"}
    assert {each.source for each in found} <= set(shipped_reference().sources)


def test_every_caution_points_at_the_field_that_is_to_be_checked():
    wrong_ways = encounter(dose("J2351", "iv_push", 920), dose(route="subcutaneous"))
    found = cautions(wrong_ways, past((date(2026, 3, 1), "J2350", 600))) + cautions(encounter(dose()), ())
    assert {(each.code, each.field) for each in found} == {
        ("label.route", "route"), ("label.interval", "drug"), ("label.first_dose", "ordered"),
    }  # fmt: skip


def test_a_shorter_month_ends_the_interval():
    assert months_after(date(2025, 9, 30), 5) == date(2026, 2, 28)
    assert months_after(date(2025, 7, 31), 5) == date(2025, 12, 31)


def test_the_usual_set_is_planned_and_not_given():
    planned = premedication_for(reversed(USUAL))
    assert [(each.id, each.drug, each.route, each.ordered) for each in planned] == [
        ("a1", "J2919", "iv_push", 100), ("a2", "J1200", "iv_push", 50), ("a3", "acetaminophen", "oral", 650),
    ]  # fmt: skip
    assert all(each.administered is None and each.start is None for each in planned)
    assert [sum(vial.amount for vial in each.vials) for each in planned] == [125, 50, 0]
    assert [[(rest.amount, rest.reason) for rest in each.discards] for each in planned] == [
        [(25, "vial_remainder")], [], [],
    ]  # fmt: skip
    assert premedication_for(["something else"]) == ()


def test_the_items_are_sizes_that_the_drugs_come_in():
    for item in ITEMS.values():
        drug = shipped_reference().drug(item.drug, TODAY)
        assert (drug is None) == (item.vial is None)
        if drug:
            assert item.route in drug.routes
            assert item.vial in {container.amount for container in drug.containers}
