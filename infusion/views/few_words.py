"""Findings in a few words: what a draft lacks, what a warning is called, and what it costs to be wrong about it."""

from __future__ import annotations

from collections.abc import Iterable

from infusion.services.findings import Finding

LACKS = {
    "administration.missing": "what was given",
    "date_of_service.missing": "date of service",
    "amount.missing": "dose given",
    "amount.negative": "an amount above zero",
    "code.not_effective": "a drug code in force",
    "diagnosis.not_billable": "a diagnosis in force",
    "drug.not_given": "a dose that reached the patient",
    "drug.price_contradictory": "whether it was supplied or bought",
    "drug.price_mixed": "at which price the drug was bought",
    "drug.unknown": "a known drug",
    "hydration.purpose_missing": "purpose of the hydration",
    "drug.look_alike": "the right drug",
    "ndc.other_drug": "the right NDC",
    "route.not_allowed": "a route this drug is given by",
    "time.ambiguous": "which of two clock times",
    "time.nonexistent": "a time that exists",
    "time.start_missing": "start time",
    "time.stop_missing": "stop time",
    "time.stop_not_after_start": "a stop after the start",
    "time.too_long": "a stop within 24 hours",
    "time.pause_open": "end of a pause",
    "time.pause_outside": "a pause within the infusion",
    "time.no_running_time": "running time",
    "time.concurrent_complex": "times that can be billed together",
    "vials.missing": "vials",
    "vials.exceeded": "vials that hold the dose",
    "vials.more_than_needed": "one vial fewer",
    "waste.unaccounted": "where the rest of the vials went",
    "visit.missing": "visit times",
}

# Code: what billing acknowledges, and what it costs to be wrong.
ACKNOWLEDGED = {
    "access.reason_missing": (
        "the second access has no reason",
        "Its own initial code is not billed; a reason in the record would add it.",
    ),
    "administration.not_paid": (
        "administration is not paid here",
        "The lines stay on the claim and come back unpaid.",
    ),
    "authorization.required": ("a prior authorization is asked for", "Without an active one the drug is denied."),
    "date_of_service.differs": (
        "the date is not the day of the start",
        "A claim with the wrong day is read under the wrong rules or sent back.",
    ),
    "department.missing": (
        "where the department lies is not recorded",
        "Without PO or PN the payer sends the lines back, or pays them wrongly.",
    ),
    "diagnosis.not_accepted": (
        "the payer accepts other diagnoses",
        "The drug is denied unless one of them is on the claim.",
    ),
    "diagnosis.unknown": (
        "a diagnosis could not be checked",
        "A code that is not in force on the day sends the claim back.",
    ),
    "dose.history_missing": ("earlier doses are not known here", "A dose that comes too soon is denied."),
    "dose.too_soon": ("the last dose was not long ago", "The drug is denied unless the payer has agreed."),
    "drug.lines_denied": ("the payer takes one line a day", "The lines after the first come back unpaid."),
    "drug.not_covered": ("the drug is not covered", "The drug line will be denied."),
    "modifier.not_in_force": ("a modifier is not in force on the day", "A claim with it can be sent back."),
    "ndc.malformed": ("an NDC cannot be used", "A payer that wants the NDC sends the line back."),
    "ndc.missing": ("the NDC is missing", "The payer sends the drug line back without it."),
    "policy.unverified": ("a rule is unverified", ""),
    "push.untimed": (
        "a repeated push is not billed",
        "One unit is lost if it came more than 30 minutes after the push before.",
    ),
    "route.mixed": (
        "the drug was given in more than one way",
        "The line goes without the modifier that the payer wants.",
    ),
    "step_therapy.required": (
        "another treatment comes first",
        "Without proof that it was tried the drug is denied.",
    ),
    "time.hour_over_midnight": (
        "an hour lies on both sides of midnight",
        "Which day its unit belongs to is not settled.",
    ),
    "time.partial_overlap": (
        "some minutes count for another infusion",
        "They count once. If the times are wrong, so are the hours.",
    ),
    "time.push_long": ("a push took long", "An infusion takes another code."),
    "time.repeat_unclear": (
        "two bags may be two orders",
        "They count as one infusion; two orders are counted apart.",
    ),
    "time.counted_as_push": (
        "there is no stop time",
        "It counts as a push. With a stop in the record its hours would count.",
    ),
    "units.above_dose_limit": ("the dose is above the payer’s limit", "The units above it are denied."),
    "units.above_mue": (
        "the units are above the usual daily limit",
        "The payer denies them unless the record supports the dose.",
    ),
    "units.above_period_limit": (
        "the doses of some months are above the payer’s limit",
        "The units above it are denied.",
    ),
    "vials.expired": ("a vial had expired", "A payer can take back what was paid for expired drug."),
    "vials.kinds_mixed": (
        "single-dose and multi-dose vials were mixed",
        "Discarded drug stays unbilled until it is clear which vial it came from.",
    ),
    "vials.size_unknown": ("a vial size is not known", "If the size is wrong, so is what was discarded."),
    "vials.smaller_available": (
        "smaller vials would have done",
        "A payer can refuse the discarded drug that they would have saved.",
    ),
    "waste.dosing_unknown": ("how the drug is dosed is not known here", "What was discarded stays unbilled."),
    "waste.line_residual": (
        "drug stayed in the line",
        "If the record counts it neither as dose nor as discard, it is missing twice.",
    ),
    "waste.stopped_early": (
        "the infusion stopped early",
        "The record has to say why it stopped, or the discarded drug is not paid.",
    ),
}


def lacking(errors: Iterable[Finding]) -> list[str]:
    """What a draft lacks, each thing once."""
    return list(dict.fromkeys(LACKS.get(finding.code, finding.message) for finding in errors))
