"""Every message the rules can give, in one place.

An error holds up the lines that depend on what is missing or wrong. A warning is acknowledged by billing staff before
approval. Info is only told.
"""

from __future__ import annotations

import re
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
    "drug.price_contradictory": "{what} is recorded as supplied and as bought at the 340B price. Correct one of them.",
    "drug.price_mixed": "Some of the {what} was bought at the 340B price and some was not, and {payer} wants the first "
    "marked with {code}. Which units are which cannot be told. Check the record.",
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
    "department.missing": "{payer} wants PO or PN on lines of a hospital department off the campus, and where this one "
    "lies is not recorded. Enter it.",
    "dose.history_missing": "{payer} limits how often {what} is given, and the earlier doses are not known here. Check "
    "them before approval.",
    "dose.too_soon": "{payer} asks for {days} days between doses of {what}. The last one was on {last}, {since} days "
    "before, so this one will be denied unless they agree to it.",
    "drug.lines_denied": "{payer} pays one line a day of {what} given, and here are more: {units} units of {code} will "
    "be denied. Ask the payer how they want it.",
    "drug.not_covered": "{payer} does not cover {what}.",
    "modifier.not_in_force": "{payer} asks for {code}, which by the tables here is not in force on {on}. Check which "
    "one they take.",
    "ndc.malformed": "{ndc} is not a usable NDC: without hyphens it needs 11 digits. It is left off the line.",
    "ndc.missing": "{payer} wants an NDC on every drug line, and {what} has none.",
    "policy.unverified": "{label}: {value}, by a rule of {payer} that nobody has verified ({source}). Check it "
    "before approving {lines}.",
    "push.untimed": "{what} was pushed again without a time, so more than 30 minutes since the push before cannot be "
    "shown and the repeat is not reported.",
    "route.mixed": "{what} was given in more than one way, so its line has no modifier for the route. Ask {payer} how "
    "they want it.",
    "step_therapy.required": "{payer} wants this tried before {what}: {step}.",
    "time.partial_overlap": "{minutes} minutes of {what} ran beside another infusion and count for that one only.",
    "time.push_long": "{what} is recorded as a push but took {minutes} minutes. Check whether it was an infusion.",
    "time.repeat_unclear": "{what} stood still for {minutes} minutes between two bags. If the second was ordered "
    "separately, give it an order of its own.",
    "time.counted_as_push": "{what} has no stop time; by the rule of {payer} it counts as a push.",
    "time.hour_over_midnight": "An hour of {what} lies on both sides of midnight. Its unit is dated {on}, where "
    "the hour began; no source settles which day takes it. Check what {payer} wants.",
    "units.above_dose_limit": "{payer} takes {most} units of {what} for one dose at most, and {units} were given.",
    "units.above_period_limit": "{payer} takes {most} units of {what} in {months} months at most. With {before} of "
    "earlier doses there are {units}.",
    "units.above_mue": "{units} units of {code} are above the usual daily limit of {limit}, by the shipped table, "
    "which nobody has verified.",
    "vials.expired": "A vial of {what} expired on {expires}, before it was given.",
    "vials.kinds_mixed": "{what} came from single-dose and multi-dose vials, so no discard is billed and no JZ is set.",
    "vials.size_unknown": "{amount} mg is not a known vial size of {what}. Check the label.",
    "vials.smaller_available": "{what}: vials with {best} mg in all would have done, and {opened} mg were opened.",
    "waste.dosing_unknown": "{payer} takes discard of a drug without a fixed dose alone, and how {what} is dosed is "
    "not in the tables. Its discard is not billed; have the drug's row completed.",
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
    "infusion.concurrent_too_short": "{payer} asks for {needed} shared minutes of drugs given at the same time. {what} "
    "shares {minutes}, so it is not reported.",
    "infusion.repeat_too_short": "{what}: the separate order ran {minutes} minutes that count; a repeat of the same "
    "drug earns nothing under {needed}.",
    "push.repeat_not_reported": "{what}: this push repeats a drug already given, and {reason}.",
    "reference.unverified": "What is kept here about {code} is not verified against a primary source.",
    "time.crosses_midnight": "{what} runs past midnight. It is one infusion, dated {on}.",
    "time.dated_by_day": "{what} runs past midnight. It is one infusion, and each unit is dated by its day.",
    "waste.above_limit": "{payer} takes {most} discarded units of {what} at most, so {units} more are not billed.",
    "waste.fixed_dose": "{payer} takes no discard of a drug with a fixed dose, which {what} has, so it is not billed.",
    "waste.not_billed": "{amount} mg of {what} were discarded ({reason}) and are not billed.",
}

