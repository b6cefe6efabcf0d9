"""What holds for every encounter, whatever was recorded."""

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infusion.services.lines import ServiceLine, Statement
from infusion.services.reference import shipped_reference
from infusion.services.wire import Asked, Unreadable, decode, parse_encounter, statement_document
from payers.policy import PARAMETERS
from tests.rules.random_encounters import encounters
from tests.rules.shorthand import ZONE, Document, claimed, clock, encounter, infused, read, services, written

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = shipped_reference()
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def some_encounters() -> st.SearchStrategy[Document]:
    """Made-up encounters, complete and broken ones."""
    return st.integers(0, 10**9).map(lambda seed: next(encounters(seed, 1)))


def units_for_giving(document: Document) -> int:
    return sum(line.units for line in read(document).lines if line.kind != "drug")


# Time ---------------------------------------------------------------------------------------------------------------

running = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 200)), min_size=1, max_size=4)
threshold = st.sampled_from([1, 15, 30, 31, 45, 60])
family = st.sampled_from(["therapeutic", "complex"])


@st.composite
def timed(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """Minutes of one infusion, and pauses within it that leave something."""
    stop = draw(st.integers(2, 400))
    pauses = draw(st.lists(st.tuples(st.integers(0, stop - 2), st.integers(1, 90)), max_size=3))
    return stop, [(begin, min(begin + length, stop - 1)) for begin, length in pauses]


@quick
@given(timed(), st.data(), threshold, family)
def test_splitting_an_infusion_into_bags_changes_nothing(
    infusion: tuple[int, list[tuple[int, int]]], data: st.DataObject, minutes: int, codes: str
) -> None:
    stop, pauses = infusion
    policy = {"additional_hour_minimum_minutes": minutes, "administration_family": codes}
    cut = data.draw(st.integers(1, stop - 1))
    parts = [
        infused("J2350", start, end, *[(max(a, start), min(b, end)) for a, b in pauses if a < end and b > start])
        | {"administered": "150", "vials": [{"amount": "300"}] if start == 0 else []}
        for start, end in ((0, cut), (cut, stop))
    ]
    whole = encounter(infused("J2350", 0, stop, *pauses), policy=policy)
    split = encounter(*parts, policy=policy)
    if "time.no_running_time" in {finding.code for finding in read(split).findings}:
        return  # a bag that never ran is asked about
    assert claimed(split) == claimed(whole)


@quick
@given(running, st.randoms(use_true_random=False), threshold)
def test_the_order_in_which_bags_are_listed_changes_nothing(
    periods: list[tuple[int, int]], dice: Any, minutes: int
) -> None:
    bags = [
        infused("J2350", start, start + length, order="A") | {"vials": [{"amount": "300"}]} for start, length in periods
    ]
    shuffled = bags.copy()
    dice.shuffle(shuffled)
    policy = {"additional_hour_minimum_minutes": minutes}
    assert claimed(encounter(*shuffled, policy=policy)) == claimed(encounter(*bags, policy=policy))


@quick
@given(timed(), st.randoms(use_true_random=False))
def test_the_order_and_the_overlap_of_pauses_change_nothing(
    infusion: tuple[int, list[tuple[int, int]]], dice: Any
) -> None:
    stop, pauses = infusion
    shuffled = [*pauses, *pauses[:1]]
    dice.shuffle(shuffled)
    assert claimed(encounter(infused("J2350", 0, stop, *shuffled))) == claimed(
        encounter(infused("J2350", 0, stop, *pauses))
    )


@quick
@given(timed(), st.integers(1, 130), threshold, st.sampled_from([1, 16, 31, 60]), family)
def test_more_running_time_never_lowers_units(
    infusion: tuple[int, list[tuple[int, int]]], more: int, minutes: int, minimum: int, codes: str
) -> None:
    stop, pauses = infusion
    policy = {
        "additional_hour_minimum_minutes": minutes,
        "infusion_minimum_minutes": minimum,
        "administration_family": codes,
    }
    shorter = encounter(infused("J2350", 0, stop, *pauses), policy=policy)
    longer = encounter(infused("J2350", 0, stop + more, *pauses), policy=policy)
    unpaused = encounter(infused("J2350", 0, stop, *pauses[1:]), policy=policy)
    assert units_for_giving(longer) >= units_for_giving(shorter)
    assert units_for_giving(unpaused) >= units_for_giving(shorter)


@quick
@given(st.integers(1, 1300), st.integers(1, 130), threshold)
def test_a_longer_visit_never_lowers_units(minutes: int, more: int, tail: int) -> None:
    def visited(length: int) -> int:
        visit = {"start": clock(0), "stop": clock(length)}
        policy = {"additional_hour_minimum_minutes": tail}
        return units_for_giving(encounter(infused("J2350", 0, 60), setting="home", visit=visit, policy=policy))

    assert visited(minutes + more) >= visited(minutes)


@quick
@given(timed(), st.sampled_from(["2025-11-02", "2026-03-08", "2026-03-10", "2025-12-31"]), st.integers(0, 1439))
def test_the_same_instants_written_in_any_zone_give_the_same_lines(
    infusion: tuple[int, list[tuple[int, int]]], day: str, begin: int
) -> None:
    stop, pauses = infusion
    start = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(minutes=begin)

    def written_in(zone: timedelta) -> list[str]:
        def stamp(minute: int) -> str:
            shifted = (start + timedelta(minutes=minute) + zone).replace(tzinfo=None)
            hours = zone // timedelta(hours=1)
            return f"{shifted.isoformat(timespec='minutes')}{hours:+03}:00"

        record = infused("J2350", 0, 1) | {"start": stamp(0), "stop": stamp(stop)}
        record["pauses"] = [{"start": stamp(first), "stop": stamp(last)} for first, last in pauses]
        return claimed(encounter(record, date_of_service=day))

    assert written_in(timedelta(0)) == written_in(timedelta(hours=-5)) == written_in(timedelta(hours=9))


# Units --------------------------------------------------------------------------------------------------------------


@st.composite
def opened(draw: st.DrawFn) -> tuple[Document, Decimal]:
    """A single-dose drug from vials that add up, and the labelled content opened."""
    rows = [row for rows in REFERENCE.drugs.values() for row in rows if row.last_day is None and row.code != "J0202"]
    row = draw(st.sampled_from(rows))
    sizes = draw(st.lists(st.sampled_from([each.amount for each in row.containers]), min_size=1, max_size=4))
    total = sum(sizes, Decimal(0))
    given = Decimal(draw(st.integers(1, int(total * 10)))) / 10
    left = total - given
    parts = []
    for reason in draw(st.permutations(["vial_remainder", "stopped_early", "line_residual", "broken_or_spilled"])):
        part = min(left, Decimal(draw(st.integers(0, int(total * 10)))) / 10)
        parts.append((reason, part))
        left -= part
    parts.append(("vial_remainder", left))
    record = {
        "drug": row.code,
        "route": row.routes[0],
        "start": clock(0),
        "stop": clock(30),
        "ordered": str(total),
        "administered": str(given),
        "vials": [{"amount": str(size)} for size in sizes],
        "discards": [{"amount": str(part), "reason": reason} for reason, part in parts if part],
    }
    policy = {"discarded_drug": draw(st.sampled_from(["separate_line", "combined_line", "not_billed"]))}
    if draw(st.booleans()):
        policy["billable_discard_reasons"] = ["vial_remainder", "stopped_early", "line_residual", "broken_or_spilled"]
    return encounter(record, policy=policy), total


@quick
@given(opened())
def test_units_never_exceed_what_was_opened(pair: tuple[Document, Decimal]) -> None:
    document, total = pair
    statement = read(document)
    assert statement.errors == ()
    lines = [line for line in statement.lines if line.kind == "drug"]
    unit = REFERENCE.drugs[lines[0].code][-1].billing_unit
    given = Decimal(document["administrations"][0]["administered"])
    billed = sum(line.units for line in lines)
    # Where even the dose alone needs a last part of a unit that the label does not hold, it is rounded up.
    assert billed <= max(total // unit, -(-given // unit))
    if all(size % unit == 0 for size in [Decimal(vial["amount"]) for vial in document["administrations"][0]["vials"]]):
        assert billed <= total // unit
    assert billed * unit >= given, "never a lost unit that the record supports"


@quick
@given(opened(), st.integers(1, 400))
def test_a_limit_on_a_line_moves_units_and_loses_none(pair: tuple[Document, Decimal], most: int) -> None:
    document, _ = pair
    whole, split = read(document), read(document | {"policy": document["policy"] | {"maximum_units_per_line": most}})

    def totals(statement: Statement) -> dict[Any, Any]:
        units: Counter[Any] = Counter()
        for line in statement.lines:
            units[line.code, line.modifiers] += line.units
        return dict(units)

    assert totals(split) == totals(whole)
    assert all(line.units <= most for line in split.lines if line.kind == "drug")


@quick
@given(opened(), st.integers(1, 400))
def test_ndc_quantities_of_all_lines_are_the_milligrams(pair: tuple[Document, Decimal], most: int) -> None:
    document, _ = pair
    for vial in document["administrations"][0]["vials"]:
        vial["ndc"] = "99999-9999-99"
    document["policy"] = document["policy"] | {"maximum_units_per_line": most, "discarded_drug": "not_billed"}
    lines = [line for line in read(document).lines if line.kind == "drug"]
    drug = REFERENCE.drugs[lines[0].code][-1]
    quantity = sum((each.quantity for line in lines for each in line.ndcs), Decimal(0))
    left, expected = Decimal(document["administrations"][0]["administered"]), Decimal(0)
    for vial in document["administrations"][0]["vials"]:
        size = Decimal(vial["amount"])
        drawn = min(left, size)
        expected += drawn / (drug.concentration or size)
        left -= drawn
    assert {each.unit for line in lines for each in line.ndcs} == {"ML" if drug.concentration else "UN"}
    # Each line is rounded by itself, half up.
    assert abs(quantity - expected) <= Decimal("0.0005") * len(lines)


# Lines --------------------------------------------------------------------------------------------------------------

INITIAL = {row.code for row in REFERENCE.administration.values() if row.role in ("initial", "push_initial")}


def check_lines(document: Document) -> None:
    statement = read(document)
    codes = [line.code for line in statement.lines]
    assert len(codes) == len(
        set(zip(codes, [line.modifiers for line in statement.lines], strict=True))
    ) or document.get("policy"), "a code stands once unless a payer limits its lines"
    accesses = {each.get("access") or "1" for each in document["administrations"]}
    assert sum(line.units for line in statement.lines if line.code in INITIAL) <= len(accesses)
    for line in statement.lines:
        check_line(line, statement, set(codes))


def check_line(line: ServiceLine, statement: Statement, codes: set[str]) -> None:
    assert line.units > 0
    assert line.because, f"{line.code} has no reason"
    assert line.administrations
    for because in line.because:
        assert because.text.endswith(".")
        assert because.source in REFERENCE.sources
        assert because.rule in REFERENCE.rules or because.rule in PARAMETERS
        assert (because.rule in PARAMETERS) == (because.reading is not None)
    row = REFERENCE.administration.get(line.code)
    if row is not None:
        parents = set(row.parents)
        assert not parents or parents & codes, f"{line.code} stands without any of {sorted(parents)}"
    waste = {modifier for other in statement.lines if other.code == line.code for modifier in other.modifiers}
    assert not {"JW", "JZ"} <= waste


@quick
@given(some_encounters())
def test_every_line_has_its_reasons_its_parent_and_its_place(document: Document) -> None:
    check_lines(document)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_over_many_more(seed: int) -> None:
    for document in encounters(1000 + seed, 400):
        check_lines(document)


@quick
@given(some_encounters())
def test_a_code_for_one_setting_is_not_reported_in_another(document: Document) -> None:
    for line in read(document).lines:
        row = REFERENCE.administration.get(line.code)
        assert row is None or document["setting"] in row.settings


@quick
@given(some_encounters())
def test_a_blocked_answer_says_why_and_a_ready_one_has_no_error(document: Document) -> None:
    statement = read(document)
    assert (statement.status == "blocked") == any(finding.severity == "error" for finding in statement.findings)
    ids = {each["id"] for each in document["administrations"]}
    assert {finding.administration for finding in statement.findings} <= ids | {""}


@quick
@given(some_encounters(), st.integers(0, 4))
def test_without_a_stop_nothing_given_by_vein_has_a_line(document: Document, index: int) -> None:
    """Never one unit by default."""
    records = document["administrations"]
    record = records[index % len(records)]
    if record["route"] != "iv_infusion" or document["setting"] == "home":
        return
    document["policy"] = {}
    document["date_of_service"] = document.get("date_of_service") or "2026-03-10"
    record.pop("stop", None)
    statement = read(document)
    assert "time.stop_missing" in {error.code for error in statement.errors}
    assert {line.code for line in statement.lines if line.kind == "administration"} <= {"96372", "96401"}


# Reasons ------------------------------------------------------------------------------------------------------------

# A parameter may take a line away altogether; then one of these says so.
TOLD_INSTEAD = {
    "missing_stop_time": {"time.stop_missing", "time.counted_as_push"},
    "infusion_minimum_minutes": {"push.repeat_not_reported"},
    "hydration_minimum_minutes": {"hydration.too_short"},
    "bag_change_minutes": {"hydration.too_short"},
    "concurrent_minimum_minutes": {"infusion.concurrent_too_short"},
    "additional_hour_minimum_minutes": {"infusion.repeat_too_short"},
    "home_administration": {"visit.missing"},
    "modifier_340b": {"drug.price_mixed"},
    "billable_discard_drugs": {"waste.fixed_dose"},
    "supplied_drug_line": {"drug.supplied"},
    "administration_family": {"time.concurrent_complex"},
}
OTHER_VALUES: list[tuple[str, Any]] = [
    ("infusion_minimum_minutes", 31),
    ("infusion_minimum_minutes", 10),
    ("hydration_minimum_minutes", 60),
    ("hydration_minimum_minutes", 16),
    ("additional_hour_minimum_minutes", 30),
    ("additional_hour_minimum_minutes", 1),
    ("bag_change_minutes", 30),
    ("concurrent_minimum_minutes", 16),
    ("administration_family", "complex"),
    ("missing_stop_time", "push"),
    ("discarded_drug", "combined_line"),
    ("discarded_drug", "not_billed"),
    ("zero_discard_modifier", "not_used"),
    ("billable_discard_reasons", []),
    ("billable_discard_reasons", ["vial_remainder", "line_residual"]),
    ("billable_discard_drugs", "variable_dose"),
    ("billable_discard_containers", "all"),
    ("maximum_discarded_units", "smallest_vial"),
    ("supplied_drug_line", "nominal_charge"),
    ("distinct_site_modifier", "XS"),
    ("modifier_340b", "TB"),
    ("modifier_340b", "by_date"),
    ("off_campus_modifier", "required"),
    ("route_modifier", "required"),
    ("home_administration", "infusion"),
    ("home_per_diem", "S9379"),
    ("infusion_past_midnight", "per_day"),
    ("maximum_units_per_line", 60),
    ("separate_ndc_lines", True),
]


def by_content(statement: Statement) -> dict[str, list[ServiceLine]]:
    lines: dict[str, list[ServiceLine]] = {}
    for line in statement.lines:
        lines.setdefault(written(line), []).append(line)
    return lines


@cache
def under_the_baseline() -> list[tuple[Document, Statement]]:
    return [(document, read(document | {"policy": {}})) for document in encounters(82, 400)]


@pytest.mark.parametrize(("name", "value"), OTHER_VALUES, ids=str)
def test_a_parameter_that_changes_a_line_is_among_its_reasons(name: str, value: Any) -> None:
    changed = 0
    for document, before in under_the_baseline():
        after = read(document | {"policy": {name: value}})
        old, new = by_content(before), by_content(after)
        contents = [content for content in old | new if len(old.get(content, [])) != len(new.get(content, []))]
        different = [line for content in contents for line in (*old.get(content, []), *new.get(content, []))]
        if not different:
            continue
        changed += 1
        named = {because.rule for line in different for because in line.because}
        told = {finding.code for finding in before.findings} ^ {finding.code for finding in after.findings}
        assert name in named or told & TOLD_INSTEAD.get(name, set()), f"{name}={value}\n{document}"
    assert changed, f"{name}={value} changed no line of any encounter"


def test_parameters_that_are_left_out_above_change_no_line() -> None:
    """They warn instead; each is varied in test_findings."""
    rest = {
        "drug_covered": False,
        "accepted_diagnoses": ["G35.D"],
        "prior_authorization": "always",
        "prior_authorization_dose_limit": "1",
        "step_therapy": "an interferon",
        "ndc_required": True,
        "administered_lines_per_day": "one",
        "maximum_units_per_dose": 1,
        "maximum_units_per_period": 1,
        "units_period_months": 36,
        "home_per_diem_units": 2,
        "minimum_days_between_doses": 999,
        "administration_paid": False,
        "maximum_claim_charge": "1",
        "split_claim_modifier": "59",
    }
    assert set(rest) == set(PARAMETERS) - {name for name, _ in OTHER_VALUES}
    for document in encounters(78, 200):
        assert read(document | {"policy": rest}).lines == read(document | {"policy": {}}).lines


def test_a_value_of_one_encounter_is_told_as_such() -> None:
    document = encounter(infused("J2350", 0, 150), policy={"additional_hour_minimum_minutes": 30})
    answer: Any = statement_document(read(document))
    [line] = [line for line in answer["lines"] if line["code"] == "96366"]
    [why] = [why for why in line["because"] if why["rule"] == "additional_hour_minimum_minutes"]
    assert (why["value"], why["from"]) == (30, "inline")
    assert answer["policy"]["additional_hour_minimum_minutes"]["from"] == "inline"
    assert answer["policy"]["infusion_minimum_minutes"] == {"value": 16, "from": "baseline", "source": "CAS16"}


# Any input, any machine --------------------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([clock(0), "600"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@quick
@given(some_encounters(), anything, st.data())
def test_any_document_gets_an_answer(document: Document, value: Any, data: st.DataObject) -> None:
    """One field of an encounter replaced by anything at all: an answer or a refusal, never a crash."""
    holder: Any = document
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
            holder = holder[key]
            continue
        holder[key] = value
        break
    with contextlib.suppress(Unreadable):
        statement = read(decode(json.dumps(document)))
        assert statement.status in ("ready", "blocked")
        json.dumps(statement_document(statement), ensure_ascii=False).encode()


@quick
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode()))
def test_any_bytes_are_read_or_refused(line: bytes) -> None:
    with contextlib.suppress(Unreadable):
        assert isinstance(parse_encounter(decode(line), ZONE), Asked)


