"""Everything that is looked at before an encounter's claim leaves, as one list with the state of each item.

The items are what payers, contractors and auditors ask for: the order, the times, the amounts, the codes, the papers.
Each takes its state from findings and from the documentation, so it cannot say anything else than the review does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from infusion.approved import approved_content
from infusion.claim_review import Surroundings, claim_findings_of, table_name
from infusion.documentation import Checklist, checklist_of
from infusion.models import EditTable, Encounter, Skip
from infusion.selectors import Review, review_of
from infusion.services.claim_checks import ClaimContext
from infusion.services.findings import Finding, Severity
from infusion.services.words import counted, dollars
from infusion.skips import may_skip, open_skips, skip_name
from payers.selectors import policy_for

MET, MISSING, LOOK, NOT_HERE = "met", "missing", "look", "not applicable"
RECORD, PATIENT, CLAIM, PAYER, FEES, TABLES = "record", "patient", "claim", "payer", "fees", "tables"


@dataclass(frozen=True, slots=True)
class Case:
    """An encounter with all that its list is made of."""

    encounter: Encounter
    review: Review
    context: ClaimContext
    documentation: Checklist
    found: tuple[Finding, ...]
    skips: dict[str, Skip]
    limits: EditTable | None
    pairs: EditTable | None

    @property
    def drug_lines(self) -> int:
        return sum(line.kind == "drug" for line in self.review.statement.lines)

    @property
    def services(self) -> int:
        return len(self.review.statement.lines) - self.drug_lines

    @property
    def infusions(self) -> int:
        return sum(each.route in ("iv_infusion", "hydration") for each in self.review.facts.administrations)

    def has(self, *codes: str) -> bool:
        return any(finding.code in codes for finding in self.found)


def always(case: Case) -> bool:
    return True


def with_services(case: Case) -> bool:
    return bool(case.services)


def with_drugs(case: Case) -> bool:
    return bool(case.drug_lines)


def with_lines(case: Case) -> bool:
    return bool(case.review.statement.lines)


def never(case: Case) -> bool:
    return False


def nothing(case: Case) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to be so. `codes` are the findings that say otherwise, by what they begin with."""

    label: str
    where: str
    codes: tuple[str, ...] = ()
    documented: str = ""
    asked: Callable[[Case], bool] = always
    said: Callable[[Case], str] = nothing
    doubted: Callable[[Case], bool] = never


@dataclass(frozen=True, slots=True)
class Row:
    """An item with its state, what is known of it, and where it is mended."""

    label: str
    state: str
    words: str
    where: str


def lines_said(case: Case) -> str:
    lines = case.review.statement.lines
    return ", ".join(" ".join((line.code, *line.modifiers, f"x{line.units}")) for line in lines if line.kind == "drug")


def services_said(case: Case) -> str:
    lines = case.review.statement.lines
    return ", ".join(" ".join((line.code, *line.modifiers, f"x{line.units}")) for line in lines if line.kind != "drug")


def lacks_charges(case: Case) -> bool:
    return case.encounter.clinic.sends_claims and len(case.context.charges) < len(case.review.statement.lines)


def charge_said(case: Case) -> str:
    charges, lines = case.context.charges, case.review.statement.lines
    if len(charges) < len(lines):
        return f"{counted(len(lines) - len(charges), 'line')} without a charge"
    return dollars(sum(charges.values(), Decimal(0)))


def authorization_said(case: Case) -> str:
    return next((each.message for each in case.found if each.code == "claim.authorization_on_file"), "")


def limits_said(case: Case) -> str:
    return table_name(case.limits) if case.limits else "By the shipped limits, which nobody has verified"


def pairs_said(case: Case) -> str:
    return table_name(case.pairs) if case.pairs else "No table is loaded for the day"


def asks_for_authorization(case: Case) -> bool:
    rules = case.review.policy.on(case.encounter.date_of_service, case.encounter.setting)
    codes = {line.code for line in case.review.statement.lines if line.kind == "drug"}
    return bool(case.context.authorizations) or any(
        rules.look_up("prior_authorization", code).value != "none" for code in codes
    )


