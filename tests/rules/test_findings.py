"""Every finding is met by someone: its code, how grave it is, where it points, and what it says.

A table: one encounter for each code. `input.unreadable`, the answer to what is no encounter, has its own half below.
"""

import json
import re
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from infusion.services.dose_limits import QUOTING
from infusion.services.facts import PastDose
from infusion.services.findings import ERRORS, INFOS, MESSAGES, WARNINGS, Findings, Severity
from infusion.services.reference import shipped_reference
from infusion.services.wire import DECODER, Unreadable, decode, parse_encounter, unreadable_document
from payers.policy import BASELINE, Layer, PayerPolicy, Scope
from tests.rules.shorthand import (
    ZONE,
    clock,
    encounter,
    found,
    hydrated,
    infused,
    injected,
    on,
    pushed,
    read,
)

Document = dict[str, Any]
HOSPITAL = "hospital_outpatient"
OCRELIZUMAB = "50242-0150-01"
UNVERIFIED = PayerPolicy(
    (
        BASELINE,
        Layer(
            "Example Mutual",
            {"additional_hour_minimum_minutes": 30},
            source="their manual, page 4",
            status="unverified",
        ),
    )
)
WITHOUT_DOSING = shipped_reference().with_drugs(
    replace(row, dosing="", dosing_source="") for row in shipped_reference().drugs["J2350"]
)


def without(record: Document, *names: str) -> Document:
    return {name: value for name, value in record.items() if name not in names}


def sixty(**more: Any) -> Document:
    return infused("J2350", 0, 60) | more


def vial_of(**more: Any) -> Document:
    return sixty(vials=[{"amount": "300"} | more])


def discarding(amount: str, reason: str, **more: Any) -> Document:
    return sixty(administered=str(300 - int(amount)), discards=[{"amount": amount, "reason": reason}], **more)


def under(name: str, value: Any, *administrations: Document) -> Document:
    return encounter(*(administrations or (sixty(),)), policy={name: value})


LAST_MONTH = [{"date_of_service": "2026-03-01", "drug": "J2350", "administered": "300"}]