@quick
@given(some_encounters())
def test_the_answer_is_plain_json_and_the_same_twice(document: Document) -> None:
    first, second = (json.dumps(statement_document(read(document))) for _ in range(2))
    assert first == second
    assert json.loads(first)["id"] == document["id"]


def test_the_answer_is_the_same_on_any_machine() -> None:
    lines = "\n".join(json.dumps(document) for document in encounters(5, 60)) + "\n"
    answers = {
        subprocess.run(
            [sys.executable, "manage.py", "calculate"],
            cwd=ROOT,
            env={**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "LANG": "C", "INFUSION_MODE": "test"},
            input=lines.encode(),
            capture_output=True,
            check=True,
            timeout=120,
        ).stdout
        for zone, seed in (("UTC", "0"), ("Asia/Kolkata", "1"), ("America/Los_Angeles", "4711"))
    }
    assert len(answers) == 1
    assert answers.pop().count(b"\n") == 60


def test_the_order_of_unverified_rules_hangs_on_no_hash() -> None:
    """Readings are told in the order of the record, in every process."""
    program = (
        "from tests.rules.shorthand import *\n"
        "from payers.policy import *\n"
        "codes = ['J1745', 'J2323', 'J2350', 'J3380', 'J9312']\n"
        "records = [infused(code, 0, 60) for code in codes]\n"
        "[record.pop('stop') for record in records]\n"
        "print(list(read(encounter(*records)).policy))\n"
    )
    orders = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("0", "1", "2", "3")
    }
    assert len(orders) == 1
    assert services(encounter(infused("J2350", 0, 60))) == ["96365 x1"]
