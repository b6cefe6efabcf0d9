"""Facts, policy and reference in; service lines with reasons out.

Same input, same answer, on any machine and in any time zone: nothing here reads a clock, a database or a setting. A
line whose input is missing does not exist; a finding says what is missing instead.

>>> from datetime import date
>>> from infusion.services.facts import Encounter
>>> nothing = Encounter(time_zone="America/New_York", setting="office", date_of_service=date(2026, 3, 10))
>>> [finding.code for finding in calculate(nothing, national_baseline(), shipped_reference()).findings]
['administration.missing']
"""

from __future__ import annotations

from infusion.services.administration import administration_lines, per_diem_lines
from infusion.services.clock import zone_named
from infusion.services.drug import DrugRules
from infusion.services.facts import Encounter
from infusion.services.findings import Findings
from infusion.services.lines import Statement
from infusion.services.modifiers import ModifierRules
from infusion.services.payer_checks import check_payer
from infusion.services.record import Reader, check_diagnoses, date_of_service
from infusion.services.reference import Reference, shipped_reference
from payers.policy import PayerPolicy, national_baseline

__all__ = ["calculate", "national_baseline", "shipped_reference"]


def calculate(encounter: Encounter, policy: PayerPolicy, reference: Reference) -> Statement:
    """The lines that the record supports under the policy in force on the date of service, and what is missing."""
    findings = Findings({})
    on = date_of_service(encounter, reference, findings)
    if on is None:
        return Statement(encounter.id, None, (), findings.all(), {}, reference.version)
    rules = policy.on(on, encounter.setting)
    check_diagnoses(encounter, on, reference, findings)

    reader = Reader(on, zone_named(encounter.time_zone), rules, reference, findings)
    given = reader.read(encounter)
    lines = [
        *administration_lines(encounter, given, rules, reference, reader),
        *per_diem_lines(encounter, given, rules, reference, reader),
        *DrugRules(rules, reference, findings, reference.carries_jz(on)).lines(given),
    ]
    lines = ModifierRules(encounter, on, rules, reference, findings).lines(lines, given)
    check_payer(encounter, given, lines, on, rules, reference, findings)
    return Statement(encounter.id, on, tuple(lines), findings.all(), rules.readings, reference.version)