# code: encounter, administration, field, a part of the sentence
TABLE: dict[str, tuple[Document, str, str, str]] = {
    # errors
    "administration.missing": (encounter(), "", "administrations", "Nothing is recorded yet"),
    "date_of_service.missing": (
        without(encounter(injected("J2351")), "date_of_service"), "", "date_of_service", "no date of service"),
    "amount.missing": (
        encounter(without(sixty(), "administered")), "a1", "administered", "Ocrelizumab has no administered amount"),
    "amount.negative": (encounter(sixty(administered="-1")), "a1", "administered", "-1 mg cannot be"),
    "code.not_effective": (on("2017-12-31", sixty()), "a1", "drug", "It begins on 2018-01-01."),
    "diagnosis.not_billable": (encounter(sixty(), diagnoses=["G35.9"]), "", "diagnoses.0", "Choose a code in force"),
    "drug.price_contradictory": (
        encounter(sixty(acquired="supplied", bought_340b=True)), "a1", "bought_340b", "supplied and as bought at the"),
    "drug.price_mixed": (
        encounter(sixty(bought_340b=True), infused("J2350", 60, 120), policy={"modifier_340b": "TB"}), "a1",
        "bought_340b", "Some of the ocrelizumab was bought at the 340B price"),
    "drug.look_alike": (
        encounter(infused("J1301", 0, 60, administered="300", vials=[{"amount": "300"}])), "a1", "vials.0.amount",
        "a size of ocrelizumab"),
    "drug.not_given": (
        encounter(sixty(administered="0")), "a1", "administered", "None of the ocrelizumab reached the patient"),
    "drug.unknown": (encounter(sixty(drug="J0000")), "a1", "drug", "J0000 is not a drug in the reference tables"),
    "hydration.purpose_missing": (
        encounter(without(hydrated(0, 60), "purpose")), "a1", "purpose", "only ordered hydration counts"),
    "ndc.other_drug": (
        encounter(infused("J1301", 0, 60, vials=[{"amount": "30", "ndc": OCRELIZUMAB}])),
        "a1", "vials.0.ndc", "belongs to ocrelizumab (J2350)"),
    "route.not_allowed": (
        encounter(sixty(route="intramuscular")), "a1", "route", "not given by this route: Intramuscular injection"),
    "time.ambiguous": (
        on("2025-11-02", sixty(start="2025-11-02T01:30", stop="2025-11-02T03:00")),
        "a1", "start", "01:30 happens twice"),
    "time.nonexistent": (
        on("2026-03-08", sixty(start="2026-03-08T01:30", stop="2026-03-08T02:30")),
        "a1", "stop", "02:30 does not exist"),
    "time.start_missing": (encounter(without(sixty(), "start")), "a1", "start", "Ocrelizumab has no start time"),
    "time.stop_missing": (encounter(without(sixty(), "stop")), "a1", "stop", "Enter when it stopped"),
    "time.stop_not_after_start": (
        encounter(infused("J2350", 0, -1)), "a1", "stop", "stops at 08:59, which is not after its start at 09:00"),
    "time.too_long": (encounter(infused("J2350", 0, 1441)), "a1", "stop", "more than 24 hours"),
    "time.pause_open": (
        encounter(sixty(pauses=[{"start": clock(5)}])), "a1", "pauses.0.stop", "A pause of Ocrelizumab has no stop"),
    "time.pause_outside": (
        encounter(sixty(pauses=[{"start": clock(5), "stop": clock(6)}, {"start": clock(50), "stop": clock(61)}])),
        "a1", "pauses.1", "lie between the start and the stop"),
    "time.no_running_time": (
        encounter(infused("J2350", 0, 60, (0, 30), (30, 60))), "a1", "pauses", "it never ran"),
    "time.concurrent_complex": (
        under("administration_family", "complex", infused("J2350", 0, 120), infused("J2323", 0, 60)),
        "a2", "start", "no code exists for a complex drug given at the same time"),
    "vials.missing": (encounter(without(sixty(), "vials")), "a1", "vials", "Ocrelizumab has no vials"),
    "vials.exceeded": (
        encounter(sixty(administered="301")), "a1", "vials", "301 mg of ocrelizumab are recorded as given or"),
    "vials.more_than_needed": (
        encounter(sixty(vials=[{"amount": "300", "count": 2}],
                        discards=[{"amount": "300", "reason": "vial_remainder"}])),
        "a1", "vials", "than 300 mg need"),
    "waste.unaccounted": (
        encounter(sixty(administered="280")), "a1", "discards", "20 mg of ocrelizumab are neither given nor discarded"),
    "visit.missing": (
        encounter(sixty(), setting="home", visit={"start": clock(0)}), "", "visit.stop", "its stop is missing"),
    # warnings
    "access.reason_missing": (
        encounter(sixty(), infused("J2323", 60, 120, access="2")), "a2", "access_reason", "counted on access 1"),
    "administration.not_paid": (
        under("administration_paid", False), "", "", "apart from the drug: 96365 will be denied."),
    "authorization.required": (under("prior_authorization", "always"), "a1", "drug", "a prior authorization for"),
    "date_of_service.differs": (
        encounter(sixty(), date_of_service="2026-03-09"), "", "date_of_service", "not the day of the earliest start"),
    "diagnosis.not_accepted": (
        under("accepted_diagnoses", ["G35.A", "G35.D"]), "a1", "drug", "accepts other diagnoses for ocrelizumab"),
    "diagnosis.unknown": (
        encounter(sixty(), diagnoses=["G35.A", "K50.90"]), "", "diagnoses.1", "K50.90 is not in the diagnosis table"),
    "department.missing": (
        under("off_campus_modifier", "required") | {"setting": HOSPITAL}, "", "hospital_department",
        "wants PO or PN on lines of a hospital department off the campus"),
    "dose.history_missing": (
        under("minimum_days_between_doses", 14), "a1", "drug", "limits how often ocrelizumab is given"),
    "dose.too_soon": (
        encounter(sixty(), policy={"minimum_days_between_doses": 14}, past_doses=LAST_MONTH), "a1", "drug",
        "asks for 14 days between doses of ocrelizumab. The last one was on 2026-03-01, 9 days before"),
    "drug.lines_denied": (
        encounter(sixty(), policy={"maximum_units_per_line": 200, "administered_lines_per_day": "one_paid"}), "", "",
        "100 units of J2350 will be denied"),
    "drug.not_covered": (under("drug_covered", False), "a1", "drug", "does not cover ocrelizumab"),
    "ndc.malformed": (encounter(vial_of(ndc="5024215001")), "a1", "vials.0.ndc", "without hyphens it needs 11 digits"),
    "ndc.missing": (
        under("ndc_required", True, infused("J2323", 0, 60)), "a1", "vials", "wants an NDC on every drug line"),
    "policy.unverified": (
        encounter(infused("J2350", 0, 150)), "", "policy.additional_hour_minimum_minutes",
        ": 30 minutes, by a rule of Example Mutual that nobody has"),
    "modifier.not_in_force": (
        encounter(sixty(bought_340b=True), policy={"modifier_340b": "JG"}), "", "",
        "asks for JG, which by the tables here is not in force on 2026-03-10"),
    "push.untimed": (
        encounter(pushed("J1200"), pushed("J1200"), setting=HOSPITAL), "a2", "start", "was pushed again without"),
    "route.mixed": (
        under("route_modifier", "required", pushed("J1200", 0), injected("J1200", "intramuscular")), "a1", "route",
        "Diphenhydramine was given in more than one way"),
    "step_therapy.required": (
        under("step_therapy", "an interferon"), "a1", "drug", "wants this tried before ocrelizumab: an interferon"),
    "time.partial_overlap": (
        encounter(infused("J2350", 0, 120), infused("J2323", 90, 150)), "a2", "start", "30 minutes of Natalizumab ran"),
    "time.push_long": (encounter(pushed("J1200", 0, stop=clock(16))), "a1", "stop", "a push but took 16 minutes"),
    "time.repeat_unclear": (
        encounter(sixty(), infused("J2350", 91, 120)), "a2", "order", "stood still for 31 minutes"),
    "time.counted_as_push": (
        under("missing_stop_time", "push", without(sixty(), "stop")), "a1", "stop", "has no stop time; by the rule of"),
    "time.hour_over_midnight": (
        under("infusion_past_midnight", "per_day", infused("J2350", 870, 930)), "a1", "stop",
        "An hour of Ocrelizumab lies on both sides of midnight. Its unit is dated 2026-03-10"),
    "units.above_dose_limit": (
        under("maximum_units_per_dose", 299), "a1", "administered", "for one dose at most, and 300 were given"),
    "units.above_period_limit": (
        encounter(sixty(), policy={"maximum_units_per_period": 599}, past_doses=LAST_MONTH), "a1", "administered",
        "With 300 of earlier doses there are 600"),
    "units.above_mue": (
        encounter(infused("J2350", 0, 600), infused("J9312", 600, 660)), "", "",
        "9 units of 96366 are above the usual daily limit of 8"),
    "vials.expired": (
        encounter(vial_of(expires="2026-03-09")), "a1", "vials.0.expires", "expired on 2026-03-09, before"),
    "vials.kinds_mixed": (
        encounter(sixty(administered="600", vials=[{"amount": "300"}, {"amount": "300", "single_dose": False}])),
        "a1", "vials", "from single-dose and multi-dose vials"),
    "vials.size_unknown": (
        encounter(sixty(vials=[{"amount": "300", "count": 0}, {"amount": "301"}], discards=[
            {"amount": "1", "reason": "vial_remainder"}])), "a1", "vials.1.amount", "301 mg is not a known vial size"),
    "vials.smaller_available": (
        encounter(infused("J9312", 0, 60, administered="100", vials=[{"amount": "500"}],
                          discards=[{"amount": "400", "reason": "vial_remainder"}])),
        "a1", "vials", "vials with 100 mg in all would have done, and 500 mg were opened"),
    "waste.dosing_unknown": (
        under("billable_discard_drugs", "variable_dose", discarding("20", "vial_remainder")), "a1", "discards",
        "how Ocrelizumab is dosed is not in the tables"),
    "waste.line_residual": (
        encounter(discarding("20", "line_residual")), "a1", "discards.0", "20 mg of ocrelizumab stayed in the line"),
    "waste.stopped_early": (
        encounter(discarding("120", "stopped_early", ordered="300")), "a1", "discards.0", "stopped early. Billing"),
    # infos
    "drug.oral_not_billed": (
        encounter({"route": "oral", "drug": "acetaminophen"}), "a1", "", "ACETAMINOPHEN was given by mouth"),
    "drug.supplied": (encounter(sixty(acquired="supplied")), "a1", "acquired", "it is not charged"),
    "hydration.not_counted": (
        encounter(hydrated(0, 60, purpose="keep_open")), "a1", "purpose", "Fluid that kept the line open is not"),
    "hydration.too_short": (encounter(hydrated(0, 30)), "a1", "stop", "under 31 it is not reported"),
    "infusion.concurrent_too_short": (
        under("concurrent_minimum_minutes", 21, infused("J2350", 0, 60), infused("J2323", 40, 75)),
        "a2", "stop", "Natalizumab shares 20, so it is not reported"),
    "infusion.repeat_too_short": (
        encounter(sixty(order="A"), infused("J2350", 60, 90, order="B")), "a2", "stop", "earns nothing under 31"),
    "push.repeat_not_reported": (
        encounter(pushed("J1200", 0), pushed("J1200", 60)), "a2", "route", "only a hospital reports a repeat"),
    "reference.unverified": (encounter(infused("J2323", 0, 60)), "a1", "drug", "about J2323 is not verified"),
    "time.crosses_midnight": (
        encounter(infused("J2350", 890, 960)), "a1", "stop", "one infusion, dated 2026-03-10"),
    "time.dated_by_day": (
        under("infusion_past_midnight", "per_day", infused("J2350", 840, 960)), "a1", "stop",
        "each unit is dated by its day"),
    "waste.above_limit": (
        under("maximum_discarded_units", "smallest_vial",
              infused("J9312", 0, 60, administered="390", vials=[{"amount": "500"}],
                      discards=[{"amount": "110", "reason": "vial_remainder"}])),
        "a1", "discards", "10 discarded units of rituximab at most, so 1 more"),
    "waste.fixed_dose": (
        under("billable_discard_drugs", "variable_dose", discarding("20", "vial_remainder")), "a1", "discards",
        "a drug with a fixed dose, which ocrelizumab has"),
    "waste.not_billed": (
        encounter(discarding("20", "broken_or_spilled")), "a1", "discards.0", "(broken or spilled) and are not billed"),
}  # fmt: skip
WORDS_WE_DO_NOT_USE = re.compile(r"\b(invalid|please|sorry|required|forbidden)\b", re.IGNORECASE)


