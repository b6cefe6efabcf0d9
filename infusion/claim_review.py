"""What is known around an encounter when its claim is checked: rows -> the context of `services.claim_checks`.

A list is read with the same few queries however long it is, up to `MOST_AT_ONCE` encounters at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import islice

from django.db.models import Exists, OuterRef, Q

from infusion.approved import approved_content
from infusion.models import (
    Administration,
    Authorization,
    Clinic,
    CodePair,
    Coverage,
    EditTable,
    Encounter,
    UnlikelyUnits,
)
from infusion.money import FeeBook
from infusion.reference_now import current_reference
from infusion.selectors import Review, facts_of, with_record
from infusion.services.calculate import calculate
from infusion.services.claim_checks import Authorization as OnFile
from infusion.services.claim_checks import ClaimContext, OtherVisit, Pair, UnitLimit, check_claim
from infusion.services.claim_split import CENT
from infusion.services.findings import Finding
from infusion.services.lines import Statement
from payers.policy import PayerPolicy

MOST_AT_ONCE = 500
State = Encounter.State
Reviewed = tuple[Encounter, Review]


def claim_findings_of(encounter: Encounter, review: Review) -> tuple[Finding, ...]:
    """What would send the encounter's claim back, or have it denied."""
    return claim_findings_of_many([(encounter, review)])[encounter.pk]


def claim_findings_of_many(reviewed: Iterable[Reviewed]) -> dict[int, tuple[Finding, ...]]:
    """The same for a list, by the encounter's row."""
    found: dict[int, tuple[Finding, ...]] = {}
    for some in _in_parts(reviewed):
        surroundings = Surroundings.of(some)
        for encounter, review in some:
            found[encounter.pk] = check_claim(
                review.facts,
                review.statement,
                _day(encounter, review.statement),
                review.policy.on(_day(encounter, review.statement), encounter.setting),
                current_reference(),
                surroundings.context_of(encounter, review.statement),
            )
    return found


def claims_of(setting: str) -> str:
    """Which of CMS's tables a claim is read against: a hospital's or a practitioner's."""
    hospital = setting == "hospital_outpatient"
    return EditTable.Claims.OUTPATIENT if hospital else EditTable.Claims.PRACTITIONER


def table_name(table: EditTable) -> str:
    """ "MUE 2026Q1, practitioner"."""
    return f"{table.kind.upper()} {table.quarter}, {table.get_claims_display().lower()}"


def _in_parts(reviewed: Iterable[Reviewed]) -> Iterator[list[Reviewed]]:
    rest = iter(reviewed)
    while some := list(islice(rest, MOST_AT_ONCE)):
        yield some


def _day(encounter: Encounter, statement: Statement) -> date:
    return statement.date_of_service or encounter.date_of_service


@dataclass(frozen=True, slots=True)
class Given:
    """One dose of a visit, to be held against those of the patient's other visits of the day."""

    encounter: int
    position: int
    drug: str
    start: datetime | None
    stop: datetime | None
    amount: Decimal | None

    def may_be(self, other: Given) -> bool:
        """Whether the two may be one: one drug, at overlapping times, or in one amount where a time is missing."""
        if self.drug != other.drug:
            return False
        if self.start is None or other.start is None:
            return self.amount == other.amount
        if self.start == other.start:
            return True
        return self.start < (other.stop or other.start) and other.start < (self.stop or self.start)


