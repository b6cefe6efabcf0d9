"""The examples of the articles this project began with: what they print, and what the rules say."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from infusion.services.reference import shipped_reference
from tests.rules.shorthand import claimed, drugs, encounter, errors, found, infused, on, read, reasons, services

TWO_VIALS = {"administered": "600", "vials": [{"amount": "300", "count": 2}]}
THIRTY = {"additional_hour_minimum_minutes": 30}
OCRELIZUMAB_NDC = "50242-0150-01"


def sarah(**fields: Any) -> dict[str, Any]:
    """600 mg in 2.5 hours: 150 minutes = 60 + 60 + 30."""
    return encounter(infused("J2350", 0, 150, **TWO_VIALS), **fields)


def test_sarah_earns_one_further_hour_by_the_cpt_rule() -> None:
    # The last 30 minutes are not more than 30.
    assert claimed(sarah()) == ["96365 x1", "96366 x1", "J2350 JZ x600"]
    said = reasons(read(sarah()), "96366 x1")
    assert "150 running minutes" in said
    assert "90 more are 1 full hour and 30 minutes, and 31 past a full hour earn another unit" in said
    assert "One more minute would add one unit of 96366" in said


def test_sarah_earns_two_where_30_minutes_count_and_the_reason_names_whose_rule_it_is() -> None:
    document = sarah(policy=THIRTY)
    assert claimed(document) == ["96365 x1", "96366 x2", "J2350 JZ x600"]
    statement = read(document)
    [line] = [line for line in statement.lines if line.code == "96366"]
    [why] = [because for because in line.because if because.rule == "additional_hour_minimum_minutes"]
    assert why.reading is not None
    assert (why.reading.value, why.reading.whose) == (30, "Given with this encounter")
    assert "30 past a full hour earn another unit" in why.text
    assert "one fewer minute would take one away" in why.text


def test_half_a_dose_in_90_minutes_earns_no_further_hour_by_the_cpt_rule() -> None:
    # 90 = 60 + 30
    assert claimed(encounter(infused("J2350", 0, 90))) == ["96365 x1", "J2350 JZ x300"]
    assert claimed(encounter(infused("J2350", 0, 90), policy=THIRTY)) == ["96365 x1", "96366 x1", "J2350 JZ x300"]


def test_280_of_a_300_mg_vial() -> None:
    rest = [{"amount": "20", "reason": "vial_remainder"}]
    document = encounter(infused("J2350", 0, 60, administered="280", discards=rest))
    assert drugs(document) == ["J2350 JW x20", "J2350 x280"]
    in_the_line = [{"amount": "20", "reason": "line_residual"}]
    document = encounter(infused("J2350", 0, 60, administered="280", discards=in_the_line))
    assert drugs(document) == ["J2350 JZ x280"]
    assert "was part of the dose" in found(read(document), "waste.line_residual").message


def test_a_paused_infusion_counts_what_ran() -> None:
    # 165 minutes on the clock less 20 = 145 = 60 + 60 + 25
    assert services(encounter(infused("J2350", 0, 165, (60, 80)))) == ["96365 x1", "96366 x1"]
    # without the pause 165 = 60 + 60 + 45
    assert services(encounter(infused("J2350", 0, 165))) == ["96365 x1", "96366 x2"]


@pytest.mark.parametrize(("code", "name"), [("J1301", "edaravone"), ("J2357", "omalizumab")])
def test_ocrelizumab_s_vial_under_another_drug_s_code_is_refused(code: str, name: str) -> None:
    route = "iv_infusion" if code == "J1301" else "subcutaneous"
    vials = [{"amount": "300", "ndc": OCRELIZUMAB_NDC}]
    document = encounter(infused("J2350", 0, 60) | {"drug": code, "route": route, "vials": vials})
    assert errors(document) == ["ndc.other_drug"]
    assert read(document).lines == ()
    finding = found(read(document), "ndc.other_drug")
    assert finding.field == "vials.0.ndc"
    assert finding.message == (
        f"NDC {OCRELIZUMAB_NDC} belongs to ocrelizumab (J2350), not to {name} ({code}). Check which drug was given."
    )


def test_ocrelizumab_s_vial_under_its_own_code_is_accepted() -> None:
    assert errors(encounter(infused("J2350", 0, 60, vials=[{"amount": "300", "ndc": OCRELIZUMAB_NDC}]))) == []


def test_two_codes_of_one_drug_share_its_ndc() -> None:
    reference = shipped_reference()
    [old] = reference.drugs["J2930"]
    marked = replace(old, containers=(replace(old.containers[0], ndc="99999-0001-01"),))
    given = infused("J2919", 0, 60, administered="125", vials=[{"amount": "125", "ndc": "99999-0001-01"}])
    assert read(encounter(given), reference=reference.with_drugs([marked])).errors == ()
    other = infused("J1745", 0, 60, vials=[{"amount": "100", "ndc": "99999-0001-01"}])
    statement = read(encounter(other), reference=reference.with_drugs([marked]))
    assert [finding.code for finding in statement.errors] == ["ndc.other_drug"]


def test_an_ndc_that_two_drugs_have_on_file_goes_with_either() -> None:
    reference = shipped_reference()
    [infliximab] = reference.drugs["J1745"]
    kit = replace(infliximab, containers=(replace(infliximab.containers[0], ndc=OCRELIZUMAB_NDC),))
    for drug in ("J1745", "J2350"):
        given = infused(drug, 0, 60)
        given["vials"][0]["ndc"] = OCRELIZUMAB_NDC
        assert read(encounter(given), reference=reference.with_drugs([kit])).errors == ()


def test_a_drug_that_a_site_calls_otherwise_keeps_its_ndcs() -> None:
    reference = shipped_reference()
    [row] = reference.drugs["J2350"]
    own = replace(row, name="the humanized one", first_day=date(2026, 1, 1))
    given = infused("J2350", 0, 60, vials=[{"amount": "300", "ndc": OCRELIZUMAB_NDC}])
    assert read(encounter(given), reference=reference.with_drugs([own])).errors == ()


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("J2350 omalizumab", "J2350 means ocrelizumab, 1 mg. Use J2357."),
        ("J2350 ocrelizumab", "Enter J2350 alone if ocrelizumab was given."),
        ("J2350 Ocrelizumab and hyaluronidase-ocsq", "J2350 means ocrelizumab for infusion, 1 mg. Use J2351."),
        ("J1301 ocrelizumab", "J1301 means edaravone, 1 mg. Use J2350."),
        ("Ocrevus", "The code of ocrelizumab is J2350."),
        ("J7512", "J7512 means prednisone by mouth, 1 mg. Use J2919."),
        ("S9342", "S9342 means feeding through a tube by pump at home, one day. Use S9379."),
        ("JN", "JN means nothing: no modifier of that name is known."),
        ("J8499", "J8499 means any drug by mouth without a code of its own; rarely paid."),
        ("J0000", "Choose the drug from the list."),
        ("", "Choose the drug from the list."),
    ],
)
def test_what_is_no_drug_is_refused_and_the_likely_one_named(text: str, advice: str) -> None:
    document = encounter(infused("J2350", 0, 60) | {"drug": text})
    assert errors(document) == ["drug.unknown"]
    assert read(document).lines == ()
    assert found(read(document), "drug.unknown").message.endswith("nothing can be billed for it. " + advice)


def test_j2930_after_its_last_day_names_its_successor() -> None:
    given = infused("J2930", 0, 60)
    assert drugs(on("2024-03-31", given)) == ["J2930 JZ x1"]
    document = on("2024-04-01", given)
    assert errors(document) == ["code.not_effective"]
    assert read(document).lines == ()
    assert "J2930 is not in force on 2024-04-01" in found(read(document), "code.not_effective").message
    assert found(read(document), "code.not_effective").message.endswith("Use J2919.")


def test_g35_after_its_last_day_names_its_successors() -> None:
    document = on("2025-10-01", infused("J2350", 0, 60), diagnoses=["G35"])
    assert errors(document) == ["diagnosis.not_billable"]
    finding = found(read(document), "diagnosis.not_billable")
    assert finding.field == "diagnoses.0"
    assert finding.message.endswith("Use one of G35.A, G35.B0, G35.B1, G35.B2, G35.C0, G35.C1, G35.C2, G35.D.")
    assert errors(on("2025-09-30", infused("J2350", 0, 60), diagnoses=["G35"])) == []


def test_the_subcutaneous_product_is_not_an_infusion_and_the_other_no_injection() -> None:
    as_infusion = infused("J2351", 0, 60)
    as_injection = infused("J2350", 0, 60) | {"route": "subcutaneous"}
    assert errors(encounter(as_infusion)) == ["route.not_allowed"]
    assert errors(encounter(as_injection)) == ["route.not_allowed"]
    assert found(read(encounter(as_injection)), "route.not_allowed").message == (
        "Ocrelizumab (J2350) is not given by this route: Subcutaneous injection. It is given by IV infusion."
    )


@pytest.mark.parametrize(
    ("code", "size", "meant"), [("J1301", "300", "ocrelizumab (J2350)"), ("J2350", "150", "omalizumab (J2357)")]
)
def test_a_vial_size_of_the_drug_a_code_is_taken_for_refuses_the_code(code: str, size: str, meant: str) -> None:
    """600 mg from two 300 mg vials is no dose of edaravone, and 150 mg vials hold no ocrelizumab."""
    document = encounter(infused(code, 0, 60, administered=size, vials=[{"amount": size}]))
    assert errors(document) == ["drug.look_alike"]
    assert meant in found(read(document), "drug.look_alike").message
    assert read(document).lines == ()