def check_sentence(message: str) -> None:
    assert not re.search(r"[{}]", message)
    assert not WORDS_WE_DO_NOT_USE.search(message)
    assert "None" not in message.removeprefix("None of the ")
    assert "  " not in message
    assert message[0] == message[0].upper()
    assert message.endswith((".", "?"))


def test_every_code_has_its_row() -> None:
    assert set(TABLE) == set(MESSAGES)


@pytest.mark.parametrize("code", MESSAGES)
def test_finding(code: str) -> None:
    document, administration, field, part = TABLE[code]
    reference = WITHOUT_DOSING if code == "waste.dosing_unknown" else None
    statement = read(document, UNVERIFIED if code == "policy.unverified" else None, reference)
    finding = found(statement, code)
    severity = next(level for level, texts in ((Severity.ERROR, ERRORS), (Severity.WARNING, WARNINGS),
                                               (Severity.INFO, INFOS)) if code in texts)  # fmt: skip
    assert (finding.severity, finding.administration, finding.field) == (severity, administration, field)
    assert part in finding.message
    assert (statement.status == "blocked") == bool(statement.errors)
    if severity is Severity.ERROR:
        assert statement.status == "blocked"
        assert [error.code for error in statement.errors] == [code]
    else:
        assert statement.status == "ready", statement.errors
        assert (finding in statement.warnings) == (severity is Severity.WARNING)


@pytest.mark.parametrize("code", TABLE)
def test_what_it_says_is_a_sentence_of_ours(code: str) -> None:
    document = TABLE[code][0]
    for finding in read(document, UNVERIFIED if code == "policy.unverified" else None).findings:
        check_sentence(finding.message)


@pytest.mark.parametrize("message", ["Please enter it.", "{what} has none.", "No stop", "it stopped.", "An Invalid x."])
def test_a_sentence_that_is_not_ours_would_be_seen(message: str) -> None:
    with pytest.raises(AssertionError):
        check_sentence(message)


def test_a_finding_weighs_one_of_three_as_programs_read_it() -> None:
    assert [severity.value for severity in Severity] == ["error", "warning", "info"]


def test_no_code_stands_under_two_severities() -> None:
    assert len(MESSAGES) == len(ERRORS) + len(WARNINGS) + len(INFOS)


# Further ways to the same finding -----------------------------------------------------------------------------------


def undated(*administrations: Document) -> Document:
    return without(encounter(*administrations), "date_of_service")


def findings(document: Document, code: str) -> list[tuple[str, str]]:
    return [(each.administration, each.field) for each in read(document).findings if each.code == code]


def test_what_quotes_earlier_doses_is_what_needs_them() -> None:
    needs = {code for code, (document, *_) in TABLE.items() if document.get("past_doses")}
    assert needs == set(QUOTING)


def test_a_drug_without_a_day_is_asked_about_by_its_name() -> None:
    asked = read(undated(without(sixty(), "start"))).errors
    assert [each.message.partition(" has no")[0] for each in asked] == ["Ocrelizumab"]
    assert [each.code for each in read(undated(without(sixty(drug="J0000"), "start"))).errors] == ["time.start_missing"]


