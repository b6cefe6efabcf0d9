"""What would send a claim back although its lines are right: each check just under, at and just over its boundary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from infusion.services.claim_checks import (
    Authorization,
    ClaimContext,
    OtherVisit,
    Pair,
    UnitLimit,
    check_claim,
)
from infusion.services.claim_split import Charged, in_words, split, total_of
from infusion.services.findings import CLAIM_ERRORS, CLAIM_INFOS, CLAIM_MESSAGES, CLAIM_WARNINGS, Finding, Severity
from infusion.services.lines import NdcQuantity, ServiceLine, Statement
from infusion.services.reference import shipped_reference
from infusion.services.wire import parse_encounter
from payers.policy import BASELINE, PARAMETERS, Layer, PayerPolicy, Scope, national_baseline
from tests.rules.shorthand import ZONE, encounter, infused, injected, on, pushed, read
from tests.rules.test_findings import check_sentence

Document = dict[str, Any]
DAY = date(2026, 3, 10)
HOSPITAL = "hospital_outpatient"
NDC_ON_FILE = {"ndc": "50242-0150-01"}


def payer(status: str = "verified", **values: object) -> PayerPolicy:
    """A payer with these rules, which somebody has verified or nobody."""
    cleaned = {name: PARAMETERS[name].clean(value) for name, value in values.items()}
    layer = Layer("Example Mutual", cleaned, source="their manual", status=status)  # type: ignore[arg-type]
    return PayerPolicy((BASELINE, layer))


UNVERIFIED = "unverified"
ASKS = payer(prior_authorization="always")


def sarah(**more: Any) -> Document:
    """600 mg of ocrelizumab over 150 minutes in an office: 96365, 96366, J2350 JZ x600."""
    dose = infused("J2350", 0, 150, ordered="600", administered="600", vials=[{"amount": "300", "count": 2}])
    return encounter(dose, **({"diagnoses": ["G35.A"]} | more))


def checked(
    document: Document | None = None,
    policy: PayerPolicy | None = None,
    lines: Iterable[ServiceLine] | None = None,
    **context: Any,
) -> tuple[Finding, ...]:
    """The findings of a claim. `lines` takes the place of what the engine made, as an old approval would."""
    document, policy = document or sarah(), policy or national_baseline()
    statement = read(document, policy)
    if lines is not None:
        statement = statement._replace(lines=tuple(lines))
    place = {"office": "11", "home": "12", HOSPITAL: "22"}[document["setting"]]
    return check_claim(
        parse_encounter(document, ZONE).encounter,
        statement,
        date.fromisoformat(document["date_of_service"]),
        policy.on(date.fromisoformat(document["date_of_service"]), document["setting"]),
        shipped_reference(),
        ClaimContext(**{"place_of_service": place, **context}),
    )


def codes(*arguments: Any, **more: Any) -> list[str]:
    return [finding.code for finding in checked(*arguments, **more)]


def lines_of(document: Document | None = None, policy: PayerPolicy | None = None) -> list[ServiceLine]:
    return list(read(document or sarah(), policy).lines)


def drug_line(**more: Any) -> ServiceLine:
    [line] = [each for each in lines_of() if each.kind == "drug"]
    return line._replace(**more)


def on_file(**more: Any) -> Authorization:
    return Authorization(**{"number": "PA-7", "drug": "J2350", "effective_from": date(2026, 1, 1), **more})


def pair(first: str, second: str, **more: Any) -> Pair:
    return Pair(first=first, second=second, effective_from=date(2020, 1, 1), table="NCCI 2026Q1, practitioner", **more)


def limit(units: int, indicator: str = "3") -> UnitLimit:
    return UnitLimit(units=units, indicator=indicator, table="MUE 2026Q1, practitioner")


FIRST_VISIT = OtherVisit(units={"96365": 1, "J1745": 30}, earlier=True)
TWO_FAMILIES = encounter(infused("J2350", 0, 60), diagnoses=["G35.A"])

AT_HOME = encounter(infused("J2350", 0, 60), setting="home", diagnoses=["G35.A"])

# code: how to come to it, and a part of the sentence
TABLE: dict[str, tuple[dict[str, Any], str]] = {
    "claim.add_on_without_parent": ({"lines": [each for each in lines_of() if each.code != "96365"]}, "(96365, 96367"),
    "claim.authorization_exceeded": (
        {"authorizations": (on_file(dose_limit=Decimal(599)),)},
        "PA-7 covers 599 mg of ocrelizumab, and the dose is 600"),
    "claim.authorization_missing": ({"policy": ASKS}, "Example Mutual wants a prior authorization for ocrelizumab"),
    "claim.complex_family": (
        {"lines": lines_of(sarah(), payer(administration_family="complex"))}, "96413 belongs to the complex family"),
    "claim.diagnosis_missing": ({"document": sarah(diagnoses=[])}, "no diagnosis"),
    "claim.diagnosis_not_accepted": (
        {"policy": payer(accepted_diagnoses=["G35.B0"])}, "other diagnoses (G35.B0) than the ones here (G35.A)"),
    "claim.ndc_malformed": (
        {"lines": [drug_line(ndcs=(NdcQuantity("5024201500", Decimal(20), "ML"),))]}, "NDC 5024201500 on the line"),
    "claim.ndc_missing": (
        {"policy": payer(ndc_required=True), "lines": [*lines_of()[:2], drug_line(ndcs=())]},
        "a line of J2350 has none"),
    "claim.pair_never": ({"pairs": (pair("96365", "J2350"),)}, "96365 and J2350 are never paid together"),
    "claim.pair_without_modifier": (
        {"pairs": (pair("96365", "96366", modifier_allowed=True),)}, "They were given on one access"),
    "claim.place_differs": (
        {"place_of_service": "12"}, "Place of service 12 (home) does not go with the setting office"
    ),
    "claim.place_facility": ({"place_of_service": "22"}, "neither the infusion (96365, 96366) nor its drug"),
    "claim.place_missing": ({"place_of_service": ""}, "There is no place of service"),
    "claim.recorded_twice": ({"recorded_twice": (("a1", "J2350"),)}, "J2350 is recorded for this patient on another"),
    "claim.second_visit": ({"others": (FIRST_VISIT,)}, "without 59, so the payer denies it"),
    "claim.total_too_high": ({"charges": {2: Decimal("100000.00")}}, "Send 2 claims: 1) J2350 JZ x599: $99,833.33; 2)"),
    "claim.trial_drug_charged": ({"trial_number": "01234567"}, "The sponsor of trial 01234567 supplies the drug"),
    "claim.trial_number_malformed": (
        {"trial_number": "NCT01234", "lines": lines_of()[:1]}, "NCT01234 is not the number of a trial"),
    "claim.unit_charge_too_high": (
        {"lines": [drug_line(units=2)], "charges": {0: Decimal("200000")}},
        "One unit of J2350 JZ is charged at $100,000"),
    "claim.units_above_absolute": ({"limits": {"96366": limit(0, "2")}}, "1 unit of 96366 on one day, above 0"),
    "claim.units_not_by_milligram": (
        {"lines": [drug_line(units=2)]}, "make 600 units at 1 mg a unit. 2 vials were counted as units."),
    "claim.diagnosis_not_in_force": (
        {"document": sarah(diagnoses=["G35.A", "G35"])}, "G35 is not a diagnosis code on 2026-03-10"),
    "claim.charge_by_vial": (
        {"charges": {2: Decimal(600 * 334)}}, "A vial of 300 mg of ocrelizumab would be charged at $100,200.00"),
    "claim.coverage_missing": ({"has_membership": False}, "no membership with this payer on 2026-03-10"),
    "claim.home_per_diem": (
        {"document": AT_HOME, "policy": payer(home_per_diem="S9379"), "lines": [drug_line()]}, "a day's rate"),
    "claim.place_unknown": ({"place_of_service": "99"}, "Place of service 99 is not in the table"),
    "claim.step_therapy": ({"policy": payer(step_therapy="another drug")}, "wants this tried before ocrelizumab"),
    "claim.units_above_limit": ({"limits": {"J2350": limit(599)}}, "600 units of J2350 on one day, above 599"),
    "claim.units_of_unknown_code": ({"lines": [drug_line(code="J0000")]}, "J0000 is not in the drug table"),
    "claim.authorization_on_file": (
        {"authorizations": (on_file(dose_limit=Decimal(600)),)}, "holds on 2026-03-10, for up to 600 mg"),
    "claim.home_per_diem_unknown": (
        {"document": AT_HOME}, "S9379, beside the visit"),
    "claim.units_within_limit": (
        {"lines": [drug_line(units=601)], "limits": {"J2350": limit(900)}}, "above 600 in the shipped table"),
}  # fmt: skip

# code: the administration and the field where it is mended; the others are told of the claim as a whole
WHERE = {
    **dict.fromkeys(
        ("claim.authorization_exceeded", "claim.authorization_missing", "claim.authorization_on_file",
         "claim.diagnosis_not_accepted", "claim.step_therapy"), ("a1", "drug")),
    **dict.fromkeys(("claim.ndc_malformed", "claim.ndc_missing"), ("a1", "vials")),
    **dict.fromkeys(
        ("claim.place_differs", "claim.place_facility", "claim.place_missing", "claim.place_unknown"),
        ("", "place_of_service")),
    **dict.fromkeys(
        ("claim.charge_by_vial", "claim.total_too_high", "claim.unit_charge_too_high"), ("", "charges")),
    "claim.complex_family": ("a1", ""),
    "claim.coverage_missing": ("", "coverage"),
    "claim.diagnosis_missing": ("", "diagnoses"),
    "claim.diagnosis_not_in_force": ("", "diagnoses.1"),
    "claim.recorded_twice": ("a1", ""),
    "claim.second_visit": ("a1", ""),
    "claim.trial_drug_charged": ("a1", "acquired"),
    "claim.trial_number_malformed": ("", "trial_number"),
    "claim.units_not_by_milligram": ("a1", "administered"),
}  # fmt: skip


def of_table(code: str) -> Finding:
    arguments = dict(TABLE[code][0])
    if code == "claim.diagnosis_not_in_force":
        arguments = {"approved": True, **arguments}
    found = approved_long_ago(arguments["document"]) if arguments.pop("approved", False) else checked(**arguments)
    return next(finding for finding in found if finding.code == code)


def approved_long_ago(document: Document) -> tuple[Finding, ...]:
    """Checked against lines whose own findings know nothing of the diagnosis."""
    statement = read(sarah())._replace(findings=())
    return check_claim(
        parse_encounter(document, ZONE).encounter, statement, DAY, national_baseline().on(DAY, "office"),
        shipped_reference(), ClaimContext(place_of_service="11"),
    )  # fmt: skip


def test_every_code_has_its_row() -> None:
    assert set(TABLE) == set(CLAIM_MESSAGES)


def test_no_code_stands_under_two_severities() -> None:
    assert len(CLAIM_MESSAGES) == len(CLAIM_ERRORS) + len(CLAIM_WARNINGS) + len(CLAIM_INFOS)


@pytest.mark.parametrize("code", CLAIM_MESSAGES)
def test_finding(code: str) -> None:
    finding = of_table(code)
    assert finding.severity is CLAIM_MESSAGES[code][0]
    assert (finding.administration, finding.field) == WHERE.get(code, ("", ""))
    assert TABLE[code][1] in finding.message
    check_sentence(finding.message)


def test_a_claim_with_nothing_wrong_is_told_nothing() -> None:
    assert codes() == []
    assert codes(sarah(setting=HOSPITAL)) == []


# Place ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "place", "expected"),
    [
        ("office", "11", []),
        ("office", "49", []),
        ("office", "12", ["claim.place_differs"]),
        ("office", "19", ["claim.place_facility"]),
        ("office", "21", ["claim.place_facility"]),
        ("office", "22", ["claim.place_facility"]),
        ("office", "23", ["claim.place_facility"]),
        ("office", "24", ["claim.place_facility"]),
        ("office", "31", ["claim.place_facility"]),
        ("office", "32", ["claim.place_facility"]),
        ("office", "33", ["claim.place_unknown"]),
        ("office", "", ["claim.place_missing"]),
        ("home", "22", ["claim.place_facility"]),
        (HOSPITAL, "19", []),
        (HOSPITAL, "22", []),
        (HOSPITAL, "23", []),
        (HOSPITAL, "11", ["claim.place_differs"]),
        (HOSPITAL, "12", ["claim.place_differs"]),
        (HOSPITAL, "21", ["claim.place_unknown"]),
    ],
)
def test_the_place_goes_with_the_setting(setting: str, place: str, expected: list[str]) -> None:
    found = codes(sarah(setting=setting), place_of_service=place)
    assert [code for code in found if code.startswith("claim.place")] == expected


def test_a_facility_is_told_of_before_there_is_any_line() -> None:
    [finding] = checked(lines=[], place_of_service="22")
    assert "neither the infusion (its administration)" in finding.message


# Diagnosis ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("day", "code", "wrong"), [
    ("2025-09-30", "G35", False), ("2025-10-01", "G35", True), ("2025-10-01", "G35.A", False),
    ("2025-09-30", "G35.A", True), ("2026-03-10", "Z99.0", False),
])  # fmt: skip
def test_a_diagnosis_is_in_force_on_the_day(day: str, code: str, wrong: bool) -> None:
    document = on(day, infused("J2350", 0, 60), diagnoses=[code])
    told = read(document)._replace(findings=())
    found = check_claim(
        parse_encounter(document, ZONE).encounter, told, date.fromisoformat(day),
        national_baseline().on(date.fromisoformat(day), "office"), shipped_reference(),
        ClaimContext(place_of_service="11"),
    )  # fmt: skip
    assert [each.code for each in found] == (["claim.diagnosis_not_in_force"] if wrong else [])


def test_what_the_engine_holds_up_is_not_told_twice() -> None:
    assert codes(sarah(diagnoses=["G35"])) == []


@pytest.mark.parametrize(
    ("accepted", "diagnoses", "told"),
    [
        (["G35.A"], ["G35.A"], False),
        (["g35a"], ["G35.A"], False),
        (["G35.B0", "G35.A"], ["G35.D", "G35.A"], False),
        (["G35.B0"], ["G35.A"], True),
        ([], ["G35.A"], False),
    ],
)
def test_one_accepted_diagnosis_is_enough(accepted: list[str], diagnoses: list[str], told: bool) -> None:
    found = codes(sarah(diagnoses=diagnoses), payer(accepted_diagnoses=accepted))
    assert ("claim.diagnosis_not_accepted" in found) == told


def test_no_diagnosis_is_none_that_a_payer_accepts() -> None:
    found = checked(sarah(diagnoses=[]), payer(accepted_diagnoses=["G35.A"]))
    assert "than the ones here (none)" in next(each.message for each in found if "accepted" in each.code)


# A rule that nobody has verified warns --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "values", "lines"),
    [
        ("claim.diagnosis_not_accepted", {"accepted_diagnoses": ["G35.B0"]}, None),
        ("claim.authorization_missing", {"prior_authorization": "always"}, None),
        ("claim.ndc_missing", {"ndc_required": True}, [drug_line(ndcs=())]),
        (
            "claim.complex_family",
            {"administration_family": "therapeutic"},
            lines_of(sarah(), payer(administration_family="complex")),
        ),
    ],
)
def test_an_unverified_rule_warns_and_a_verified_one_stops(
    code: str, values: Document, lines: list[ServiceLine] | None
) -> None:
    for status, severity in (("verified", Severity.ERROR), (UNVERIFIED, Severity.WARNING)):
        found = checked(policy=payer(status, **values), lines=lines)
        assert {each.severity for each in found if each.code == code} == {severity}


# Authorization and step therapy ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "held"),
    [
        (date(2026, 3, 10), None, True),
        (date(2026, 3, 11), None, False),
        (date(2026, 1, 1), date(2026, 3, 10), True),
        (date(2026, 1, 1), date(2026, 3, 9), False),
        (date(2026, 3, 10), date(2026, 3, 10), True),
    ],
)
def test_an_authorization_holds_from_its_first_to_its_last_day(first: date, last: date | None, held: bool) -> None:
    found = codes(policy=ASKS, authorizations=(on_file(effective_from=first, effective_until=last),))
    assert found == (["claim.authorization_on_file"] if held else ["claim.authorization_missing"])


def test_one_of_other_days_is_named() -> None:
    [finding] = checked(policy=ASKS, authorizations=(on_file(effective_until=date(2026, 3, 9)),))
    assert "PA-7 holds from 2026-01-01 to 2026-03-09. Ask for one" in finding.message
    [finding] = checked(policy=ASKS, authorizations=(on_file(effective_from=date(2026, 3, 11)),))
    assert "PA-7 holds from 2026-03-11. Ask for one" in finding.message


@pytest.mark.parametrize(("most", "enough"), [("599.999", False), ("600", True), ("600.001", True), (None, True)])
def test_the_dose_is_within_what_was_authorized(most: str | None, enough: bool) -> None:
    found = codes(policy=ASKS, authorizations=(on_file(dose_limit=Decimal(most) if most else None),))
    assert found == (["claim.authorization_on_file"] if enough else ["claim.authorization_exceeded"])


@pytest.mark.parametrize(("ordered", "given"), [("600", "580"), ("580", "600"), (None, "600")])
def test_the_dose_is_what_was_ordered_or_what_was_given_if_that_is_more(ordered: str | None, given: str) -> None:
    dose = sarah()["administrations"][0] | {"ordered": ordered, "administered": given}
    [finding] = checked(
        encounter(dose, diagnoses=["G35.A"]), lines=lines_of(), authorizations=(on_file(dose_limit=Decimal(599)),)
    )
    assert "PA-7 covers 599 mg of ocrelizumab, and the dose is 600 mg" in finding.message


def test_each_drug_is_held_against_its_own_authorization() -> None:
    document = encounter(infused("J2350", 0, 60), infused("J1745", 60, 120), diagnoses=["G35.A"])
    held = [on_file(dose_limit=Decimal(300)), on_file(number="PA-8", drug="J1745", dose_limit=Decimal(99))]
    first, second = checked(document, authorizations=held)
    assert (first.code, first.administration) == ("claim.authorization_on_file", "a1")
    assert (second.code, second.administration) == ("claim.authorization_exceeded", "a2")
    assert "PA-8 covers 99 mg of infliximab, and the dose is 100 mg" in second.message


def test_of_several_authorizations_one_is_enough_and_the_largest_is_named() -> None:
    small, large = (on_file(number=f"PA-{size}", dose_limit=Decimal(size)) for size in (300, 500))
    assert "PA-500 covers 500 mg" in checked(authorizations=(small, large))[0].message
    whole = on_file(number="PA-9", drug="Ocrelizumab")
    assert "Authorization PA-9 for ocrelizumab holds" in checked(authorizations=(small, whole))[0].message


def test_an_authorization_of_another_drug_counts_for_nothing() -> None:
    assert codes(policy=ASKS, authorizations=(on_file(drug="J2323"),)) == ["claim.authorization_missing"]


@pytest.mark.parametrize(("most", "asked"), [("599.999", True), ("600", False), ("600.001", False), (None, True)])
def test_above_a_dose_an_authorization_is_asked_for(most: str | None, asked: bool) -> None:
    """Without the dose that the payer means, none is known to be under it."""
    policy = payer(prior_authorization="above_dose", prior_authorization_dose_limit=most)
    found = [each for each in checked(policy=policy) if each.code == "claim.authorization_missing"]
    assert bool(found) == asked
    if most and asked:
        assert "for ocrelizumab above 599.999 mg" in found[0].message


def test_a_held_authorization_shows_that_the_step_was_taken() -> None:
    policy = payer(step_therapy="another drug")
    assert codes(policy=policy) == ["claim.step_therapy"]
    assert codes(policy=policy, authorizations=(on_file(),)) == ["claim.authorization_on_file"]
    exceeded = (on_file(dose_limit=Decimal(1)),)
    assert codes(policy=policy, authorizations=exceeded) == ["claim.authorization_exceeded", "claim.step_therapy"]


def test_a_drug_that_the_site_did_not_buy_needs_no_authorization() -> None:
    document = encounter(infused("J2350", 0, 60, acquired="supplied"), diagnoses=["G35.A"])
    assert codes(document, payer(prior_authorization="always", supplied_drug_line="nominal_charge")) == []


def test_a_line_whose_administration_is_gone_is_still_checked() -> None:
    found = checked(policy=ASKS, lines=[drug_line(administrations=("a9",))])
    assert [(each.code, each.administration) for each in found] == [
        ("claim.authorization_missing", ""), ("claim.units_not_by_milligram", ""),
    ]  # fmt: skip


# Units ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "wrong"), [(1, True), (2, True), (599, True), (600, False), (601, True), (180_000, True)]
)
def test_units_are_milligrams_by_the_billing_unit(units: int, wrong: bool) -> None:
    found = checked(lines=[drug_line(units=units)])
    assert ("claim.units_not_by_milligram" in [each.code for each in found]) == wrong
    if wrong:
        assert ("2 vials were counted as units." in found[0].message) == (units == 2)


@pytest.mark.parametrize(("units", "wrong"), [(280, True), (281, False), (299, False), (300, False), (301, True)])
def test_units_lie_between_the_dose_and_the_opened_vials(units: int, wrong: bool) -> None:
    """280.4 mg of 300: 281 given, and with the discard at most the 300 that the vial holds."""
    dose = infused(
        "J2350", 0, 60, administered="280.4", vials=[{"amount": "300"}],
        discards=[{"amount": "19.6", "reason": "vial_remainder"}],
    )  # fmt: skip
    document = encounter(dose, diagnoses=["G35.A"])
    found = checked(document, lines=[drug_line(units=units)])
    assert [each.code for each in found] == (["claim.units_not_by_milligram"] if wrong else [])
    if wrong:
        assert "make 281 to 300 units" in found[0].message


@pytest.mark.parametrize(("units", "wrong"), [(30, True), (31, False), (40, False), (41, True), (4, True)])
def test_a_unit_of_ten_milligrams_is_no_vial_either(units: int, wrong: bool) -> None:
    dose = infused(
        "J1745", 0, 60, administered="305", vials=[{"amount": "100", "count": 4}],
        discards=[{"amount": "95", "reason": "vial_remainder"}],
    )  # fmt: skip
    document = encounter(dose, diagnoses=["K50.90"])
    line = next(each for each in lines_of(document) if each.code == "J1745")._replace(units=units, modifiers=())
    found = [each for each in checked(document, lines=[line]) if each.code == "claim.units_not_by_milligram"]
    assert bool(found) == wrong


def test_what_the_engine_makes_is_never_doubted() -> None:
    documents = [
        sarah(),
        encounter(pushed("J1200", 0), infused("J2350", 10, 160), diagnoses=["G35.A"]),
        encounter(infused("J2350", 0, 60, acquired="supplied"), infused("J2350", 60, 120), diagnoses=["G35.A"]),
        encounter(injected("J2351"), diagnoses=["G35.A"]),
        encounter(infused("J2919", 0, 20, vials=[]), setting=HOSPITAL, diagnoses=["G35.A"]),
    ]
    for policy in (payer(supplied_drug_line="nominal_charge"), payer(discarded_drug="combined_line")):
        for document in documents:
            assert [code for code in codes(document, policy) if "authorization" not in code] == []


# NDC ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ndc", "quantity", "unit", "wrong"),
    [
        ("50242015001", "20", "ML", False),
        ("50242015001", "0.001", "UN", False),
        ("50242015001", "1", "GR", False),
        ("50242015001", "1", "ME", False),
        ("50242015001", "1", "F2", False),
        ("50242015001", "0", "ML", True),
        ("50242015001", "20", "MG", True),
        ("5024201500", "20", "ML", True),
        ("502420150011", "20", "ML", True),
        ("5024201500X", "20", "ML", True),
        ("٥٠٢٤٢٠١٥٠٠١", "20", "ML", True),
        ("", "20", "ML", True),
    ],
)
def test_an_ndc_is_well_formed(ndc: str, quantity: str, unit: str, wrong: bool) -> None:
    line = drug_line(ndcs=(NdcQuantity(ndc, Decimal(quantity), unit),))
    assert codes(lines=[line]) == (["claim.ndc_malformed"] if wrong else [])


def test_an_ndc_that_is_empty_is_said_to_be() -> None:
    [finding] = checked(lines=[drug_line(ndcs=(NdcQuantity("", Decimal(20), "ML"),))])
    assert finding.message.startswith("NDC (empty) on the line of J2350")


def test_an_ndc_is_missed_only_where_the_payer_wants_one() -> None:
    assert codes(lines=[drug_line(ndcs=())]) == []
    assert codes(policy=payer(ndc_required=True)) == []


# Lines that hang together ---------------------------------------------------------------------------------------------


def test_an_add_on_keeps_its_parent() -> None:
    first, *_ = lines_of()
    add_on = first._replace(code="96366")
    assert codes(lines=[add_on]) == ["claim.add_on_without_parent"]
    for parent in ("96365", "96367", "96413"):
        family = ["claim.complex_family"] if parent == "96413" else []
        without_parent = ["claim.add_on_without_parent"] if parent == "96367" else []
        assert codes(lines=[first._replace(code=parent), add_on]) == without_parent + family
    assert codes(lines=[first._replace(code="S9379")]) == []


@pytest.mark.parametrize(("family", "wrong"), [("complex", False), ("therapeutic", True)])
def test_complex_codes_stand_where_the_payer_takes_them(family: str, wrong: bool) -> None:
    lines = [lines_of()[1], *lines_of(sarah(), payer(administration_family="complex"))]
    found = checked(policy=payer(administration_family=family), lines=lines)
    assert [each.code for each in found] == ["claim.complex_family"] * (2 * wrong)
    assert not wrong or "which Example Mutual does not take for ocrelizumab" in found[0].message


def test_of_two_drugs_under_one_complex_line_one_is_enough() -> None:
    policy = PayerPolicy((BASELINE,)).with_inline({"drugs": {"J1745": {"administration_family": "complex"}}})
    document = encounter(infused("J2350", 0, 60), infused("J1745", 60, 120), diagnoses=["G35.A"])
    line = lines_of(document)[0]._replace(code="96413", administrations=("a1", "a2"))
    assert "claim.complex_family" not in codes(document, policy, lines=[line])
    alone = [line._replace(administrations=("a1",))]
    assert "claim.complex_family" in codes(document, policy, lines=alone)
    assert "claim.complex_family" not in codes(document, policy, lines=[line._replace(administrations=("a9",))])


# The day --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "modifiers", "wrong"),
    [
        ("59", (), "59"), ("XE", (), "XE"), ("XS", (), "XE"), ("XU", (), "XE"),
        ("59", ("59",), ""), ("XE", ("XE",), ""), ("59", ("XE",), ""), ("XE", ("XS",), "XE"),
    ],
)  # fmt: skip
def test_a_second_visit_is_set_apart_as_the_payer_wants(theirs: str, modifiers: tuple[str, ...], wrong: str) -> None:
    first, *rest = lines_of()
    lines = [first._replace(modifiers=modifiers), *rest]
    found = checked(policy=payer(distinct_site_modifier=theirs), lines=lines, others=(FIRST_VISIT,))
    assert [each.code for each in found] == (["claim.second_visit"] if wrong else [])
    assert not wrong or f"begins this one without {wrong}, so Example Mutual denies it" in found[0].message


def test_the_first_visit_takes_no_modifier() -> None:
    assert codes(others=(replace(FIRST_VISIT, earlier=False),)) == []


def test_an_earlier_visit_without_an_initial_code_asks_for_none() -> None:
    assert codes(others=(OtherVisit(units={"96372": 1, "J2351": 920, "S9379": 1}, earlier=True),)) == []


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        (date(2026, 3, 10), None, True),
        (date(2026, 3, 11), None, False),
        (date(2020, 1, 1), date(2026, 3, 10), False),
        (date(2020, 1, 1), date(2026, 3, 11), True),
    ],
)
def test_a_pair_counts_on_the_days_it_is_in_force(first: date, last: date | None, told: bool) -> None:
    edit = replace(pair("96365", "96366"), effective_from=first, deleted_from=last)
    assert codes(pairs=(edit,)) == (["claim.pair_never"] if told else [])


def two_sites(**more: Any) -> Document:
    second = infused("J1745", 0, 120, access="2", access_reason="The first vein was lost")
    return encounter(infused("J2350", 0, 150), second, diagnoses=["G35.A"], **more)


@pytest.mark.parametrize("modifier", ["59", "XE", "XS", "XP", "XU"])
def test_a_modifier_on_either_code_sets_a_pair_apart(modifier: str) -> None:
    first, second, *rest = lines_of()
    edit = (pair("96365", "96366", modifier_allowed=True),)
    assert codes(lines=[first._replace(modifiers=(modifier,)), second, *rest], pairs=edit) == []
    assert codes(lines=[first, second._replace(modifiers=(modifier,)), *rest], pairs=edit) == []
    assert codes(lines=[first._replace(modifiers=("JZ",)), second, *rest], pairs=edit) == [
        "claim.pair_without_modifier"
    ]
    never = (pair("96365", "96366"),)
    assert codes(lines=[first._replace(modifiers=(modifier,)), second, *rest], pairs=never) == ["claim.pair_never"]


def test_a_pair_on_two_accesses_has_a_reason_for_its_modifier() -> None:
    lines = [line._replace(modifiers=()) for line in lines_of(two_sites())]
    [finding] = checked(two_sites(), lines=lines, pairs=(pair("J2350", "J1745", modifier_allowed=True),))
    assert "Add the modifier where the claim is finished" in finding.message


def test_a_pair_with_an_earlier_visit_is_told_and_one_with_a_later_is_not() -> None:
    edit = (pair("96372", "96366", modifier_allowed=True),)
    before = OtherVisit(units={"96372": 1}, earlier=True)
    [finding] = checked(others=(before,), pairs=edit)
    assert "neither has one and one stands on the earlier visit of that day: 96366 is denied. Add" in finding.message
    assert codes(others=(replace(before, earlier=False),), pairs=edit) == []


def test_two_initial_codes_of_two_visits_are_told_once() -> None:
    edit = (pair("96365", "96374", modifier_allowed=True),)
    assert codes(others=(OtherVisit(units={"96374": 1}, earlier=True),), pairs=edit) == ["claim.second_visit"]


def test_a_pair_may_be_all_that_is_here() -> None:
    """On this claim, and with the earlier visit; after a pair that says nothing too."""
    first, second, _ = lines_of()
    edits = (pair("96413", "96374"), pair("96365", "96366", modifier_allowed=True))
    [finding] = checked(lines=[first, second], pairs=edits)
    assert "and neither has one: 96366 is denied" in finding.message
    before = OtherVisit(units={"96372": 1}, earlier=True)
    assert codes(lines=[first], others=(before,), pairs=(pair("96365", "96372"),)) == ["claim.pair_never"]


def test_a_pair_of_the_earlier_visit_alone_is_not_told_on_this_claim() -> None:
    before = OtherVisit(units={"96372": 1, "J2351": 920}, earlier=True)
    assert codes(others=(before,), pairs=(pair("96372", "J2351"),)) == []


def test_a_pair_of_codes_that_are_not_here_says_nothing() -> None:
    assert codes(pairs=(pair("96413", "96374"), pair("96365", "96374"))) == []


@pytest.mark.parametrize(("most", "told"), [(599, True), (600, False), (601, False)])
def test_units_of_a_day_against_the_loaded_limit(most: int, told: bool) -> None:
    for indicator, code in (("3", "claim.units_above_limit"), ("2", "claim.units_above_absolute")):
        assert codes(limits={"J2350": limit(most, indicator)}) == ([code] if told else [])


def test_units_of_every_visit_of_the_day_count_together() -> None:
    other = OtherVisit(units={"J2350": 1}, earlier=False)
    assert codes(limits={"J2350": limit(600)}, others=(other,)) == ["claim.units_above_limit"]
    assert codes(limits={"J2350": limit(601)}, others=(other,)) == ["claim.units_within_limit"]
    assert codes(limits={"J1745": limit(0)}, others=(other,)) == []


def test_a_limit_of_a_line_looks_at_the_longest_line() -> None:
    lines = [drug_line(units=301), drug_line(units=299)]
    other = OtherVisit(units={"J2350": 600}, earlier=False)
    assert codes(lines=lines, limits={"J2350": limit(301, "1")}, others=(other,)) == []
    [finding] = checked(lines=lines, limits={"J2350": limit(300, "1")}, others=(other,))
    assert "301 units of J2350 on one line, above 300 (MUE 2026Q1, practitioner)" in finding.message


def test_a_loaded_limit_wins_over_the_shipped_one_and_says_so() -> None:
    """The shipped table has 600 for J2350, 8 for 96366 in an office and 24 in a hospital."""
    assert codes(limits={"J2350": limit(600)}) == []
    nine = [line._replace(units=9) if line.code == "96366" else line for line in lines_of()]
    assert codes(lines=nine, limits={"96366": limit(9)}) == ["claim.units_within_limit"]
    assert codes(sarah(setting=HOSPITAL), lines=nine, limits={"96366": limit(9)}) == []
    unknown = [lines_of()[0]._replace(code="S9379", units=9)]
    assert codes(lines=unknown, limits={"S9379": limit(9)}) == []


# Home -----------------------------------------------------------------------------------------------------------------


def test_a_days_rate_is_missed_where_the_payer_takes_it() -> None:
    """What was approved before the rule has no such line; what is calculated today has."""
    takes, takes_none = payer(home_per_diem="S9379"), payer(home_per_diem="none")
    assert "claim.home_per_diem" in codes(AT_HOME, takes, lines=lines_of(AT_HOME))
    assert codes(AT_HOME, takes) == []
    assert codes(AT_HOME) == ["claim.home_per_diem_unknown"]
    assert codes(AT_HOME, takes_none) == []
    assert codes(policy=takes) == []


@pytest.mark.parametrize(
    ("of_one_drug", "expected"),
    [("S9379", ["claim.home_per_diem"]), ("none", []), (None, ["claim.home_per_diem_unknown"])],
)
def test_what_a_payer_says_of_one_drug_at_home_is_enough(of_one_drug: str | None, expected: list[str]) -> None:
    document = encounter(infused("J2350", 0, 60), infused("J1745", 60, 120), setting="home", diagnoses=["G35.A"])
    values = {} if of_one_drug is None else {"home_per_diem": of_one_drug}
    rule = Layer("Example Mutual", values, Scope(drug="J1745"), source="their manual", status="verified")
    drugs = [each for each in lines_of(document) if each.kind == "drug"]
    assert codes(document, PayerPolicy((BASELINE, rule)), lines=drugs) == expected


# Trial ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charge", "told"), [("0", False), ("0.01", False), ("0.0101", True), ("0.02", True), ("600", True), (None, True)]
)
def test_what_a_sponsor_supplies_is_not_charged(charge: str | None, told: bool) -> None:
    charges = {2: Decimal(charge)} if charge else {}
    assert codes(trial_number="01234567", charges=charges) == (["claim.trial_drug_charged"] if told else [])


def test_beside_a_supplied_drug_the_others_are_charged_as_ever() -> None:
    trial = infused("J2350", 10, 160, acquired="supplied")
    document = encounter(pushed("J1200", 0), trial, diagnoses=["G35.A"])
    nominal = payer(supplied_drug_line="nominal_charge")
    assert codes(document, trial_number="01234567") == []
    assert codes(document, nominal, trial_number="01234567") == []
    lines = [line._replace(charge=Decimal("0.02")) if line.charge else line for line in lines_of(document, nominal)]
    found = checked(document, nominal, lines=lines, trial_number="01234567")
    assert [each.code for each in found] == ["claim.trial_drug_charged"]
    assert "Record ocrelizumab as supplied" in found[0].message


def test_an_unknown_drug_of_a_trial_is_called_by_its_code() -> None:
    found = checked(lines=[drug_line(code="J0000")], trial_number="01234567")
    assert "Record J0000 as supplied" in found[0].message


@pytest.mark.parametrize(("number", "wrong"), [
    ("01234567", False), ("0123456", True), ("012345678", True), ("NCT01234", True), ("٠١٢٣٤٥٦٧", True), ("", False),
])  # fmt: skip
def test_a_trial_has_eight_digits(number: str, wrong: bool) -> None:
    assert codes(lines=lines_of()[:1], trial_number=number) == (["claim.trial_number_malformed"] if wrong else [])


# Membership -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("has", "told"), [(True, False), (None, False), (False, True)])
def test_a_membership_is_asked_for_where_claims_are_sent(has: bool | None, told: bool) -> None:
    assert codes(has_membership=has) == (["claim.coverage_missing"] if told else [])


# Money ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charge", "told"), [("99999.98", False), ("99999.99", False), ("99999.9901", True), ("100000.00", True)]
)
def test_the_total_of_a_professional_claim(charge: str, told: bool) -> None:
    assert ("claim.total_too_high" in codes(charges={2: Decimal(charge)})) == told
    assert "claim.total_too_high" not in codes(sarah(setting=HOSPITAL), charges={2: Decimal(charge)})


def test_the_total_counts_every_line_that_has_a_charge() -> None:
    assert codes(charges={0: Decimal("0.01"), 2: Decimal("99999.99")}) == ["claim.total_too_high"]


@pytest.mark.parametrize(
    ("most", "setting", "whose"),
    [
        ("5000", "office", "Example Mutual takes at most $5,000.00"),
        ("5000", HOSPITAL, "Example Mutual takes at most $5,000.00"),
        ("99999.99", "office", "Example Mutual takes at most $99,999.99"),
        ("200000", "office", "a professional claim has room for at most $99,999.99"),
        ("200000", HOSPITAL, "Example Mutual takes at most $200,000.00"),
        (None, "office", "a professional claim has room for at most $99,999.99"),
    ],
)
def test_the_smaller_of_the_payers_limit_and_the_forms(most: str | None, setting: str, whose: str) -> None:
    found = checked(sarah(setting=setting), payer(maximum_claim_charge=most), charges={2: Decimal("240000")})
    assert whose in next(each.message for each in found if each.code == "claim.total_too_high")


def test_the_plan_says_how_many_claims_and_which_lines() -> None:
    """600 units at $300 are $180,000: 332 with the administration on the first claim, 268 on the second."""
    charges = {0: Decimal("200.00"), 1: Decimal("50.00"), 2: Decimal("180000.00")}
    [finding] = checked(charges=charges)
    assert "The charges are $180,250.00" in finding.message
    plan = "1) 96365 x1, 96366 x1, J2350 JZ x332: $99,850.00; 2) J2350 JZ x268: $80,400.00."
    assert f"Send 2 claims: {plan} No two may have the same total" in finding.message
    assert "CGS wants modifier 59, First Coast 76, Palmetto a note such as 1 of 2" in finding.message


@pytest.mark.parametrize(
    ("marking", "words"),
    [("59", "marked with modifier 59."), ("76", "marked with modifier 76."), ("note", "a note such as 2 of 2.")],
)
def test_a_payer_may_say_how_a_later_claim_is_marked(marking: str, words: str) -> None:
    from_today = Layer("Example Mutual", {"split_claim_modifier": marking}, effective_from=date(2026, 3, 10))
    policy = PayerPolicy((BASELINE, from_today))
    [finding] = checked(policy=policy, charges={2: Decimal("100000.00")})
    assert finding.message.endswith(words)
    assert "Example Mutual wants the later ones" in finding.message
    [day_before] = checked(on("2026-03-09", *sarah()["administrations"], diagnoses=["G35.A"]), policy,
                           charges={2: Decimal("100000.00")})  # fmt: skip
    assert "Ask yours" in day_before.message


@pytest.mark.parametrize(("rate", "told"), [("333.33", False), ("333.34", True)])
def test_a_vial_dearer_than_a_claim_is_a_charge_for_a_vial(rate: str, told: bool) -> None:
    """300 units of a vial at $333.33 are $99,999.00, at $333.34 $100,002.00."""
    found = codes(charges={2: Decimal(rate) * 600})
    assert ("claim.charge_by_vial" in found) == told
    assert "claim.total_too_high" in found


@pytest.mark.parametrize(("rate", "told"), [("9999.999", False), ("10000", True)])
def test_of_several_sizes_the_smallest_vial_is_held_against_a_claim(rate: str, told: bool) -> None:
    """100 mg of rituximab are ten units: $99,999.99 at $9,999.999 a unit, and $100,000.00 at $10,000."""
    dose = infused("J9312", 0, 60, administered="500", vials=[{"amount": "500"}])
    document = encounter(dose, diagnoses=["C83.30"])
    [position] = [place for place, line in enumerate(lines_of(document)) if line.kind == "drug"]
    found = [each for each in checked(document, charges={position: Decimal(rate) * 50}) if "vial" in each.code]
    assert [each.message[:40] for each in found] == (["A vial of 100 mg of rituximab would be c"] if told else [])


@pytest.mark.parametrize(("charge", "told"), [("99999.99", False), ("100000", True)])
def test_a_unit_dearer_than_a_claim_cannot_be_split(charge: str, told: bool) -> None:
    lines = [drug_line(units=2)]
    found = codes(lines=lines, charges={0: Decimal(charge) * 2})
    assert ("claim.unit_charge_too_high" in found) == told
    assert ("claim.total_too_high" in found) != told


def claims(limit: str, *lines: tuple[str, int, str]) -> list[str]:
    plan = split([Charged(name, units, Decimal(charge)) for name, units, charge in lines], Decimal(limit))
    return [in_words([claim]).removeprefix("1) ") for claim in plan]


def test_no_two_claims_of_a_plan_have_the_same_total() -> None:
    assert claims("100", ("A", 40, "400")) == [
        "A x10: $100.00", "A x9: $90.00", "A x8: $80.00", "A x7: $70.00", "A x6: $60.00",
    ]  # fmt: skip
    assert claims("100", ("A", 20, "200")) == ["A x10: $100.00", "A x9: $90.00", "A x1: $10.00"]


def test_what_is_taken_off_goes_on_with_its_line_or_before_the_next() -> None:
    assert claims("100", ("A", 1, "100"), ("B", 10, "100"), ("C", 1, "5")) == [
        "A x1: $100.00", "B x9: $90.00", "B x1, C x1: $15.00",
    ]  # fmt: skip
    assert claims("100", ("A", 30, "300"), ("C", 1, "5")) == [
        "A x10: $100.00", "A x9: $90.00", "A x8: $80.00", "A x3, C x1: $35.00",
    ]  # fmt: skip


def test_a_last_line_of_one_unit_moves_on_whole() -> None:
    assert claims("100", ("A", 1, "90"), ("B", 1, "10"), ("C", 1, "91"), ("D", 1, "9")) == [
        "A x1, B x1: $100.00", "C x1: $91.00", "D x1: $9.00",
    ]  # fmt: skip


def test_lines_of_one_unit_that_cost_the_same_stay_the_same() -> None:
    assert claims("100", ("A", 1, "100"), ("B", 1, "100")) == ["A x1: $100.00", "B x1: $100.00"]


def test_a_line_that_does_not_fit_at_all_waits_for_the_next_claim() -> None:
    assert claims("100", ("A", 1, "95"), ("B", 1, "10")) == ["A x1: $95.00", "B x1: $10.00"]
    assert claims("100", ("A", 1, "100"), ("B", 1, "10")) == ["A x1: $100.00", "B x1: $10.00"]
    with pytest.raises(ValueError, match="B"):
        claims("100", ("A", 1, "95"), ("B", 1, "100.01"))


def test_parts_add_up_to_the_cent() -> None:
    """Three units at $33.335 are $100.01: $66.67 for two is rounded half up, and the third is what is left."""
    plan = split([Charged("A", 3, Decimal("100.01"))], Decimal("70"))
    assert [[(part.units, part.charge) for part in claim] for claim in plan] == [
        [(2, Decimal("66.67"))], [(1, Decimal("33.34"))],
    ]  # fmt: skip
    assert sum(total_of(claim) for claim in plan) == Decimal("100.01")


def test_a_part_never_costs_a_cent_more_than_there_is_room_for() -> None:
    """Two of three units are $66.673, so $66.67; under a limit of $66.66 only one fits."""
    plan = split([Charged("A", 3, Decimal("100.01"))], Decimal("66.66"))
    assert [[part.units for part in claim] for claim in plan] == [[1], [1], [1]]
    rounded_up = Charged("A", 3, Decimal("100.0"))
    assert rounded_up.first(2) == Decimal("66.67")
    assert split([rounded_up], Decimal("66.668"))[0][0].units == 1


def test_every_unit_of_every_line_is_in_the_plan() -> None:
    lines = [Charged(name, units, Decimal(units * 7)) for name, units in (("A", 13), ("B", 170), ("C", 1), ("D", 99))]
    plan = split(lines, Decimal(203))
    assert all(total_of(claim) <= 203 for claim in plan)
    assert len({total_of(claim) for claim in plan}) == len(plan)
    for line in lines:
        parts = [part for claim in plan for part in claim if part.name == line.name]
        assert (sum(part.units for part in parts), total_of(parts)) == (line.units, line.charge)


def test_statement_without_lines_has_nothing_to_say_of_lines() -> None:
    assert isinstance(read(sarah()), Statement)
    assert codes(lines=[], policy=ASKS, limits={"J2350": limit(0)}, others=(FIRST_VISIT,)) == []
