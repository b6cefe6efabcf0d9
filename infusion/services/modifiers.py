"""Modifiers that a payer wants beside those of waste and access: 340B, the place of a department, the route.

They change no units. Modifiers that move the price come first, then those that inform; otherwise in the order in which
they were set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from infusion.services.facts import Encounter
from infusion.services.findings import Findings
from infusion.services.lines import Because, ServiceLine
from infusion.services.record import Given
from infusion.services.reference import Modifier, Reference
from payers.policy import Reading, Rules

OFF_CAMPUS = {"off_campus_excepted": "PO", "off_campus_not_excepted": "PN"}
BY_ROUTE = {"iv_infusion": "JA", "iv_push": "JA", "subcutaneous": "JB"}

Added = tuple[str, Because]


@dataclass(slots=True)
class ModifierRules:
    """Adds modifiers to the lines of one encounter."""

    encounter: Encounter
    on: date
    rules: Rules
    reference: Reference
    findings: Findings

    def lines(self, lines: Sequence[ServiceLine], given: Sequence[Given]) -> list[ServiceLine]:
        """The same lines with their modifiers; without those whose modifier cannot be told."""
        recorded = {each.administration.id: each for each in given}
        whole = []
        at_a_department = self.rules.setting == "hospital_outpatient"
        for line in lines:
            added = self._place() if at_a_department else []
            if line.kind == "drug":
                behind = [recorded[each] for each in line.administrations]
                bought = {each.administration.bought_340b for each in behind}
                if len(bought) > 1 and self._price_is_mixed(line, behind):
                    continue
                price = self._price(line, behind) if bought == {True} else []
                added = [*added, *price, *self._route(line, behind)]
            whole.append(self._with(line, added) if added else line)
        return whole

    def _with(self, line: ServiceLine, added: Sequence[Added]) -> ServiceLine:
        modifiers = in_order([*line.modifiers, *(code for code, _ in added)], self.reference.modifiers)
        return line._replace(modifiers=modifiers, because=(*line.because, *(why for _, why in added)))

    def _add(self, code: str, reading: Reading, text: str) -> list[Added]:
        row = self.reference.modifiers[code]
        if not row.first_day <= self.on <= (row.last_day or date.max):
            self.findings.add("modifier.not_in_force", payer=reading.whose, code=code, on=self.on)
        return [(code, Because(reading.name, text, reading.source, reading))]

    # 340B -----------------------------------------------------------------------------------------------------------

    def _modifier_340b(self, line: ServiceLine, behind: Sequence[Given]) -> tuple[str, Reading]:
        """The code that the payer takes on that day, JG until its last day and then TB [TB25]; empty for none."""
        reading = self.rules.read("modifier_340b", line.code)
        drug = behind[0].drug
        if drug is not None and drug.hospital_packaged and self.rules.setting == "hospital_outpatient":
            return "", reading
        if reading.value == "by_date":
            ended = self.reference.modifiers["JG"].last_day
            return ("JG" if ended is None or self.on <= ended else "TB"), reading
        return ("" if reading.value == "none" else str(reading.value)), reading

    def _price_is_mixed(self, line: ServiceLine, behind: Sequence[Given]) -> bool:
        code, reading = self._modifier_340b(line, behind)
        first = behind[0]
        if code and first.drug is not None:
            self.findings.add(
                "drug.price_mixed",
                administration=first.id,
                field="bought_340b",
                what=first.drug.name,
                payer=reading.whose,
                code=code,
            )
        return bool(code)

    def _price(self, line: ServiceLine, behind: Sequence[Given]) -> list[Added]:
        code, reading = self._modifier_340b(line, behind)
        text = f"The drug was bought at the 340B price, and {reading.whose} wants that said with {code}."
        return self._add(code, reading, text) if code else []

    # Place and route ------------------------------------------------------------------------------------------------

    def _place(self) -> list[Added]:
        reading = self.rules.read("off_campus_modifier")
        if reading.value == "not_used":
            return []
        department = self.encounter.hospital_department
        if not department:
            self.findings.add("department.missing", field="hospital_department", payer=reading.whose)
        code = OFF_CAMPUS.get(department)
        if code is None:
            return []
        excepted = "is" if code == "PO" else "is not"
        text = (
            f"The department lies off the campus and {excepted} excepted, which {reading.whose} wants said with {code}."
        )
        return self._add(code, reading, text)

    def _route(self, line: ServiceLine, behind: Sequence[Given]) -> list[Added]:
        if "JW" in line.modifiers:
            return []
        codes = {BY_ROUTE.get(each.administration.route, "") for each in behind}
        if codes == {""}:
            return []
        reading = self.rules.read("route_modifier", line.code)
        if reading.value == "not_used":
            return []
        if len(codes) > 1:
            first = behind[0]
            self.findings.add(
                "route.mixed", administration=first.id, field="route", what=first.what, payer=reading.whose
            )
            return []
        [code] = codes
        way = "into a vein" if code == "JA" else "under the skin"
        return self._add(code, reading, f"It was given {way}, which {reading.whose} wants said with {code}.")


def in_order(codes: Sequence[str], rows: Mapping[str, Modifier]) -> tuple[str, ...]:
    """The modifiers that move the price first, otherwise as they were set."""
    return tuple(sorted(codes, key=lambda code: not rows[code].pricing))