@pytest.mark.parametrize(
    ("code", "document", "places"),
    [
        ("amount.negative", encounter(sixty(ordered="-1")), [("a1", "ordered")]),
        ("amount.negative", encounter(vial_of(amount="0")), [("a1", "vials.0.amount")]),
        ("amount.negative", encounter(vial_of(count=-2)), [("a1", "vials.0.count")]),
        (
            "amount.negative",
            encounter(sixty(discards=[{"amount": "0", "reason": "overfill"}, {"amount": "-1", "reason": "overfill"}])),
            [("a1", "discards.1.amount")],
        ),
        ("time.start_missing", encounter(without(hydrated(0, 60), "start")), [("a1", "start")]),
        ("time.start_missing", undated(without(sixty(), "start")), [("a1", "start")]),
        ("date_of_service.missing", undated(without(sixty(), "start")), []),
        ("time.stop_missing", undated(without(sixty(), "start", "stop")), [("a1", "stop")]),
        ("time.stop_missing", encounter(without(hydrated(0, 60), "stop")), [("a1", "stop")]),
        ("time.stop_missing", encounter(without(hydrated(0, 60, purpose="diluent"), "stop")), []),
        ("time.stop_missing", encounter(without(hydrated(0, 60, purpose="keep_open"), "stop")), []),
        ("time.stop_not_after_start", encounter(hydrated(0, 0)), [("a1", "stop")]),
        ("time.stop_not_after_start", encounter(pushed("J1200", 5, stop=clock(5))), [("a1", "stop")]),
        ("time.pause_open", encounter(sixty(pauses=[{"stop": clock(5)}])), [("a1", "pauses.0.start")]),
        ("time.pause_open", encounter(sixty(pauses=[{}])), [("a1", "pauses.0.start"), ("a1", "pauses.0.stop")]),
        ("time.pause_outside", encounter(infused("J2350", 0, 60, (-1, 5))), [("a1", "pauses.0")]),
        ("time.pause_outside", encounter(infused("J2350", 0, 60, (5, 5))), [("a1", "pauses.0")]),
        ("time.pause_outside", encounter(infused("J2350", 0, 60, (6, 5))), [("a1", "pauses.0")]),
        ("time.pause_outside", encounter(infused("J2350", 0, 60, (0, 59))), []),
        ("visit.missing", encounter(sixty(), setting="home"), [("", "visit.start")]),
        ("visit.missing", encounter(sixty(), setting="home", visit={}), [("", "visit.start")]),
        (
            "time.stop_not_after_start",
            encounter(sixty(), setting="home", visit={"start": clock(0), "stop": clock(0)}),
            [("", "visit.stop")],
        ),
        (
            "time.too_long",
            encounter(sixty(), setting="home", visit={"start": clock(0), "stop": clock(1441)}),
            [("", "visit.stop")],
        ),
        (
            "time.ambiguous",
            on("2025-11-02", sixty(), setting="home", visit={"start": "2025-11-02T01:30", "stop": "2025-11-02T11:00"}),
            [("", "visit.start")],
        ),
        (
            "time.ambiguous",
            on("2025-11-02", sixty(start="2025-11-02T00:30", stop="2025-11-02T03:30", pauses=[
                {"start": "2025-11-02T01:30", "stop": "2025-11-02T02:30"}])),
            [("a1", "pauses.0.start")],
        ),
        ("waste.not_billed", encounter(discarding("1", "prepared_not_given")), [("a1", "discards.0")]),
        (
            "ndc.other_drug",
            encounter(infused("J1301", 0, 60, vials=[{"amount": "30"}, {"amount": "30", "ndc": OCRELIZUMAB}])),
            [("a1", "vials.1.ndc")],
        ),
        (
            "ndc.other_drug",
            encounter(infused("J1301", 0, 60, vials=[
                {"amount": "30", "ndc": "5024215001"}, {"amount": "30", "ndc": OCRELIZUMAB}])),
            [("a1", "vials.1.ndc")],
        ),
        (
            "drug.look_alike",
            encounter(infused("J1301", 0, 60, vials=[{"amount": "30"}, {"amount": "300"}])),
            [("a1", "vials.1.amount")],
        ),
        ("waste.not_billed", encounter(sixty(discards=[{"amount": "0", "reason": "overfill"}])), []),
        (
            "waste.not_billed",
            encounter(sixty(administered="280", discards=[
                {"amount": "15", "reason": "vial_remainder"}, {"amount": "5", "reason": "broken_or_spilled"}])),
            [("a1", "discards.1")],
        ),
        (
            "waste.not_billed",
            under("billable_discard_reasons", ["vial_remainder"], discarding("120", "stopped_early", ordered="300")),
            [("a1", "discards.0")],
        ),
        ("vials.kinds_mixed", encounter(vial_of(single_dose=False)), []),
        ("reference.unverified", encounter(hydrated(0, 60), diagnoses=["G37.9"]), [("", "diagnoses.0")]),
        ("vials.missing", encounter(vial_of(count=0)), [("a1", "vials")]),
        ("vials.missing", encounter(without(infused("J2919", 0, 60), "vials"), setting=HOSPITAL), []),
        ("push.untimed", encounter(pushed("J1200"), pushed("J1200", 60), setting=HOSPITAL), [("a2", "start")]),
        ("push.repeat_not_reported", encounter(pushed("J1200", 0), pushed("J1200", 30), setting=HOSPITAL),
         [("a2", "start")]),
    ],
)  # fmt: skip
def test_the_same_finding_elsewhere(code: str, document: Document, places: list[tuple[str, str]]) -> None:
    assert findings(document, code) == places


@pytest.mark.parametrize(
    "code",
    ["code.not_effective", "drug.look_alike", "drug.not_given", "drug.price_contradictory", "drug.unknown",
     "ndc.other_drug", "route.not_allowed"],
)  # fmt: skip
def test_a_drug_that_cannot_be_billed_like_this_has_no_line_at_all(code: str) -> None:
    assert read(TABLE[code][0]).lines == ()


