"""Findings as a worklist of issues: what is wrong, where, by which rule, and whether billing has set it aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.urls import reverse

from infusion.models import Encounter, Skip
from infusion.services.findings import Finding, Severity
from infusion.services.reference import Reference
from infusion.skips import OF_A_CLAIM, finding_key, may_skip, open_skips, skip_name
from infusion.views.few_words import ACKNOWLEDGED
from payers.policy import PARAMETERS

FIELDS = {
    "start": "start", "stop": "stop", "pauses": "pauses", "ordered": "ordered amount", "administered": "dose given",
    "vials": "vials", "discards": "discarded drug", "drug": "drug", "route": "how it was given", "order": "order",
    "purpose": "purpose of the fluid", "acquired": "where the drug came from", "access_reason": "second access site",
    "date_of_service": "date of service", "diagnoses": "diagnosis", "visit": "visit times",
    "coverage": "the patient's membership", "authorization": "the patient's authorizations",
    "place_of_service": "place of service", "trial_number": "number of the trial", "charges": "what the clinic charges",
}  # fmt: skip
"""What a finding points at, by the first part of its path."""

# Which parameter of the payer, or which rule for every payer, a finding follows from.
PARAMETER_OF = {
    "access.reason_missing": "distinct_site_modifier", "administration.not_paid": "administration_paid",
    "authorization.required": "prior_authorization", "diagnosis.not_accepted": "accepted_diagnoses",
    "drug.not_covered": "drug_covered", "ndc.missing": "ndc_required", "step_therapy.required": "step_therapy",
    "time.counted_as_push": "missing_stop_time", "time.stop_missing": "missing_stop_time",
    "drug.supplied": "supplied_drug_line", "hydration.too_short": "hydration_minimum_minutes",
    "waste.not_billed": "billable_discard_reasons", "waste.line_residual": "billable_discard_reasons",
    "waste.stopped_early": "billable_discard_reasons", "visit.missing": "home_administration",
    "claim.authorization_exceeded": "prior_authorization", "claim.authorization_missing": "prior_authorization",
    "claim.authorization_on_file": "prior_authorization", "claim.complex_family": "administration_family",
    "claim.diagnosis_not_accepted": "accepted_diagnoses", "claim.ndc_malformed": "ndc_required",
    "claim.ndc_missing": "ndc_required", "claim.step_therapy": "step_therapy",
    "claim.total_too_high": "maximum_claim_charge", "claim.unit_charge_too_high": "maximum_claim_charge",
    "claim.charge_by_vial": "maximum_claim_charge",
}  # fmt: skip
RULE_OF = {
    "time.ambiguous": "instants", "time.nonexistent": "instants", "time.stop_not_after_start": "running_time",
    "time.pause_open": "running_time", "time.pause_outside": "running_time", "time.no_running_time": "running_time",
    "time.too_long": "running_time", "time.start_missing": "running_time", "time.crosses_midnight": "midnight",
    "time.repeat_unclear": "one_order", "time.partial_overlap": "concurrent_infusion",
    "time.concurrent_complex": "concurrent_infusion", "infusion.repeat_too_short": "repeat_infusion",
    "push.untimed": "repeat_push", "push.repeat_not_reported": "repeat_push",
    "vials.exceeded": "containers_add_up", "vials.missing": "containers_add_up",
    "vials.more_than_needed": "containers_add_up", "waste.unaccounted": "containers_add_up",
    "vials.smaller_available": "containers_add_up", "vials.kinds_mixed": "multi_dose",
    "amount.missing": "administered_units", "amount.negative": "administered_units",
    "drug.not_given": "never_given", "ndc.malformed": "ndc_quantity", "claim.second_visit": "initial_service",
    "claim.units_not_by_milligram": "administered_units",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding with the ways out of it. `anchor` is the link to its field, `skip` who set it aside."""

    key: str
    code: str
    kind: str
    weight: str
    title: str
    message: str
    cost: str
    anchor: str
    where: str
    rule: str
    rule_url: str
    may_skip: bool
    skip: Skip | None
    checked: bool

    @property
    def of_claim(self) -> bool:
        return self.code.startswith(OF_A_CLAIM)

    @property
    def weight_words(self) -> str:
        return {"error": "Error", "warning": "Warning"}.get(self.weight, "Note")

    @property
    def to_acknowledge(self) -> bool:
        """Whether it is ticked before approval: a warning about the record that nobody has skipped."""
        return self.weight == "warning" and not self.of_claim and self.skip is None


