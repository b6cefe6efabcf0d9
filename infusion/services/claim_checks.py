"""What would send a claim back or have it denied although its lines are right.

The engine's findings are about the record. These are about the claim that is made of it: the membership and the
authorization it rests on, its place of service, its charges, the tables of CMS, the patient's other visits of the day.
None of them changes a line. An error keeps a claim out of a batch until it is mended or billing skips it with a
reason; one that rests on a payer's rule which nobody has verified is a warning.

The lines are given and not calculated here: an approved claim keeps its lines when rules change, so what the engine
could not do today is checked as well (add-ons, the complex family, units against milligrams).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from infusion.services.claim_split import Charged, in_words, split, total_of
from infusion.services.facts import Administration, Encounter
from infusion.services.findings import Finding, Findings, Severity
from infusion.services.lines import ServiceLine, Statement
from infusion.services.record import instead_of_diagnosis
from infusion.services.reference import Drug, Reference, diagnosis_code, in_force
from infusion.services.words import counted, dollars, plain
from payers.policy import SETTINGS, Reading, Rules

NOTHING = Decimal(0)
NOMINAL_CHARGE = Decimal("0.01")
LARGEST_PROFESSIONAL_CHARGE = Decimal("99999.99")
"""What the total of a professional claim has room for [CGSDOLLAR]."""
FACILITIES = frozenset({"19", "21", "22", "23", "24", "31", "32"})
"""Places where a practitioner reports no infusion: the facility does [REG109]."""
EMERGENCY_ROOM = "23"
"""A place of the hospital, but none that a clinic chooses for itself: it is not in the table."""
NDC_UNITS = frozenset({"ML", "UN", "GR", "ME", "F2"})
APART = frozenset({"59", "XE", "XS", "XP", "XU"})
"""Modifiers that set two services of one day apart [RAC71]."""
ANOTHER_VISIT = frozenset({"59", "XE"})
INITIAL_ROLES = frozenset({"initial", "push_initial"})
LINE_EDIT, ABSOLUTE = "1", "2"
PER_DIEM_CODE = "S9379"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """A prior authorization on file. `dose_limit` in mg."""

    number: str
    drug: str
    effective_from: date
    effective_until: date | None = None
    dose_limit: Decimal | None = None

    def holds(self, on: date) -> bool:
        return self.effective_from <= on and (self.effective_until is None or on <= self.effective_until)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherVisit:
    """Another encounter of the patient on that day for the same payer: its units by code, and whether it was first."""

    units: Mapping[str, int]
    earlier: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLimit:
    """The most units of a code that pass, from a table that was loaded. `indicator` is how CMS applies it (MAI)."""

    units: int
    table: str
    indicator: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two codes that are not paid together; the second is denied. In force before `deleted_from`."""

    first: str
    second: str
    effective_from: date
    table: str
    deleted_from: date | None = None
    modifier_allowed: bool = False

    def holds(self, on: date) -> bool:
        return self.effective_from <= on and (self.deleted_from is None or on < self.deleted_from)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimContext:
    """What a claim rests on beside its record. `charges` are dollars of whole lines, by their place in the statement.
    `recorded_twice` are administrations and their drugs that another visit of that day has too.

    `has_membership` is None where the clinic does not send claims itself, so that nobody asks.
    """

    place_of_service: str = ""
    has_membership: bool | None = None
    authorizations: tuple[Authorization, ...] = ()
    others: tuple[OtherVisit, ...] = ()
    charges: Mapping[int, Decimal] = field(default_factory=dict)
    limits: Mapping[str, UnitLimit] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    trial_number: str = ""
    recorded_twice: tuple[tuple[str, str], ...] = ()