@pytest.mark.parametrize(
    ("pauses", "code"),
    [([(0, 60), (5, None)], "time.pause_open"), ([(0, 60), (None, 5)], "time.pause_open"),
     ([(0, 60), (50, 61)], "time.pause_outside")],
)  # fmt: skip
def test_what_ran_is_left_open_while_a_pause_is_wrong(pauses: list[tuple[int | None, int | None]], code: str) -> None:
    written = [
        {name: clock(minute) for name, minute in (("start", start), ("stop", stop)) if minute is not None}
        for start, stop in pauses
    ]
    assert [error.code for error in read(encounter(sixty(pauses=written))).errors] == [code]


def test_fluid_of_unknown_purpose_holds_up_what_is_given_by_vein() -> None:
    statement = read(encounter(sixty(), without(hydrated(60, 120), "purpose")))
    assert [line.code for line in statement.lines] == ["J2350"]


def test_a_code_that_ended_without_a_successor_says_when() -> None:
    [row] = shipped_reference().drugs["J2930"]
    reference = shipped_reference().with_drugs([replace(row, replaced_by="")])
    statement = read(on("2024-04-01", infused("J2930", 0, 60)), reference=reference)
    assert found(statement, "code.not_effective").message.endswith("It ended on 2024-03-31.")


def test_a_code_that_has_not_begun_says_when_and_names_no_successor() -> None:
    assert found(read(on("1989-12-31", infused("J2930", 0, 60))), "code.not_effective").message.endswith(
        "It begins on 1990-01-01."
    )


def test_between_two_stretches_of_a_code_the_next_one_is_named() -> None:
    [row] = shipped_reference().drugs["J2350"]
    stretches = [replace(row, last_day=date(2020, 12, 31)), replace(row, first_day=date(2022, 1, 1))]
    statement = read(on("2021-06-01", sixty()), reference=shipped_reference().with_drugs(stretches))
    assert found(statement, "code.not_effective").message.endswith("It begins on 2022-01-01.")


def test_a_retired_code_by_a_wrong_route_is_told_of_both() -> None:
    document = on("2024-04-01", injected("J2930"))
    assert [error.code for error in read(document).errors] == ["code.not_effective", "route.not_allowed"]


@pytest.mark.parametrize(
    ("code", "name"), [("J2930", "methylprednisolone sodium succinate"), ("J0000", "J0000"), ("", "drug")]
)
def test_a_dose_of_nothing_is_told_beside_a_code_that_cannot_be_used(code: str, name: str) -> None:
    document = encounter(pushed("J1200") | {"drug": code, "administered": "0"})
    assert [error.code for error in read(document).errors][1:] == ["drug.not_given"]
    assert read(document).lines == ()
    assert found(read(document), "drug.not_given").message.startswith(f"None of the {name} reached the patient")


def test_a_fluid_without_a_name_is_called_hydration() -> None:
    message = found(read(encounter(without(hydrated(0, 60), "stop"))), "time.stop_missing").message
    assert message.startswith("Hydration has no stop time")


@pytest.mark.parametrize(("code", "name"), [("J0000", "J0000"), ("", "The drug")])
def test_a_drug_that_is_not_known_is_called_what_was_entered(code: str, name: str) -> None:
    message = found(read(encounter(without(sixty(drug=code), "stop"))), "time.stop_missing").message
    assert message.startswith(f"{name} has no stop time")


def test_the_outermost_values_that_are_read() -> None:
    policy = {"maximum_units_per_line": 1, "additional_hour_minimum_minutes": 60, "infusion_minimum_minutes": 1}
    document = encounter(vial_of(count=999, expires="1900-01-01"), policy=policy, date_of_service="2999-12-31")
    assert parse_encounter(document, ZONE).encounter.administrations[0].vials[0].count == 999


def test_how_many_vials_cannot_be_is_told() -> None:
    assert found(read(encounter(vial_of(count=-2))), "amount.negative").message.startswith(
        "Ocrelizumab: -2 vials cannot"
    )


def test_supplied_drug_that_the_payer_wants_to_see_costs_a_cent() -> None:
    statement = read(under("supplied_drug_line", "nominal_charge", sixty(acquired="supplied", vials=[])))
    [line] = [line for line in statement.lines if line.kind == "drug"]
    assert (line.units, line.modifiers, str(line.charge)) == (300, (), "0.01")
    assert "it appears at a nominal charge" in found(statement, "drug.supplied").message


@pytest.mark.parametrize(("name", "value", "code"), [
    ("drug_covered", False, "drug.not_covered"),
    ("accepted_diagnoses", ["G35.D"], "diagnosis.not_accepted"),
    ("prior_authorization", "always", "authorization.required"),
    ("step_therapy", "another drug", "step_therapy.required"),
])  # fmt: skip
def test_a_payer_that_asks_for_one_thing_is_not_said_to_ask_for_another(name: str, value: Any, code: str) -> None:
    assert [each.code for each in read(under(name, value)).findings] == [code]


@pytest.mark.parametrize("amounts", [{"ordered": "0.5"}, {"administered": "0.5"}])
def test_half_a_milligram_is_not_above_half_a_milligram(amounts: Document) -> None:
    policy = {"prior_authorization": "above_dose"}
    for limit, asked in (("0.5", []), ("0.4999", [("a1", "ordered")])):
        document = encounter(without(sixty(), "administered") | amounts,
                             policy=policy | {"prior_authorization_dose_limit": limit})  # fmt: skip
        assert findings(document, "authorization.required") == asked


def test_one_finding_is_told_once() -> None:
    document = encounter(sixty(), infused("J2350", 60, 120), policy={"drug_covered": False})
    assert [each.code for each in read(document).findings].count("drug.not_covered") == 1


def test_an_unverified_rule_of_a_narrower_scope_names_its_own_lines() -> None:
    layer = Layer("Example Mutual", {"discarded_drug": "not_billed"}, Scope(drug="J2350"), "a letter", "unverified")
    statement = read(encounter(discarding("20", "vial_remainder")), PayerPolicy((BASELINE, layer)))
    assert found(statement, "policy.unverified").message == (
        "Discarded drug: not billed, by a rule of Example Mutual that nobody has verified (a letter). "
        "Check it before approving J2350."
    )


