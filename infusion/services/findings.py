"""Every message the rules can give, in one place.

An error holds up the lines that depend on what is missing or wrong. A warning is acknowledged by billing staff before
approval. Info is only told.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know. `field` is the path within the administration, or within the encounter if that is empty."""

    code: str
    severity: Severity
    message: str
    administration: str = ""
    field: str = ""


ERRORS = {
    "administration.missing": "Nothing is recorded yet. Enter what was given.",
    "date_of_service.missing": "There is no date of service and no start time to take it from. Enter the date.",
    "amount.missing": "{what} has no administered amount, so its units cannot be counted. Enter the milligrams given.",
    "amount.negative": "{what}: {amount} cannot be. Enter a number above zero.",
    "code.not_effective": "{code} is not in force on {on}, so a claim with it is sent back. {advice}",
    "diagnosis.not_billable": "{code} cannot be billed on {on}. {advice}",
    "drug.not_given": "None of the {what} reached the patient, so neither the drug nor its waste nor its "
    "administration is billed. Remove it from this encounter or enter what was given.",
    "drug.look_alike": "{code} is {what}, but a vial of {amount} mg is a size of {other} ({other_code}). Use "
    "{other_code} if that was given.",
    "drug.unknown": "{code} is not a drug in the reference tables, so nothing can be billed for it. {advice}",
    "hydration.purpose_missing": "Hydration has no purpose, and only ordered hydration counts. Say whether it was "
    "ordered, kept the line open or carried a drug.",
    "ndc.other_drug": "NDC {ndc} belongs to {owner}, not to {code}. Check which drug was given.",
    "route.not_allowed": "{what} ({code}) is not given by this route: {route}. {advice}",
    "time.ambiguous": "{what}: {time} happens twice on this night, when the clocks go back. Say whether it was the "
    "first or the second.",
    "time.nonexistent": "{what}: {time} does not exist on this night, when the clocks go forward. Check the time.",
    "time.start_missing": "{what} has no start time, so its minutes cannot be counted. Enter when it started.",
    "time.stop_missing": "{what} has no stop time, so its minutes cannot be counted. Enter when it stopped.",
    "time.stop_not_after_start": "{what} stops at {stop}, which is not after its start at {start}. Correct one of "
    "them; for a stop on the next day enter its date.",
    "time.too_long": "{what} runs for more than 24 hours. Check the date of its stop.",
    "time.pause_open": "A pause of {what} has no {end}, so the minutes that ran cannot be counted. Enter it.",
    "time.pause_outside": "A pause of {what} has to end after it starts and lie between the start and the stop of "
    "the infusion. Correct the pause.",
    "time.no_running_time": "{what} is paused from start to stop, so it never ran. Check the pauses.",
    "time.concurrent_complex": "{what} ran beside another infusion on the same access, and no code exists for a "
    "complex drug given at the same time. Check the times or the access site.",
    "vials.missing": "{what} has no vials, so neither what was opened nor what was left can be shown. Enter the vials.",
    "vials.exceeded": "{used} mg of {what} are recorded as given or discarded, but the vials hold {opened} mg. "
    "Correct the dose, the vials or the discard.",
    "vials.more_than_needed": "More vials of {what} were opened than {needed} mg need. The extra one is an inventory "
    "loss, not waste of this claim. Take it out of the record.",
    "waste.unaccounted": "{missing} mg of {what} are neither given nor discarded: the vials hold {opened} mg. "
    "Record what happened to the rest.",
    "visit.missing": "A home infusion is billed by the nursing visit, and its {ends} is missing. Enter when it "
    "began and ended.",
}