def discards(case: Case) -> bool:
    return any(each.discards for each in case.review.facts.administrations)


GROUPS: dict[str, tuple[Item, ...]] = {
    "The record": (
        Item("An order is on file", RECORD, documented="order"),
        Item("Whoever gave it is named, with credentials", RECORD, documented="given_by"),
        Item("Every infusion has its start, its stop and its pauses", RECORD, ("time.",),
             asked=lambda case: bool(case.infusions)),
        Item("The access is described; a second one has its reason", RECORD, ("access.",), "access_site"),
        Item("Vials carry NDC and lot", RECORD, ("vials.expired", "vials.size_unknown"), "vials"),
        Item("What was given, and on which day", RECORD,
             ("administration.missing", "date_of_service.", "drug.not_given")),
        Item("What was opened is given or discarded, to the milligram", RECORD,
             ("amount.", "vials.missing", "vials.exceeded", "vials.more", "vials.smaller", "vials.kinds",
              "waste.unaccounted")),
        Item("Discarded drug has its reason", RECORD, ("waste.",), asked=discards),
        Item("Hepatitis B was screened before the first dose", RECORD, documented="hepatitis_b"),
        Item("Reactions, and what was done", RECORD, documented="reaction"),
        Item("Observation after the infusion", RECORD, documented="observation"),
    ),
    "The lines": (
        Item("Hours are earned by running minutes", RECORD, ("hydration.", "push.", "infusion.", "visit."),
             asked=with_services, said=services_said),
        Item("Drug codes are in force, and go with the route", RECORD,
             ("code.", "route.", "drug.unknown", "drug.look_alike"), asked=with_drugs),
        Item("Units are milligrams by the billing unit, not vials", RECORD, ("claim.units_not", "claim.units_of"),
             asked=with_drugs, said=lines_said),
        Item("Add-on codes stand beside their parent", RECORD, ("claim.add_on",), asked=with_services),
        Item("Complex codes only where the payer takes them", PAYER, ("claim.complex",), asked=with_services),
        Item("Modifiers that the payer asks for are there", RECORD, ("modifier.", "department.", "drug.price"),
             asked=with_lines),
        Item("Every drug line has a usable NDC where one is wanted", RECORD, ("ndc.", "claim.ndc"),
             asked=with_drugs),
        Item("No pair of codes that is not paid together", TABLES, ("claim.pair",),
             asked=lambda case: case.pairs is not None and with_lines(case), said=pairs_said),
        Item("Units are within the limits of a day", TABLES, ("units.", "claim.units_above"), asked=with_lines,
             said=limits_said),
    ),
    "The payer": (
        Item("A membership holds on the day", PATIENT, ("claim.coverage",),
             asked=lambda case: case.context.has_membership is not None),
        Item("The diagnosis is in force, and accepted for the drug", RECORD, ("diagnosis.", "claim.diagnosis"),
             "diagnosis"),
        Item("A prior authorization covers the day and the dose", PATIENT, ("authorization.", "claim.authorization"),
             asked=asks_for_authorization, said=authorization_said),
        Item("What had to be tried first was tried", PATIENT, ("step_therapy.", "claim.step_therapy"),
             asked=lambda case: case.has("step_therapy.required")),
        Item("The payer covers the drug and pays for giving it", PAYER,
             ("administration.not_paid", "drug.not_covered", "drug.lines_denied"), asked=with_lines),
        Item("Dose and interval are within what the payer takes", PAYER, ("dose.",), asked=with_drugs),
        Item("The rules it rests on are verified", PAYER, ("policy.",), asked=with_lines),
    ),
    "The claim": (
        Item("The place of service goes with the setting", RECORD, ("claim.place",),
             said=lambda case: case.context.place_of_service),
        Item("A second visit of the day is set apart", CLAIM, ("claim.second_visit", "claim.recorded_twice"),
             asked=lambda case: bool(case.context.others)),
        Item("At home, the day's rate is thought of", CLAIM, ("claim.home",),
             asked=lambda case: case.encounter.setting == "home"),
        Item("In a trial, the sponsor's drug is not charged", CLAIM, ("claim.trial",),
             asked=lambda case: bool(case.context.trial_number)),
        Item("Every line has its charge, and the total fits on one claim", FEES,
             ("claim.total", "claim.unit_charge", "claim.charge"), asked=with_lines, said=charge_said,
             doubted=lacks_charges),
    ),
}  # fmt: skip