def test_an_unverified_rule_is_told_without_the_baseline_below_it() -> None:
    _, unverified = UNVERIFIED.layers
    statement = read(encounter(infused("J2350", 0, 150)), PayerPolicy((unverified,)))
    assert found(statement, "policy.unverified").field == "policy.additional_hour_minimum_minutes"


def test_an_unverified_rule_that_ended_says_nothing() -> None:
    layer = Layer("Example Mutual", {"drug_covered": False}, status="unverified", effective_until=date(2026, 3, 9))
    assert read(encounter(sixty()), PayerPolicy((BASELINE, layer))).findings == ()


def test_an_unverified_rule_for_a_missing_stop_says_nothing_where_no_infusion_misses_one() -> None:
    layer = Layer("Example Mutual", {"missing_stop_time": "push"}, status="unverified")
    for given in (sixty(), pushed("J1200", 0)):
        told = read(encounter(given), PayerPolicy((BASELINE, layer))).findings
        assert "policy.unverified" not in [each.code for each in told]
    assert found(read(encounter(without(sixty(), "stop")), PayerPolicy((BASELINE, layer))), "policy.unverified")


# What is no encounter -----------------------------------------------------------------------------------------------


def refused(document: object) -> list[tuple[str, str]]:
    with pytest.raises(Unreadable) as caught:
        parse_encounter(document, ZONE)
    answer = unreadable_document("x", caught.value)
    assert answer["status"] == "invalid"
    for _, message in caught.value.problems:
        check_sentence(message[:1].upper() + message[1:])
    return list(caught.value.problems)