# What a claim would be sent back or denied for, although its lines are right. Billing may skip one with a reason.

CLAIM_ERRORS = {
    "claim.add_on_without_parent": "{code} is an add-on and none of the codes it hangs on is on this claim "
    "({parents}), so it is denied. Check the record, and review the lines again.",
    "claim.authorization_exceeded": "Authorization {number} covers {limit} mg of {what}, and the dose is {dose} mg, so "
    "the rest is denied. Ask {payer} for a larger one.",
    "claim.authorization_missing": "{payer} wants a prior authorization for {what}{limit}, and none on file holds on "
    "{on}, so the drug is denied. {advice}",
    "claim.complex_family": "{code} belongs to the complex family, which {payer} does not take for {what}: it is "
    "denied or paid as less. Review the lines again under the rules of today.",
    "claim.diagnosis_missing": "There is no diagnosis, and a claim cannot be sent without one. Enter it in the record.",
    "claim.diagnosis_not_accepted": "{payer} accepts {what} for other diagnoses ({accepted}) than the ones here "
    "({diagnoses}), so the drug is denied. Check the diagnosis with the prescriber.",
    "claim.diagnosis_not_in_force": "{code} is not a diagnosis code on {on}, so the claim is sent back. {advice}",
    "claim.ndc_malformed": "NDC {ndc} on the line of {code} is not 11 digits with a quantity in ML, UN, GR, ME or F2, "
    "so the line is sent back. Correct the vial in the record.",
    "claim.ndc_missing": "{payer} wants an NDC on every drug line, and a line of {code} has none, so it is sent back. "
    "Enter the NDC of the vial in the record.",
    "claim.pair_never": "{first} and {second} are never paid together on one day ({table}): {second} is denied. Check "
    "the record; without a change, write {second} off.",
    "claim.pair_without_modifier": "{first} and {second} are paid together only with a modifier that sets them apart "
    "({table}), and neither has one{where}: {second} is denied. {advice}",
    "claim.place_differs": "Place of service {place} ({label}) does not go with the setting {setting}, so the claim is "
    "denied. Correct one of the two in the record.",
    "claim.place_facility": "Place of service {place} is a facility. A practitioner's claim carries neither the "
    "infusion ({codes}) nor its drug there: the facility bills them. Correct the place or the setting in the record.",
    "claim.place_missing": "There is no place of service, and a claim cannot be sent without one. Enter it in the "
    "record.",
    "claim.recorded_twice": "{code} is recorded for this patient on another visit of that day too, and no time tells "
    "the two apart. If it was given once, make one of them void or correct it; if twice, skip this check and say so.",
    "claim.second_visit": "The patient had an earlier visit that day with {earlier}, and {code} begins this one "
    "without {modifier}, so {payer} denies it. Were they one stay, record them as one visit; otherwise add {modifier} "
    "where the claim is finished, and skip this check with that reason.",
    "claim.total_too_high": "The charges are {total}, and {whose} at most {limit} on one claim. Send {count} claims: "
    "{plan}. No two may have the same total. {marking}",
    "claim.trial_drug_charged": "The sponsor of trial {trial} supplies the drug, and {code} is charged. Record {what} "
    "as supplied, or take the trial's number off this visit.",
    "claim.trial_number_malformed": "{trial} is not the number of a trial: it has eight digits, without NCT. "
    "Correct it.",
    "claim.unit_charge_too_high": "One unit of {code} is charged at {charge}, more than the {limit} that a whole claim "
    "may have, so the claim cannot be split. Correct the charge.",
    "claim.units_above_absolute": "{units} units of {code}{per}, above {limit}, and this limit knows no "
    "exception ({table}): denied. Check the amounts, and the other visits of the day.",
    "claim.units_not_by_milligram": "{code} has {units} units, and {given} mg given from {opened} mg opened make "
    "{expected} at {unit} mg a unit.{vials} Review the lines again.",
}