WARNINGS = {
    "access.reason_missing": "Access {access} has no reason why a second site was medically necessary, so everything "
    "is counted on access {first}.",
    "administration.not_paid": "{payer} does not pay administration apart from the drug: {codes} will be denied.",
    "authorization.required": "{payer} asks for a prior authorization for {what}{limit}. Check that one is active.",
    "date_of_service.differs": "The date of service {on} is not the day of the earliest start, {earliest}.",
    "diagnosis.not_accepted": "{payer} accepts other diagnoses for {what}: {accepted}.",
    "diagnosis.unknown": "{code} is not in the diagnosis table here, so its dates could not be checked.",
    "drug.not_covered": "{payer} does not cover {what}.",
    "ndc.malformed": "{ndc} is not a usable NDC: without hyphens it needs 11 digits. It is left off the line.",
    "ndc.missing": "{payer} wants an NDC on every drug line, and {what} has none.",
    "policy.unverified": "{label}: {value}, by a rule of {payer} that nobody has verified ({source}). Check it "
    "before approving {lines}.",
    "push.untimed": "{what} was pushed again without a time, so more than 30 minutes since the push before cannot be "
    "shown and the repeat is not reported.",
    "step_therapy.required": "{payer} wants this tried before {what}: {step}.",
    "time.partial_overlap": "{minutes} minutes of {what} ran beside another infusion and count for that one only.",
    "time.push_long": "{what} is recorded as a push but took {minutes} minutes. Check whether it was an infusion.",
    "time.repeat_unclear": "{what} stood still for {minutes} minutes between two bags. If the second was ordered "
    "separately, give it an order of its own.",
    "time.counted_as_push": "{what} has no stop time; by the rule of {payer} it counts as a push.",
    "units.above_mue": "{units} units of {code} are above the usual daily limit of {limit}.",
    "vials.expired": "A vial of {what} expired on {expires}, before it was given.",
    "vials.kinds_mixed": "{what} came from single-dose and multi-dose vials, so no discard is billed and no JZ is set.",
    "vials.size_unknown": "{amount} mg is not a known vial size of {what}. Check the label.",
    "vials.smaller_available": "{what}: vials with {best} mg in all would have done, and {opened} mg were opened.",
    "waste.line_residual": "{amount} mg of {what} stayed in the line. It was part of the dose, so it is not billed as "
    "discarded.",
    "waste.stopped_early": "{amount} mg of {what} were discarded because the infusion stopped early. Billing it is "
    "debated: review it.",
}

INFOS = {
    "drug.oral_not_billed": "{what} was given by mouth. It is recorded and not billed.",
    "drug.supplied": "{what} was not bought by the site, so {line}.",
    "hydration.not_counted": "Fluid that {purpose} is not billed as hydration.",
    "hydration.too_short": "{minutes} minutes of hydration count; under {needed} it is not reported.",
    "infusion.repeat_too_short": "{what}: the separate order ran {minutes} minutes that count; a repeat of the same "
    "drug earns nothing under {needed}.",
    "push.repeat_not_reported": "{what}: this push repeats a drug already given, and {reason}.",
    "reference.unverified": "What is kept here about {code} is not verified against a primary source.",
    "time.crosses_midnight": "{what} runs past midnight. It is one infusion, dated {on}.",
    "waste.not_billed": "{amount} mg of {what} were discarded ({reason}) and are not billed.",
}

_BY_SEVERITY = ((Severity.ERROR, ERRORS), (Severity.WARNING, WARNINGS), (Severity.INFO, INFOS))
MESSAGES = {code: (severity, text) for severity, texts in _BY_SEVERITY for code, text in texts.items()}


@dataclass(slots=True)
class Findings:
    """Collects findings in the order they are met, each once."""

    found: dict[Finding, None]

    @classmethod
    def none_yet(cls) -> Findings:
        return cls({})

    def add(self, kind: str, /, *, administration: str = "", field: str = "", **words: object) -> None:
        severity, text = MESSAGES[kind]
        message = text.format(**words).strip()
        self.found[Finding(kind, severity, message[:1].upper() + message[1:], administration, field)] = None

    def all(self) -> tuple[Finding, ...]:
        return tuple(self.found)