def with_policy(policy: object) -> Document:
    return encounter(sixty(), policy=policy)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("", []),
        ("", None),
        ("", "x"),
        ("stetting", encounter(sixty(), stetting="home")),
        ("id", encounter(sixty(), id=True)),
        ("id", encounter(sixty(), id=1.5)),
        ("payer", encounter(sixty(), payer=7)),
        ("setting", without(encounter(sixty()), "setting")),
        ("setting", encounter(sixty(), setting="hospital")),
        ("time_zone", encounter(sixty(), time_zone="New York")),
        ("time_zone", encounter(sixty(), time_zone="../../etc/passwd")),
        ("time_zone", encounter(sixty(), time_zone="America")),
        ("time_zone", encounter(sixty(), time_zone="localtime")),
        ("date_of_service", encounter(sixty(), date_of_service="10.03.2026")),
        ("date_of_service", encounter(sixty(), date_of_service="2026-02-30")),
        ("date_of_service", encounter(sixty(), date_of_service=20260310)),
        ("date_of_service", encounter(sixty(), date_of_service="0001-01-01")),
        ("date_of_service", encounter(sixty(), date_of_service="1899-12-31")),
        ("date_of_service", encounter(sixty(), date_of_service="3000-01-01")),
        ("diagnoses", encounter(sixty(), diagnoses="G35.A")),
        ("diagnoses.1", encounter(sixty(), diagnoses=["G35.A", 35])),
        ("diagnoses.0", encounter(sixty(), diagnoses=[" "])),
        ("visit", encounter(sixty(), visit=[])),
        ("visit.start", encounter(sixty(), visit={"start": "noon"})),
        ("visit.stop", encounter(sixty(), visit={"stop": "noon"})),
        ("visit.length", encounter(sixty(), visit={"length": 60})),
        ("administrations", encounter(sixty()) | {"administrations": {}}),
        ("administrations.0", encounter(sixty()) | {"administrations": [None]}),
        ("administrations", encounter(sixty(id="a1"), sixty(id="a2"), sixty(id="a1"))),
        ("administrations.0.stopp", encounter(sixty(stopp=clock(60)))),
        ("administrations.0.route", encounter(sixty(route="iv"))),
        ("administrations.0.route", encounter(without(sixty(), "route"))),
        ("administrations.0.purpose", encounter(hydrated(0, 60, purpose="thirst"))),
        ("administrations.0.acquired", encounter(sixty(acquired="found"))),
        ("administrations.0.primary", encounter(sixty(primary="yes"))),
        ("administrations.0.order", encounter(sixty(order=1))),
        ("administrations.0.start", encounter(sixty(start="2026-03-10 09:00"))),
        ("administrations.0.start", encounter(sixty(start="09:00"))),
        ("administrations.0.start", encounter(sixty(start="2026-03-10T24:01"))),
        ("administrations.0.start", encounter(sixty(start=900))),
        ("administrations.0.start", encounter(sixty(start="9999-12-31T23:59"))),
        ("administrations.0.start", encounter(sixty(start="2026-03-10T09:00+25:00"))),
        ("administrations.0.pauses", encounter(sixty(pauses="none"))),
        ("administrations.0.pauses.0", encounter(sixty(pauses=["09:10"]))),
        ("administrations.0.pauses.0.reason", encounter(sixty(pauses=[{"reason": "lunch"}]))),
        ("administrations.0.administered", encounter(sixty(administered="six hundred"))),
        ("administrations.0.administered", encounter(sixty(administered="NaN"))),
        ("administrations.0.administered", encounter(sixty(administered="1e3"))),
        ("administrations.0.administered", encounter(sixty(administered="600_"))),
        ("administrations.0.administered", encounter(sixty(administered=280.4))),
        ("administrations.0.administered", encounter(sixty(administered=True))),
        ("administrations.0.administered", encounter(sixty(administered="1000000000"))),
        ("administrations.0.administered", encounter(sixty(administered="0.0000001"))),
        ("administrations.0.administered", encounter(sixty(administered="٣٠٠"))),
        ("administrations.0.ordered", encounter(sixty(ordered=[]))),
        ("administrations.0.vials.0", encounter(sixty(vials=["300"]))),
        ("administrations.0.vials.0.amount", encounter(sixty(vials=[{}]))),
        ("administrations.0.vials.0.amount", encounter(vial_of(amount=""))),
        ("administrations.0.vials.0.size", encounter(vial_of(size="300"))),
        ("administrations.0.vials.0.count", encounter(vial_of(count="2"))),
        ("administrations.0.vials.0.count", encounter(vial_of(count=True))),
        ("administrations.0.vials.0.count", encounter(vial_of(count=1000))),
        ("administrations.0.vials.0.single_dose", encounter(vial_of(single_dose="no"))),
        ("administrations.0.vials.0.ndc", encounter(vial_of(ndc=50242015001))),
        ("administrations.0.vials.0.expires", encounter(vial_of(expires="03/2027"))),
        ("administrations.0.discards.0", encounter(sixty(discards=[20]))),
        ("administrations.0.discards.0.reason", encounter(sixty(discards=[{"amount": "20"}]))),
        ("administrations.0.discards.0.reason", encounter(sixty(discards=[{"amount": "20", "reason": "waste"}]))),
        ("administrations.0.discards.0.amount", encounter(sixty(discards=[{"reason": "overfill"}]))),
        ("past_doses", encounter(sixty(), past_doses="none")),
        ("past_doses.0", encounter(sixty(), past_doses=["J2350"])),
        ("past_doses.0.administered", encounter(sixty(), past_doses=[LAST_MONTH[0] | {"administered": "-1"}])),
        ("past_doses.0.units", encounter(sixty(), past_doses=[LAST_MONTH[0] | {"units": 300}])),
        ("past_doses.0.date_of_service", encounter(sixty(), past_doses=[without(LAST_MONTH[0], "date_of_service")])),
        ("past_doses.0.date_of_service", encounter(sixty(), past_doses=[LAST_MONTH[0] | {"date_of_service": "May"}])),
        ("past_doses.0.drug", encounter(sixty(), past_doses=[without(LAST_MONTH[0], "drug")])),
        ("past_doses.0.administered", encounter(sixty(), past_doses=[without(LAST_MONTH[0], "administered")])),
        ("past_doses.0.administered", encounter(sixty(), past_doses=[LAST_MONTH[0] | {"administered": "-"}])),
        ("hospital_department", encounter(sixty(), hospital_department="elsewhere")),
        ("administrations.0.bought_340b", encounter(sixty(bought_340b="yes"))),
        ("policy", with_policy([])),
        ("policy", with_policy("none")),
        ("policy.minutes", with_policy({"minutes": 30})),
        ("policy.settings", with_policy({"settings": []})),
        ("policy.settings.hospital", with_policy({"settings": {"hospital": {}}})),
        ("policy.settings.home", with_policy({"settings": {"home": 1}})),
        ("policy.settings.home.drugs", with_policy({"settings": {"home": {"drugs": {}}}})),
        ("policy.drugs", with_policy({"drugs": ["J2350"]})),
        ("policy.drugs.J2350", with_policy({"drugs": {"J2350": 1}})),
        ("policy.drugs.J2350.settings.home.x", with_policy({"drugs": {"J2350": {"settings": {"home": {"x": 1}}}}})),
        ("policy.additional_hour_minimum_minutes", with_policy({"additional_hour_minimum_minutes": 0})),
        ("policy.additional_hour_minimum_minutes", with_policy({"additional_hour_minimum_minutes": 61})),
        ("policy.additional_hour_minimum_minutes", with_policy({"additional_hour_minimum_minutes": "31"})),
        ("policy.additional_hour_minimum_minutes", with_policy({"additional_hour_minimum_minutes": True})),
        ("policy.maximum_units_per_line", with_policy({"maximum_units_per_line": 0})),
        ("policy.drug_covered", with_policy({"drug_covered": "yes"})),
        ("policy.discarded_drug", with_policy({"discarded_drug": "jw"})),
        ("policy.billable_discard_reasons", with_policy({"billable_discard_reasons": "overfill"})),
        ("policy.billable_discard_reasons", with_policy({"billable_discard_reasons": ["waste"]})),
        ("policy.accepted_diagnoses", with_policy({"accepted_diagnoses": [35]})),
        ("policy.accepted_diagnoses", with_policy({"accepted_diagnoses": ["G35.A", 35]})),
        ("policy.step_therapy", with_policy({"step_therapy": None})),
        ("policy.maximum_claim_charge", with_policy({"maximum_claim_charge": True})),
        ("policy.maximum_claim_charge", with_policy({"maximum_claim_charge": "-1"})),
        ("policy.maximum_claim_charge", with_policy({"maximum_claim_charge": "NaN"})),
        ("policy.maximum_claim_charge", with_policy({"maximum_claim_charge": "1000000000"})),
        ("policy.maximum_claim_charge", with_policy({"maximum_claim_charge": "0.0000001"})),
        ("policy.maximum_claim_charge", with_policy({"maximum_claim_charge": "1E+999999"})),
        ("policy.maximum_claim_charge", with_policy({"maximum_claim_charge": "1E-999999"})),
    ],
)
def test_what_is_no_encounter_is_refused_with_its_path(path: str, document: object) -> None:
    assert [where for where, _ in refused(document)] == [path]


def test_an_earlier_dose_of_nothing_can_be_read() -> None:
    none_then = encounter(sixty(), past_doses=[LAST_MONTH[0] | {"administered": "0"}])
    assert parse_encounter(none_then, ZONE).encounter.past_doses == (PastDose(date(2026, 3, 1), "J2350", Decimal(0)),)


def test_every_problem_is_told_at_once() -> None:
    document = encounter(sixty(stopp="x", route="iv"), setting="", diagnoses=[1])
    assert [path for path, _ in refused(document)] == [
        "administrations.0.stopp",
        "administrations.0.route",
        "setting",
        "diagnoses.0",
    ]