@dataclass(slots=True)
class Surroundings:
    """The rows around some encounters, each kind read once."""

    coverages: dict[int, list[Coverage]] = field(default_factory=dict)
    authorizations: dict[int, list[Authorization]] = field(default_factory=dict)
    others: dict[tuple[int, int, date], list[Encounter]] = field(default_factory=dict)
    given: dict[tuple[int, date], list[Given]] = field(default_factory=dict)
    policies: dict[int, PayerPolicy] = field(default_factory=dict)
    tables: list[EditTable] = field(default_factory=list)
    limits: dict[tuple[int, str], UnlikelyUnits] = field(default_factory=dict)
    pairs: dict[int, list[CodePair]] = field(default_factory=dict)
    fees: dict[int, FeeBook] = field(default_factory=dict)

    @classmethod
    def of(cls, reviewed: Sequence[Reviewed]) -> Surroundings:
        found = cls(policies={encounter.payer_id: review.policy for encounter, review in reviewed})
        patients = {encounter.patient_id for encounter, _ in reviewed}
        for coverage in Coverage.objects.filter(patient__in=patients):
            found.coverages.setdefault(coverage.patient_id, []).append(coverage)
        for authorization in Authorization.objects.filter(patient__in=patients):
            found.authorizations.setdefault(authorization.patient_id, []).append(authorization)
        found._read_others([encounter.pk for encounter, _ in reviewed])
        found._read_given([encounter.pk for encounter, _ in reviewed])
        codes = {line.code for _, review in reviewed for line in review.statement.lines}
        codes |= {code for visits in found.others.values() for visit in visits for code in found._units_of(visit)}
        found._read_tables(codes)
        days: dict[Clinic, list[date]] = {}
        for encounter, review in reviewed:
            days.setdefault(encounter.clinic, []).append(_day(encounter, review.statement))
        found.fees = {clinic.pk: FeeBook(clinic, wanted) for clinic, wanted in days.items()}
        return found

    def context_of(self, encounter: Encounter, statement: Statement) -> ClaimContext:
        on = _day(encounter, statement)
        return ClaimContext(
            place_of_service=encounter.place_of_service,
            has_membership=self._has_membership(encounter, on) if encounter.clinic.sends_claims else None,
            authorizations=self._authorizations_of(encounter),
            others=self._visits_of(encounter),
            charges=self._charges_of(encounter, statement, on),
            limits=self._limits_of(encounter, statement, on),
            pairs=self._pairs_of(encounter, on),
            trial_number=encounter.trial_number,
            recorded_twice=self._recorded_twice(encounter),
        )

    # The patient ------------------------------------------------------------------------------------------------------

    def _has_membership(self, encounter: Encounter, on: date) -> bool:
        mine = [each for each in self.coverages.get(encounter.patient_id, ()) if each.payer_id == encounter.payer_id]
        return any(each.member_id and _in_force(each, on) for each in mine)

    def _authorizations_of(self, encounter: Encounter) -> tuple[OnFile, ...]:
        return tuple(
            OnFile(
                number=each.number,
                drug=each.drug,
                effective_from=each.effective_from,
                effective_until=each.effective_until,
                dose_limit=each.dose_limit,
            )
            for each in self.authorizations.get(encounter.patient_id, ())
            if each.payer_id == encounter.payer_id
        )

    def _read_others(self, pks: Sequence[int]) -> None:
        """Every encounter of a patient who had two on one day for the same payer; most had one, and none is read."""
        twin = Encounter.objects.filter(
            patient=OuterRef("patient"), payer=OuterRef("payer"), date_of_service=OuterRef("date_of_service")
        ).exclude(pk=OuterRef("pk"))
        asked = twin.filter(pk__in=pks)
        rows = Encounter.objects.filter(Exists(asked)).exclude(state=State.VOID)
        for encounter in with_record(rows).prefetch_related("approvals"):
            self.others.setdefault(_visit(encounter), []).append(encounter)

    def _read_given(self, pks: Sequence[int]) -> None:
        """The drugs of patients who had two visits on one day, at whichever payer, by patient, day and drug."""
        stands = Encounter.objects.exclude(state=State.VOID)
        twin = stands.filter(
            patient=OuterRef("encounter__patient"), date_of_service=OuterRef("encounter__date_of_service")
        ).exclude(pk=OuterRef("encounter"))
        rows = Administration.objects.filter(
            Exists(twin.filter(pk__in=pks)) | Q(Exists(twin), encounter__in=pks), administered__gt=0
        ).exclude(encounter__state=State.VOID)
        for row in rows.exclude(drug="").select_related("encounter"):
            self.given.setdefault((row.encounter.patient_id, row.encounter.date_of_service), []).append(
                Given(row.encounter_id, row.position, row.drug, row.started_at, row.stopped_at, row.administered)
            )

    def _recorded_twice(self, encounter: Encounter) -> tuple[tuple[str, str], ...]:
        doses = self.given.get((encounter.patient_id, encounter.date_of_service), ())
        others = [each for each in doses if each.encounter != encounter.pk]
        return tuple(
            (f"a{mine.position + 1}", mine.drug)
            for mine in doses
            if mine.encounter == encounter.pk and any(mine.may_be(each) for each in others)
        )

    def _visits_of(self, encounter: Encounter) -> tuple[OtherVisit, ...]:
        others = [each for each in self.others.get(_visit(encounter), ()) if each.pk != encounter.pk]
        return tuple(
            OtherVisit(units=self._units_of(each), earlier=_begin(each) < _begin(encounter)) for each in others
        )

    def _units_of(self, encounter: Encounter) -> dict[str, int]:
        """Units by code of another visit: as approved, or as they are now."""
        approvals = sorted(encounter.approvals.all(), key=lambda each: each.encounter_version)
        if encounter.state == State.APPROVED and approvals:
            statement = approved_content(approvals[-1]).statement
        else:
            statement = calculate(facts_of(encounter), self.policies[encounter.payer_id], current_reference())
        units: dict[str, int] = {}
        for line in statement.lines:
            units[line.code] = units.get(line.code, 0) + line.units
        return units

    # The tables of CMS ------------------------------------------------------------------------------------------------

    def _read_tables(self, codes: set[str]) -> None:
        self.tables = list(EditTable.objects.filter(withdrawn_at__isnull=True).order_by("-loaded_at", "-pk"))
        for limit in UnlikelyUnits.objects.filter(table__in=self.tables, code__in=codes):
            self.limits[limit.table_id, limit.code] = limit
        for pair in CodePair.objects.filter(table__in=self.tables, first__in=codes, second__in=codes):
            self.pairs.setdefault(pair.table_id, []).append(pair)

    def table(self, kind: str, encounter: Encounter, on: date) -> EditTable | None:
        """The table of the quarter of the date of service; of two, the one that was loaded last."""
        claims = claims_of(encounter.setting)
        mine = (each for each in self.tables if (each.kind, each.claims) == (kind, claims))
        return next((each for each in mine if _in_force(each, on)), None)

    def _limits_of(self, encounter: Encounter, statement: Statement, on: date) -> dict[str, UnitLimit]:
        table = self.table(EditTable.Kind.UNLIKELY_UNITS, encounter, on)
        if table is None:
            return {}
        name = table_name(table)
        rows = {line.code: self.limits.get((table.pk, line.code)) for line in statement.lines}
        return {
            code: UnitLimit(units=row.units, indicator=row.indicator, table=name)
            for code, row in rows.items()
            if row is not None
        }

    def _pairs_of(self, encounter: Encounter, on: date) -> tuple[Pair, ...]:
        table = self.table(EditTable.Kind.CODE_PAIRS, encounter, on)
        if table is None:
            return ()
        name = table_name(table)
        return tuple(
            Pair(
                first=row.first,
                second=row.second,
                effective_from=row.effective_from,
                deleted_from=row.deleted_from,
                modifier_allowed=row.modifier_allowed,
                table=name,
            )
            for row in self.pairs.get(table.pk, ())
        )

    # What the clinic charges ------------------------------------------------------------------------------------------

    def _charges_of(self, encounter: Encounter, statement: Statement, on: date) -> dict[int, Decimal]:
        """Dollars of each line, where the clinic's own schedule of that day knows its code."""
        fees = self.fees[encounter.clinic_id].fees(None, on)
        charges: dict[int, Decimal] = {}
        for position, line in enumerate(statement.lines):
            if line.charge is not None:
                charges[position] = line.charge
            elif line.code in fees:
                charges[position] = (fees[line.code].rate * line.units).quantize(CENT, ROUND_HALF_UP)
        return charges


def _in_force(row: Coverage | EditTable, on: date) -> bool:
    return row.effective_from <= on and (row.effective_until is None or on <= row.effective_until)


def _visit(encounter: Encounter) -> tuple[int, int, date]:
    return encounter.patient_id, encounter.payer_id, encounter.date_of_service


def _begin(encounter: Encounter) -> tuple[datetime, int]:
    """In which order two visits of one day stand: by the first start, or by the entry where nothing has started."""
    starts = [each.started_at for each in encounter.administrations.all() if each.started_at]
    starts += [encounter.visit_started_at] if encounter.visit_started_at else []
    return min(starts, default=encounter.entered_at), encounter.pk
