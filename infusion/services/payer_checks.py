"""What a payer asks of a claim beside its units. These findings warn; they never change a line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from infusion.services.dose_limits import check_dose_limits
from infusion.services.facts import Encounter
from infusion.services.findings import Findings
from infusion.services.lines import ServiceLine
from infusion.services.record import Given
from infusion.services.reference import Drug, Reference, diagnosis_code, eleven_digits, in_force
from infusion.services.words import plain
from payers.policy import PARAMETERS, Rules

# What a payer may ask of a drug beside its units.
COVERAGE = ("drug_covered", "accepted_diagnoses", "prior_authorization", "step_therapy")


def check_payer(
    encounter: Encounter,
    given: Sequence[Given],
    lines: Sequence[ServiceLine],
    on: date,
    rules: Rules,
    reference: Reference,
    findings: Findings,
) -> None:
    """All checks, in the order in which a biller would make them."""
    drugs: dict[str, Drug] = {}
    groups: dict[str, list[Given]] = {}
    for each in given:
        if each.drug is not None:
            drugs[each.drug.code] = each.drug
            groups.setdefault(each.drug.code, []).append(each)
    for code, group in groups.items():
        drug = drugs[code]
        if not rules.asks_nothing(code, COVERAGE):
            _check_coverage(encounter, drug, group, rules, findings)
        _check_vials(drug, group, on, findings)
        check_dose_limits(encounter.past_doses, drug, group, on, rules, findings)
    _check_ndcs(lines, drugs, rules, findings)
    _check_lines_of_a_drug(lines, drugs, rules, findings)
    _check_administration_paid(lines, given, rules, findings)
    _check_daily_limits(lines, on, rules, reference, findings)
    _tell_unverified_rules(lines, rules, findings)


def _check_coverage(encounter: Encounter, drug: Drug, group: Sequence[Given], rules: Rules, findings: Findings) -> None:
    where = {"administration": group[0].administration.id, "what": drug.name}
    covered = rules.read("drug_covered", drug.code)
    if covered.value is False:
        findings.add("drug.not_covered", field="drug", payer=covered.whose, **where)
    accepted = rules.read("accepted_diagnoses", drug.code)
    if (
        isinstance(accepted.value, tuple)
        and accepted.value
        and not {diagnosis_code(code) for code in accepted.value} & set(encounter.diagnoses)
    ):
        findings.add(
            "diagnosis.not_accepted", field="drug", payer=accepted.whose, accepted=", ".join(accepted.value), **where
        )
    authorization = rules.read("prior_authorization", drug.code)
    if authorization.value == "always":
        findings.add("authorization.required", field="drug", payer=authorization.whose, limit="", **where)
    elif authorization.value == "above_dose":
        limit = rules.read("prior_authorization_dose_limit", drug.code).value
        dose = sum((_dose(each) for each in group), Decimal(0))
        if isinstance(limit, Decimal) and dose > limit:
            findings.add(
                "authorization.required",
                field="ordered",
                payer=authorization.whose,
                limit=f" above {plain(limit)} mg",
                **where,
            )
    step = rules.read("step_therapy", drug.code)
    if step.value:
        findings.add("step_therapy.required", field="drug", payer=step.whose, step=step.value, **where)


def _dose(each: Given) -> Decimal:
    record = each.administration
    return max(record.ordered or Decimal(0), record.administered or Decimal(0))


def _check_vials(drug: Drug, group: Sequence[Given], on: date, findings: Findings) -> None:
    for each in group:
        for position, vial in enumerate(each.administration.vials):
            if vial.expires is not None and vial.expires < on:
                findings.add(
                    "vials.expired",
                    administration=each.id,
                    field=f"vials.{position}.expires",
                    what=drug.name,
                    expires=vial.expires,
                )
            if vial.ndc:
                try:
                    eleven_digits(vial.ndc)
                except ValueError:
                    findings.add("ndc.malformed", administration=each.id, field=f"vials.{position}.ndc", ndc=vial.ndc)


def _check_ndcs(lines: Sequence[ServiceLine], drugs: dict[str, Drug], rules: Rules, findings: Findings) -> None:
    for line in lines:
        if line.kind == "drug" and not line.ndcs:
            reading = rules.read("ndc_required", line.code)
            if reading.value is True:
                findings.add(
                    "ndc.missing",
                    administration=line.administrations[0],
                    field="vials",
                    payer=reading.whose,
                    what=drugs[line.code].name,
                )


def _check_lines_of_a_drug(
    lines: Sequence[ServiceLine], drugs: dict[str, Drug], rules: Rules, findings: Findings
) -> None:
    """Units on more lines of what was given than the payer pays on a day."""
    for code, drug in drugs.items():
        units = [line.units for line in lines if line.code == code and "JW" not in line.modifiers]
        if len(units) > 1:
            reading = rules.read("administered_lines_per_day", code)
            if reading.value != "any":
                findings.add(
                    "drug.lines_denied", payer=reading.whose, what=drug.name, units=sum(units) - max(units), code=code
                )


def _check_administration_paid(
    lines: Sequence[ServiceLine], given: Sequence[Given], rules: Rules, findings: Findings
) -> None:
    drug_of = {each.id: each.drug.code for each in given if each.drug is not None}
    unpaid: dict[str, str] = {}
    for line in lines:
        of_drugs = dict.fromkeys(drug_of.get(each, "") for each in line.administrations)
        for drug in of_drugs if line.kind != "drug" else ():
            reading = rules.read("administration_paid", drug)
            if reading.value is False:
                unpaid[line.code] = reading.whose
    if unpaid:
        findings.add("administration.not_paid", payer=min(unpaid.values()), codes=", ".join(sorted(unpaid)))


def _check_daily_limits(
    lines: Sequence[ServiceLine], on: date, rules: Rules, reference: Reference, findings: Findings
) -> None:
    units: dict[tuple[str, date | None], int] = {}
    for line in lines:
        if line.code in reference.daily_limits:
            units[line.code, line.date_of_service] = units.get((line.code, line.date_of_service), 0) + line.units
    for (code, _), total in units.items():
        row = in_force(reference.daily_limits[code], on)
        if row is not None:
            limit = row.outpatient if rules.setting == "hospital_outpatient" else row.practitioner
            if total > limit:
                findings.add("units.above_mue", units=total, code=code, limit=limit)


def _tell_unverified_rules(lines: Sequence[ServiceLine], rules: Rules, findings: Findings) -> None:
    """Every value that was used and that nobody has verified, with the lines that rest on it."""
    for reading in {reading.path: reading for reading in rules.doubted}.values():
        resting = sorted(
            {
                line.code
                for line in lines
                for why in line.because
                if why.reading is not None and why.reading.path == reading.path
            }
        )
        findings.add(
            "policy.unverified",
            field=reading.path,
            label=PARAMETERS[reading.name].label,
            value=reading.words[:1].lower() + reading.words[1:],
            payer=reading.whose,
            source=reading.source,
            lines=", ".join(resting) or "this claim",
        )