@pytest.mark.parametrize(
    ("text", "path", "part"),
    [
        ("", "", "not JSON"),
        ("{", "", "not JSON"),
        (b"\xff\xfe{", "", "not JSON"),
        ("[" * 100_000, "", "not JSON"),
        ('{"id": ' + "9" * 5000 + "}", "", "not JSON"),
        ('{"a": NaN}', "", "NaN is not a number"),
        ('{"a": -Infinity}', "", "-Infinity is not a number"),
        ('{"a": 1e99999999999999999999}', "", "beyond any number"),
        ('{"id": "\\ud800"}', "", "half a character"),
        (b'{"id": "\xed\xa0\x80"}', "", "half a character"),
        ('{"id": "x", "setting": "home", "setting": "office"}', "setting", "given twice"),
        ('{"administrations": [{"stop": "x", "stop": "y"}]}', "stop", "given twice"),
    ],
)
def test_text_that_is_not_one_plain_document(text: str | bytes, path: str, part: str) -> None:
    with pytest.raises(Unreadable) as caught:
        decode(text)
    [(where, message)] = caught.value.problems
    assert (where, part in message) == (path, True)


def test_of_many_fields_the_first_that_is_given_twice_is_found_in_one_walk() -> None:
    class Name(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Name.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    names = [f"f{number}" for number in range(500)]
    with pytest.raises(Unreadable) as caught:
        DECODER.object_pairs_hook([(Name(name), None) for name in [*names, "f499", "f498"]])
    assert caught.value.problems == (("f498", "f498 is given twice."),)
    assert Name.compared < 10_000


@pytest.mark.parametrize("kind", ["[]", "{}"])
def test_what_is_nested_too_deep_to_be_written_again_is_refused(kind: str) -> None:
    def nested(levels: int) -> str:
        begin, end = ('{"a":', "}") if kind == "{}" else ("[", "]")
        return begin * (levels - 1) + kind + end * (levels - 1)

    assert json.dumps(decode(nested(100)), separators=(",", ":")) == nested(100)
    assert decode(json.dumps([[]] * 200)) == [[]] * 200
    for levels, why in ((101, "nested more than 100 deep"), (200, "nested more than 100 deep"), (100_000, "recursion")):
        with pytest.raises(Unreadable) as caught:
            decode(nested(levels))
        [(path, message)] = caught.value.problems
        assert (path, why in message) == ("", True)


def test_many_short_lists_are_not_deep() -> None:
    wide = [[number, str(number)] for number in range(200)]
    assert decode(json.dumps(wide)) == wide


def test_what_is_read_can_be_written_again_however_deep_it_is() -> None:
    """The deepest document that is read at all, from as far up the stack as it was read."""

    def is_refused(depth: int) -> bool:
        try:
            return not decode(b"[" * depth + b"]" * depth)
        except Unreadable:
            return True

    def written(document: object) -> str:
        def as_far_up() -> str:
            return json.dumps(document, ensure_ascii=False, default=str)

        return as_far_up()

    deepest, refused_at = 1, sys.getrecursionlimit()
    while refused_at - deepest > 1:
        between = (deepest + refused_at) // 2
        if is_refused(between):
            refused_at = between
        else:
            deepest = between
    assert written(decode(b"[" * deepest + b"]" * deepest)) == "[" * deepest + "]" * deepest


def test_a_choice_that_is_none_is_told_with_those_there_are() -> None:
    [(_, missing)] = refused(without(encounter(sixty()), "setting"))
    assert missing == "Nothing is not one of office, hospital_outpatient, home."
    [(_, unknown)] = refused(encounter(sixty(), setting="clinic"))
    assert unknown == "'clinic' is not one of office, hospital_outpatient, home."


def test_an_id_that_stands_twice_is_named() -> None:
    [(_, message)] = refused(encounter(sixty(id="a1"), sixty(id="a2"), sixty(id="a1")))
    assert message == "Two administrations have the id a1."


def test_the_answer_to_what_is_no_encounter() -> None:
    problem = Unreadable((("visit.stop", "That is no time."), ("", "That is no encounter.")))
    told = {"code": "input.unreadable", "severity": "error", "administration": None}
    assert unreadable_document("visit 7", problem) == {
        "id": "visit 7",
        "status": "invalid",
        "findings": [
            told | {"field": "visit.stop", "message": "That is no time."},
            told | {"field": None, "message": "That is no encounter."},
        ],
    }
    for identity, shown in ((7, 7), (True, None), ([7], None)):
        assert unreadable_document(identity, problem)["id"] == shown


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (1, "1 unit of J1"),
        (2, "2 units of J1"),
        (21, "21 units of J1"),
        ("1,001", "1,001 units of J1"),
        ("0-1", "0-1 units of J1"),
    ],
)
def test_one_of_something_takes_the_singular(count: int | str, told: str) -> None:
    findings = Findings.none_yet()
    findings.add("drug.lines_denied", payer="The payer", what="it", units=count, code="J1")
    assert f"here are more: {told} will be denied" in findings.all()[0].message


def administered(raw: str) -> Any:
    text = json.dumps(encounter(sixty(administered="?"))).replace('"?"', raw)
    return parse_encounter(decode(text), ZONE).encounter.administrations[0].administered


@pytest.mark.parametrize("raw", ["280.4", '"280.4"', "280.40", "2804e-1"])
def test_a_number_is_read_exactly(raw: str) -> None:
    """280.4 as a binary float is 280.399999999999977…; the units would still be 281, the discard would not be."""
    assert str(administered(raw).normalize()) == "280.4"


def test_sums_of_numbers_are_exact() -> None:
    tenths = [{"amount": "?", "reason": "vial_remainder"} for _ in range(3)]
    text = json.dumps(encounter(sixty(administered="299.7", discards=tenths))).replace('"?"', "0.1")
    assert read(decode(text)).errors == ()


def test_null_is_absent() -> None:
    empty = dict.fromkeys(["order", "access", "access_reason", "purpose", "primary", "acquired", "pauses", "ordered"])
    document = encounter(sixty() | empty, payer=None, policy=None, visit=None, diagnoses=None)
    document["policy"] = {"settings": None, "drugs": None}
    assert read(document).status == "ready"


def test_an_id_is_kept_and_one_is_made_where_there_is_none() -> None:
    document = encounter(without(sixty(), "id"), id=0)
    document["administrations"] = [without(each, "id") for each in document["administrations"]]
    asked = parse_encounter(document, ZONE)
    assert (asked.encounter.id, asked.encounter.administrations[0].id) == ("0", "a1")