CLAIM_WARNINGS = {
    "claim.charge_by_vial": "A vial of {amount} mg of {what} would be charged at {charge}, more than a whole claim may "
    "have. Check that the charge in the fee schedule is for a unit of {unit} mg, and not for a vial.",
    "claim.coverage_missing": "The patient has no membership with this payer on {on}, so the claim has no member "
    "number. Enter it with the patient.",
    "claim.home_per_diem": "This payer pays a day's rate for a home infusion, and S9379 is not on the claim: it is "
    "lost. Review the lines again under the rules of today.",
    "claim.place_unknown": "Place of service {place} is not in the table here, so it could not be checked against the "
    "setting {setting}. Check it.",
    "claim.step_therapy": "{payer} wants this tried before {what}: {step}. No authorization on file shows that it was. "
    "Have the record of it at hand before the claim leaves.",
    "claim.units_above_limit": "{units} units of {code}{per}, above {limit} ({table}): denied until "
    "the record is shown. Check the amounts, and have the record at hand.",
    "claim.units_of_unknown_code": "{code} is not in the drug table on {on}, so its units could not be checked against "
    "the milligrams.",
}

CLAIM_INFOS = {
    "claim.authorization_on_file": "Authorization {number} for {what} holds on {on}{limit}.",
    "claim.home_per_diem_unknown": "Some payers pay a day's rate for a home infusion, S9379, beside the visit. No rule "
    "of this payer says so, and no such line is made.",
    "claim.units_within_limit": "{units} units of {code} are above {shipped} in the shipped table, which nobody has "
    "verified, and within {limit} in the loaded one, which counts ({table}).",
}

_BY_SEVERITY = (
    (Severity.ERROR, ERRORS, CLAIM_ERRORS),
    (Severity.WARNING, WARNINGS, CLAIM_WARNINGS),
    (Severity.INFO, INFOS, CLAIM_INFOS),
)
MESSAGES = {code: (severity, text) for severity, texts, _ in _BY_SEVERITY for code, text in texts.items()}
CLAIM_MESSAGES = {code: (severity, text) for severity, _, texts in _BY_SEVERITY for code, text in texts.items()}


ONE = re.compile(r"(?<![\d.,–/-])1 ((?:discarded )?(?:unit|minute|day|month))s\b")


@dataclass(slots=True)
class Findings:
    """Collects findings in the order they are met, each once."""

    found: dict[Finding, None]

    @classmethod
    def none_yet(cls) -> Findings:
        return cls({})

    def add(self, kind: str, /, *, administration: str = "", field: str = "", **words: object) -> None:
        self.add_as(None, kind, administration=administration, field=field, **words)

    def add_as(
        self, severity: Severity | None, kind: str, /, *, administration: str = "", field: str = "", **words: object
    ) -> None:
        """A finding of another severity than its own, where one is given: a doubtful rule weighs less."""
        usual, text = MESSAGES.get(kind) or CLAIM_MESSAGES[kind]
        message = ONE.sub(r"1 \1", text.format(**words).strip())
        message = message[:1].upper() + message[1:]
        self.found[Finding(kind, severity or usual, message, administration, field)] = None

    def all(self) -> tuple[Finding, ...]:
        return tuple(self.found)