def check_claim(
    encounter: Encounter, statement: Statement, on: date, rules: Rules, reference: Reference, context: ClaimContext
) -> tuple[Finding, ...]:
    """All checks, in the order in which a claim is read: who, where, why, what, how much."""
    claim = _Claim(encounter, statement.lines, on, rules, reference, context, Findings.none_yet())
    claim.check_membership()
    claim.check_place()
    if "diagnosis.not_billable" not in {finding.code for finding in statement.findings}:
        claim.check_diagnoses()
    claim.check_trial()
    for drug in claim.billed_drugs():
        claim.check_coverage(drug)
    claim.check_units_by_milligram()
    claim.check_ndcs()
    claim.check_add_ons()
    claim.check_family()
    claim.check_recorded_twice()
    claim.check_second_visit()
    claim.check_pairs()
    claim.check_limits()
    claim.check_home()
    claim.check_charges()
    return claim.findings.all()


@dataclass(slots=True)
class _Claim:
    encounter: Encounter
    lines: Sequence[ServiceLine]
    on: date
    rules: Rules
    reference: Reference
    context: ClaimContext
    findings: Findings

    # Who, where, why -------------------------------------------------------------------------------------------------

    def check_membership(self) -> None:
        if self.context.has_membership is False:
            self.findings.add("claim.coverage_missing", field="coverage", on=self.on)

    def check_place(self) -> None:
        """A professional claim has the place where it happened, a hospital's a place of the hospital [REG109]."""
        place, setting = self.context.place_of_service, self.encounter.setting
        words = {"field": "place_of_service", "place": place, "setting": SETTINGS[setting].lower()}
        row = self.reference.places.get(place)
        if not place:
            self.findings.add("claim.place_missing", **words)
        elif setting != "hospital_outpatient" and place in FACILITIES:
            codes = ", ".join(dict.fromkeys(line.code for line in self.lines if line.kind != "drug"))
            self.findings.add("claim.place_facility", codes=codes or "its administration", **words)
        elif setting == "hospital_outpatient" and place == EMERGENCY_ROOM:
            return
        elif row is None:
            self.findings.add("claim.place_unknown", **words)
        elif row.setting != setting:
            self.findings.add("claim.place_differs", label=row.label.lower(), **words)

    def check_diagnoses(self) -> None:
        if not self.encounter.diagnoses:
            self.findings.add("claim.diagnosis_missing", field="diagnoses")
        for position, code in enumerate(self.encounter.diagnoses):
            current = in_force(self.reference.diagnoses.get(code, ()), self.on)
            advice = "" if current else instead_of_diagnosis(code, self.reference)
            if advice:
                self.findings.add(
                    "claim.diagnosis_not_in_force", field=f"diagnoses.{position}", code=code, on=self.on, advice=advice
                )

    def check_trial(self) -> None:
        """What a sponsor supplies is not charged. Where nothing is recorded as supplied, that is every drug line."""
        trial = self.context.trial_number
        if not trial:
            return
        if len(trial) != 8 or not (trial.isascii() and trial.isdigit()):
            self.findings.add("claim.trial_number_malformed", field="trial_number", trial=trial)
        supplied = {each.id for each in self.encounter.administrations if each.acquired == "supplied"}
        for position, line in enumerate(self.lines):
            of_the_trial = not supplied or supplied & set(line.administrations)
            if line.kind == "drug" and of_the_trial and not self._is_nominal(position):
                self.findings.add(
                    "claim.trial_drug_charged",
                    administration=line.administrations[0],
                    field="acquired",
                    trial=trial,
                    code=line.code,
                    what=self._name(line.code),
                )

    def _is_nominal(self, position: int) -> bool:
        charge = self.context.charges.get(position, self.lines[position].charge)
        return charge is not None and charge <= NOMINAL_CHARGE

    # The payer's wishes for a drug ------------------------------------------------------------------------------------

    def billed_drugs(self) -> list[Drug]:
        """The drugs that the payer is asked to pay: those with a line that is not nominal."""
        codes = dict.fromkeys(line.code for line in self.lines if line.kind == "drug" and line.charge is None)
        return [drug for code in codes if (drug := self.reference.drug(code, self.on)) is not None]

    def check_coverage(self, drug: Drug) -> None:
        given = self._administrations(line for line in self.lines if line.code == drug.code)
        dose = sum((max(each.ordered or NOTHING, each.administered or NOTHING) for each in given), NOTHING)
        where = {"administration": given[0].id if given else "", "field": "drug", "what": drug.name}
        self._check_accepted_diagnoses(drug, where)
        held = self._check_authorization(drug, dose, where)
        step = self.rules.look_up("step_therapy", drug.code)
        if step.value and not held:
            self.findings.add("claim.step_therapy", payer=step.whose, step=step.value, **where)

    def _check_accepted_diagnoses(self, drug: Drug, where: Mapping[str, str]) -> None:
        reading = self.rules.look_up("accepted_diagnoses", drug.code)
        accepted = reading.value if isinstance(reading.value, tuple) else ()
        if accepted and not {diagnosis_code(code) for code in accepted} & set(self.encounter.diagnoses):
            self.findings.add_as(
                _weight(reading),
                "claim.diagnosis_not_accepted",
                payer=reading.whose,
                accepted=", ".join(accepted),
                diagnoses=", ".join(self.encounter.diagnoses) or "none",
                **where,
            )

    def _check_authorization(self, drug: Drug, dose: Decimal, where: Mapping[str, str]) -> bool:
        """Whether an authorization on file covers the drug on that day, and its dose."""
        names = {drug.code.casefold(), drug.name.casefold()}
        mine = [each for each in self.context.authorizations if each.drug.casefold() in names]
        active = [each for each in mine if each.holds(self.on)]
        enough = [each for each in active if each.dose_limit is None or dose <= each.dose_limit]
        reading = self.rules.look_up("prior_authorization", drug.code)
        if enough:
            largest = enough[0].dose_limit
            limit = f", for up to {plain(largest)} mg" if largest is not None else ""
            self.findings.add("claim.authorization_on_file", number=enough[0].number, on=self.on, limit=limit, **where)
        elif active:
            best = max(active, key=lambda each: each.dose_limit or NOTHING)
            self.findings.add(
                "claim.authorization_exceeded",
                number=best.number,
                limit=plain(best.dose_limit or NOTHING),
                dose=plain(dose),
                payer=self._whose(reading),
                **where,
            )
        else:
            self._ask_for_authorization(drug, dose, reading, mine, where)
        return bool(enough)

    def _ask_for_authorization(
        self, drug: Drug, dose: Decimal, reading: Reading, mine: Sequence[Authorization], where: Mapping[str, str]
    ) -> None:
        limit = self.rules.look_up("prior_authorization_dose_limit", drug.code).value
        if reading.value == "none" or (reading.value == "above_dose" and isinstance(limit, Decimal) and dose <= limit):
            return
        advice = "Ask for one, and enter its number with the patient."
        if mine:
            until = f" to {mine[0].effective_until}" if mine[0].effective_until else ""
            advice = f"{mine[0].number} holds from {mine[0].effective_from}{until}. {advice}"
        above = f" above {plain(limit)} mg" if reading.value == "above_dose" and isinstance(limit, Decimal) else ""
        self.findings.add_as(
            _weight(reading),
            "claim.authorization_missing",
            payer=reading.whose,
            limit=above,
            on=self.on,
            advice=advice,
            **where,
        )

    # The lines --------------------------------------------------------------------------------------------------------

    def check_units_by_milligram(self) -> None:
        """Units are milligrams by the billing unit and never vials: a second reading of every drug code.

        The units lie between what was given, rounded up, and what the opened vials hold [CGSJW].
        """
        groups: dict[tuple[str, Decimal | None], list[ServiceLine]] = {}
        for line in self.lines:
            if line.kind == "drug":
                groups.setdefault((line.code, line.charge), []).append(line)
        for (code, _), group in groups.items():
            drug = self.reference.drug(code, self.on)
            if drug is None:
                self.findings.add("claim.units_of_unknown_code", code=code, on=self.on)
            else:
                self._compare_units(drug, group)

    def _compare_units(self, drug: Drug, group: Sequence[ServiceLine]) -> None:
        given = self._administrations(group)
        amount = sum((each.administered or NOTHING for each in given), NOTHING)
        opened = sum((vial.amount * vial.count for each in given for vial in each.vials), NOTHING)
        least = int((amount / drug.billing_unit).to_integral_value(ROUND_CEILING))
        most = max(least, int((opened / drug.billing_unit).to_integral_value(ROUND_FLOOR)))
        units = sum(line.units for line in group)
        if least <= units <= most:
            return
        vials = sum(vial.count for each in given for vial in each.vials)
        self.findings.add(
            "claim.units_not_by_milligram",
            administration=given[0].id if given else "",
            field="administered",
            code=drug.code,
            units=units,
            given=plain(amount),
            opened=plain(opened),
            expected=counted(least, "unit") if least == most else f"{least} to {counted(most, 'unit')}",
            unit=plain(drug.billing_unit),
            vials=f" {counted(vials, 'vial')} were counted as units." if units == vials else "",
        )

    def check_ndcs(self) -> None:
        for line in self.lines:
            if line.kind != "drug":
                continue
            where = {"administration": line.administrations[0], "field": "vials", "code": line.code}
            reading = self.rules.look_up("ndc_required", line.code)
            if not line.ndcs and reading.value is True:
                self.findings.add_as(_weight(reading), "claim.ndc_missing", payer=reading.whose, **where)
            for each in line.ndcs:
                digits = len(each.ndc) == 11 and each.ndc.isascii() and each.ndc.isdigit()
                if not digits or each.quantity <= 0 or each.unit not in NDC_UNITS:
                    self.findings.add("claim.ndc_malformed", ndc=each.ndc or "(empty)", **where)

    def check_add_ons(self) -> None:
        """An add-on code hangs on another one of the same claim [CA96366]."""
        codes = {line.code for line in self.lines}
        for code in sorted(codes):
            row = self.reference.administration.get(code)
            if row is not None and row.parents and not codes & set(row.parents):
                self.findings.add("claim.add_on_without_parent", code=code, parents=", ".join(row.parents))

    def check_family(self) -> None:
        """Complex codes only where the payer takes them for one of the drugs given so [NORCHEM]."""
        for line in self.lines:
            row = self.reference.administration.get(line.code)
            if row is None or row.family != "complex":
                continue
            drugs = [each.drug for each in self._administrations([line])]
            found = [drug for name in drugs if (drug := self.reference.find_drug(name, self.on)) is not None]
            readings = [self.rules.look_up("administration_family", drug.code) for drug in found]
            if readings and all(reading.value != "complex" for reading in readings):
                self.findings.add_as(
                    _weight(readings[0]),
                    "claim.complex_family",
                    administration=line.administrations[0],
                    code=line.code,
                    payer=self._whose(readings[0]),
                    what=found[0].name,
                )

    # The day ----------------------------------------------------------------------------------------------------------

    def check_recorded_twice(self) -> None:
        """The same dose on two visits, at whichever payer, was most likely recorded twice."""
        for administration, drug in self.context.recorded_twice:
            self.findings.add("claim.recorded_twice", administration=administration, code=drug)

    def check_second_visit(self) -> None:
        """A second visit has an initial code of its own, set apart from the first visit's [RAC71]."""
        earlier = dict.fromkeys(
            code for visit in self.context.others if visit.earlier for code in visit.units if self._is_initial(code)
        )
        if not earlier:
            return
        reading = self.rules.look_up("distinct_site_modifier")
        modifier = "59" if reading.value == "59" else "XE"
        for line in self.lines:
            if self._is_initial(line.code) and not ANOTHER_VISIT & set(line.modifiers):
                self.findings.add(
                    "claim.second_visit",
                    administration=line.administrations[0],
                    code=line.code,
                    earlier=", ".join(earlier),
                    modifier=modifier,
                    payer=self._whose(reading),
                )

    def _is_initial(self, code: str) -> bool:
        row = self.reference.administration.get(code)
        return row is not None and row.role in INITIAL_ROLES

    def check_pairs(self) -> None:
        """Code pairs of the quarter, within the claim and against the patient's earlier visits of the day."""
        here = {line.code for line in self.lines}
        before = {code for visit in self.context.others if visit.earlier for code in visit.units}
        for pair in self.context.pairs:
            if not pair.holds(self.on) or not {pair.first, pair.second} & here:
                continue
            if {pair.first, pair.second} <= here:
                self._check_pair(pair)
            elif {pair.first, pair.second} <= here | before and not (
                self._is_initial(pair.first) and self._is_initial(pair.second)
            ):
                self._check_pair(pair, " and one stands on the earlier visit of that day")

    def _check_pair(self, pair: Pair, where: str = "") -> None:
        """A modifier on either code sets them apart, where one is allowed at all."""
        words = {"first": pair.first, "second": pair.second, "table": pair.table}
        mine = [line for line in self.lines if line.code in (pair.first, pair.second)]
        if not pair.modifier_allowed:
            self.findings.add("claim.pair_never", **words)
        elif not any(APART & set(line.modifiers) for line in mine):
            same = len({each.access for each in self._administrations(mine)}) <= 1 and not where
            advice = (
                "They were given on one access, which is no reason for a modifier: check the record."
                if same
                else "Add the modifier where the claim is finished, and skip this check with that reason."
            )
            self.findings.add("claim.pair_without_modifier", where=where, advice=advice, **words)

    def check_limits(self) -> None:
        """Units of one day against the loaded table of the quarter; without one the engine's own warning stands."""
        day: dict[str, int] = {}
        for units_by_code in (_units(self.lines), *(visit.units for visit in self.context.others)):
            for code, units in units_by_code.items():
                day[code] = day.get(code, 0) + units
        for code in _units(self.lines):
            limit = self.context.limits.get(code)
            if limit is not None:
                self._check_limit(code, day[code], limit)

    def _check_limit(self, code: str, day: int, limit: UnitLimit) -> None:
        largest_line = max(line.units for line in self.lines if line.code == code)
        units, per = (largest_line, " on one line") if limit.indicator == LINE_EDIT else (day, " on one day")
        if units > limit.units:
            kind = "claim.units_above_absolute" if limit.indicator == ABSOLUTE else "claim.units_above_limit"
            self.findings.add(kind, code=code, units=units, per=per, limit=limit.units, table=limit.table)
            return
        row = in_force(self.reference.daily_limits.get(code, ()), self.on)
        if row is not None:
            shipped = row.outpatient if self.rules.setting == "hospital_outpatient" else row.practitioner
            if units > shipped:
                self.findings.add(
                    "claim.units_within_limit",
                    code=code,
                    units=units,
                    shipped=shipped,
                    limit=limit.units,
                    table=limit.table,
                )

    def check_home(self) -> None:
        """The day's rate of a home infusion is a line of its own, where the payer takes it [OCR]."""
        if self.encounter.setting != "home" or any(line.code == PER_DIEM_CODE for line in self.lines):
            return
        readings = [self.rules.look_up("home_per_diem", drug.code) for drug in self.billed_drugs()]
        if any(reading.value == PER_DIEM_CODE for reading in readings):
            self.findings.add("claim.home_per_diem")
        elif all(reading.layer.name == "baseline" for reading in readings):
            self.findings.add("claim.home_per_diem_unknown")

    # The money --------------------------------------------------------------------------------------------------------

    def check_charges(self) -> None:
        """The total against what one claim may have, with a plan to split it [CGSDOLLAR]."""
        limit, whose = self._largest_charge()
        charged = [
            Charged(" ".join((line.code, *line.modifiers)), line.units, self.context.charges[position])
            for position, line in enumerate(self.lines)
            if position in self.context.charges
        ]
        if limit is None or total_of(charged) <= limit:
            return
        self._check_vial_charges(limit)
        try:
            claims = split(charged, limit)
        except ValueError as problem:
            self._tell_large_unit(str(problem), charged, limit)
            return
        self.findings.add(
            "claim.total_too_high",
            field="charges",
            total=dollars(total_of(charged)),
            whose=whose,
            limit=dollars(limit),
            count=len(claims),
            plan=in_words(claims),
            marking=self._marking(len(claims)),
        )

    def _marking(self, count: int) -> str:
        """How the payer wants a claim marked that follows the first; what is known of others where it did not say."""
        reading = self.rules.look_up("split_claim_modifier")
        if reading.value == "not_said":
            return (
                "Contractors differ in how the later ones are marked: CGS wants modifier 59, First Coast 76, Palmetto "
                f"a note such as 1 of {count}. Ask yours."
            )
        mark = f"a note such as 2 of {count}" if reading.value == "note" else f"modifier {reading.value}"
        return f"{reading.whose} wants the later ones marked with {mark}."

    def _largest_charge(self) -> tuple[Decimal | None, str]:
        """The payer's own limit, or what a professional claim has room for if that is less."""
        reading = self.rules.look_up("maximum_claim_charge")
        own = reading.value if isinstance(reading.value, Decimal) else None
        room = None if self.encounter.setting == "hospital_outpatient" else LARGEST_PROFESSIONAL_CHARGE
        if own is not None and (room is None or own <= room):
            return own, f"{reading.whose} takes"
        return room, "a professional claim has room for"

    def _tell_large_unit(self, name: str, charged: Iterable[Charged], limit: Decimal) -> None:
        line = next(each for each in charged if each.name == name)
        self.findings.add(
            "claim.unit_charge_too_high",
            field="charges",
            code=name,
            charge=dollars(line.charge / line.units),
            limit=dollars(limit),
        )

    def _check_vial_charges(self, limit: Decimal) -> None:
        """A charge for a unit that was entered for a vial makes one vial dearer than a whole claim may be."""
        for drug in self.billed_drugs():
            at = [place for place, line in enumerate(self.lines) if line.code == drug.code]
            units = sum(self.lines[place].units for place in at)
            charge = sum((self.context.charges.get(place, NOTHING) for place in at), NOTHING)
            smallest = min((container.amount for container in drug.containers), default=NOTHING)
            vial = charge * smallest / drug.billing_unit / units
            if vial > limit:
                self.findings.add(
                    "claim.charge_by_vial",
                    field="charges",
                    amount=plain(smallest),
                    what=drug.name,
                    charge=dollars(vial),
                    unit=plain(drug.billing_unit),
                )

    # Reading ----------------------------------------------------------------------------------------------------------

    def _administrations(self, lines: Iterable[ServiceLine]) -> list[Administration]:
        """What the lines rest on, each once, in the order of the record."""
        wanted = {each for line in lines for each in line.administrations}
        return [each for each in self.encounter.administrations if each.id in wanted]

    def _name(self, code: str) -> str:
        drug = self.reference.drug(code, self.on)
        return drug.name if drug else code

    def _whose(self, reading: Reading) -> str:
        return "the payer" if reading.layer.name == "baseline" else reading.whose


def _weight(reading: Reading) -> Severity | None:
    """A payer's rule that nobody has verified warns and holds nothing up."""
    return Severity.WARNING if reading.unverified else None


def _units(lines: Iterable[ServiceLine]) -> dict[str, int]:
    """Units by code, discarded ones among them: a limit of a day counts all of its lines."""
    units: dict[str, int] = {}
    for line in lines:
        units[line.code] = units.get(line.code, 0) + line.units
    return units