def claim_checklist(encounter: Encounter) -> dict[str, list[Row]]:
    """The list of one encounter: as approved where it is, else as it stands now."""
    case = case_of(encounter)
    return {title: [row_of(item, case) for item in items] for title, items in GROUPS.items()}


def case_of(encounter: Encounter) -> Case:
    review = review_as_it_stands(encounter)
    found = (*review.statement.findings, *claim_findings_of(encounter, review))
    documentation = checklist_of(encounter, review.facts)
    around = Surroundings.of([(encounter, review)])
    context = around.context_of(encounter, review.statement)
    on = review.statement.date_of_service or encounter.date_of_service
    limits, pairs = (around.table(kind, encounter, on) for kind in EditTable.Kind.values)
    return Case(encounter, review, context, documentation, found, open_skips(encounter), limits, pairs)


def review_as_it_stands(encounter: Encounter) -> Review:
    """The approved lines under the rules known now, or the lines as they are now."""
    if encounter.state != Encounter.State.APPROVED:
        return review_of(encounter)
    content = approved_content(encounter.approvals.latest("encounter_version"))
    return Review(content.facts, policy_for(encounter.payer), content.statement)


def row_of(item: Item, case: Case) -> Row:
    mine = [finding for finding in case.found if finding.code.startswith(item.codes)] if item.codes else []
    told = [finding for finding in mine if finding.severity is not Severity.INFO]
    open_ones = [each for each in told if skip_of(each, case) is None]
    if any(each.severity is Severity.ERROR for each in open_ones):
        return Row(item.label, MISSING, words_of(open_ones), item.where)
    documented = documentation_of(item, case)
    if documented is not None and documented.state != MET and not open_ones:
        return documented
    if told:
        return Row(item.label, LOOK, words_of(open_ones) or aside_words(told, case), item.where)
    if documented is not None:
        return documented
    if not item.asked(case):
        return Row(item.label, NOT_HERE, item.said(case) if with_lines(case) else "", "")
    state = LOOK if item.doubted(case) else MET
    return Row(item.label, state, item.said(case), item.where if state == LOOK else "")


def documentation_of(item: Item, case: Case) -> Row | None:
    """The state of an item that the nurse documents; None for another one."""
    if not item.documented:
        return None
    row = next((row for row in case.documentation.every if row.item.key == item.documented), None)
    if row is None or not row.asked:
        return Row(item.label, NOT_HERE, "", "")
    if row.done:
        return Row(item.label, MET, row.words, "")
    return Row(item.label, MISSING, "Not documented", item.where)


def skip_of(finding: Finding, case: Case) -> Skip | None:
    return case.skips.get(skip_name(finding)) if may_skip(finding) else None


def words_of(findings: Sequence[Finding]) -> str:
    """What is wrong, the graver first; of many, how many more there are."""
    graver = sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR)
    first = graver[0].message if graver else ""
    return f"{first} And {len(graver) - 1} more." if len(graver) > 1 else first


def aside_words(findings: Iterable[Finding], case: Case) -> str:
    skips = [skip for finding in findings if (skip := skip_of(finding, case)) is not None]
    return "; ".join(dict.fromkeys(f"Set aside by {skip.by.signature}: {skip.reason}" for skip in skips))


def counts_of(groups: dict[str, list[Row]]) -> dict[str, int]:
    """How many items are in each state."""
    rows = [row for group in groups.values() for row in group]
    return {state: sum(row.state == state for row in rows) for state in (MET, MISSING, LOOK, NOT_HERE)}