PAGES: dict[str, Callable[[Encounter], str]] = {
    "coverage": lambda encounter: reverse("patient", args=[encounter.patient.public_id]),
    "authorization": lambda encounter: reverse("patient", args=[encounter.patient.public_id]),
    "place_of_service": lambda encounter: reverse("claim-facts", args=[encounter.public_id]),
    "trial_number": lambda encounter: reverse("claim-facts", args=[encounter.public_id]),
    "charges": lambda encounter: reverse("fees"),
}
KINDS = {Severity.ERROR: "bad", Severity.WARNING: "warn", Severity.INFO: "todo"}
ORDER = (Severity.ERROR, Severity.WARNING, Severity.INFO)


@dataclass(frozen=True, slots=True)
class Around:
    """What issues are told beside: the encounter, its drugs by name, and how a warning is told in full."""

    encounter: Encounter
    names: dict[str, str]
    reference: Reference
    in_words: Callable[[Finding], tuple[str, str, str]]
    checked: frozenset[str]


def issues_of(findings: Iterable[Finding], around: Around) -> list[Issue]:
    """The findings, the gravest first, those that were skipped last."""
    skips = open_skips(around.encounter)
    ranked = sorted(findings, key=lambda each: ORDER.index(each.severity))
    issues = [issue_of(each, around, skips.get(skip_name(each)) if may_skip(each) else None) for each in ranked]
    return sorted(issues, key=lambda each: each.skip is not None)


def issue_of(finding: Finding, around: Around, skip: Skip | None) -> Issue:
    title, cost, parameter = around.in_words(finding)
    anchor, where = place_of(finding, around)
    rule, url = rule_of(finding, parameter, around)
    key = finding_key(finding)
    return Issue(
        key=key, code=finding.code, kind=KINDS[finding.severity], weight=finding.severity.value, title=title,
        message=finding.message, cost=cost, anchor=anchor, where=where, rule=rule, rule_url=url,
        may_skip=may_skip(finding), skip=skip, checked=key in around.checked,
    )  # fmt: skip


def place_of(finding: Finding, around: Around) -> tuple[str, str]:
    """Where the field of a finding stands, on this page or on the one where it is mended, and its name in words."""
    first = finding.field.split(".")[0]
    if first == "policy":
        return "", ""
    words = FIELDS.get(first, first.replace("_", " "))
    page = PAGES.get(first)
    if page is not None:
        return page(around.encounter), words
    if not finding.administration:
        return ("#recorded", words) if first else ("", "")
    drug = around.names.get(finding.administration, "")
    return f"#given-{finding.administration}", f"{drug}: {words}" if words else drug


def rule_of(finding: Finding, parameter: str, around: Around) -> tuple[str, str]:
    """The name of the rule behind a finding, and the page it stands on."""
    name = parameter or PARAMETER_OF.get(finding.code, "")
    if name:
        page = reverse("payers:parameter", args=[around.encounter.payer.slug, name])
        return PARAMETERS[name].label, page
    key = RULE_OF.get(finding.code, "")
    rule = around.reference.rules.get(key)
    return (rule.title, f"{reverse('rules')}#rule-{key}") if rule else ("", "")


def plain_words(finding: Finding) -> tuple[str, str, str]:
    """Title, cost and parameter of a finding that no calculation has to be made for."""
    title, cost = ACKNOWLEDGED.get(finding.code, ("", ""))
    return title, cost, ""
