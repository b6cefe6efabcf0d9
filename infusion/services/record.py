"""What was recorded, checked against the tables and turned into instants.

Decides which drug row and which running periods each administration stands for, and names everything that is missing
or cannot be. An administration that is not `sound` takes no part in any line.

Not handled here: whether amounts add up (drug.py) and what the minutes are worth (administration.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from infusion.services.clock import (
    LONGEST,
    ClockChange,
    Period,
    either_instant,
    instant,
    merged,
    on_one_day,
    whole_minutes,
    without,
    zone_named,
)
from infusion.services.facts import ROUTES, Administration, Encounter, Visit
from infusion.services.findings import Findings
from infusion.services.reference import Drug, Reference, eleven_digits
from infusion.services.words import plain
from payers.policy import Rules

BY_VEIN = ("iv_infusion", "iv_push", "hydration")
INJECTED = ("subcutaneous", "intramuscular")
NO_DRUG: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class Given:
    """One administration as the rules can use it. Instants are UTC; `periods` are the ones in which it ran.

    `drug` may be a row that is no longer in force; `known` says whether lines may rest on it. `one_day` is set where
    all of it certainly lies on the date of service.
    """

    administration: Administration
    position: int
    what: str
    drug: Drug | None
    known: bool
    start: datetime | None
    stop: datetime | None
    periods: tuple[Period, ...]
    timed: bool
    one_day: bool
    counted_as_push: bool

    @property
    def id(self) -> str:
        return self.administration.id

    @property
    def route(self) -> str:
        return self.administration.route

    @property
    def sound(self) -> bool:
        """Whether an administration line may rest on it."""
        return self.known and self.timed


def date_of_service(encounter: Encounter, reference: Reference, findings: Findings) -> date | None:
    """The recorded date, else the local date of the earliest start. Where an infusion lacks that, it is asked for."""
    zone = zone_named(encounter.time_zone)
    recorded = [each.start for each in encounter.administrations if each.start is not None]
    if not recorded and encounter.visit and encounter.visit.start:
        recorded = [encounter.visit.start]
    # Where the clock change leaves the instant open, both readings lie on the same day.
    starts = [either_instant(each, zone) for each in recorded]
    earliest = min(starts).astimezone(zone).date() if starts else None
    if encounter.date_of_service is None and earliest is None:
        timed = [each for each in encounter.administrations if needs_times(each)]
        for each in timed:
            rows = reference.drugs.get(each.drug)
            for name in ("start", "stop"):
                if getattr(each, name) is None:
                    what = named(each, rows[-1] if rows else None)
                    findings.add(f"time.{name}_missing", administration=each.id, field=name, what=what)
        if not timed:
            findings.add("date_of_service.missing", field="date_of_service")
    elif encounter.date_of_service and earliest and encounter.date_of_service != earliest:
        findings.add(
            "date_of_service.differs", field="date_of_service", on=encounter.date_of_service, earliest=earliest
        )
    return encounter.date_of_service or earliest


def needs_times(each: Administration) -> bool:
    """Whether minutes are counted of it."""
    return each.route == "iv_infusion" or (each.route == "hydration" and each.purpose not in ("keep_open", "diluent"))


def named(each: Administration, drug: Drug | None) -> str:
    return drug.label if drug else ("Hydration" if each.route == "hydration" else each.drug or "The drug")


def check_diagnoses(encounter: Encounter, on: date, reference: Reference, findings: Findings) -> None:
    """A code that is not in force cannot be billed; one that the table does not know is only asked about."""
    for position, code in enumerate(encounter.diagnoses):
        field = f"diagnoses.{position}"
        rows = reference.diagnoses.get(code, ())
        current = next((row for row in rows if row.first_day <= on and (not row.last_day or on <= row.last_day)), None)
        if current is not None:
            if current.status == "unverified":
                findings.add("reference.unverified", field=field, code=code)
        elif advice := instead_of_diagnosis(code, reference):
            findings.add("diagnosis.not_billable", field=field, code=code, on=on, advice=advice)
        else:
            findings.add("diagnosis.unknown", field=field, code=code)


def instead_of_diagnosis(code: str, reference: Reference) -> str:
    """What to use for a code that is not in force; nothing where the tables do not know the code or its family."""
    rows = reference.diagnoses.get(code, ())
    if not rows and not any(code.startswith(family) for family in reference.diagnosis_families):
        return ""
    successors = rows[-1].replaced_by if rows else ()
    return f"Use one of {', '.join(successors)}." if successors else "Choose a code in force on that day."


@dataclass(slots=True)
class Reader:
    """Reads the administrations of one encounter."""

    on: date
    zone: ZoneInfo
    rules: Rules
    reference: Reference
    findings: Findings

    def read(self, encounter: Encounter) -> list[Given]:
        if not encounter.administrations:
            self.findings.add("administration.missing", field="administrations")
        pushed = self._drugs_without_any_stop(encounter)
        return [self._given(each, position, pushed) for position, each in enumerate(encounter.administrations)]

    def _drugs_without_any_stop(self, encounter: Encounter) -> frozenset[str]:
        """Codes whose every infusion has a start and no stop, under a payer that counts such a drug as a push."""
        endless = [each for each in encounter.administrations if each.stop is None and each.route == "iv_infusion"]
        if not endless:
            return NO_DRUG
        stopped = {each.drug for each in encounter.administrations if each.stop is not None}
        unstarted = {each.drug for each in endless if each.start is None}
        return frozenset(
            code
            for code in dict.fromkeys(each.drug for each in endless)
            if code not in stopped | unstarted and self.rules.read("missing_stop_time", code).value == "push"
        )

    def _given(self, each: Administration, position: int, pushed: frozenset[str]) -> Given:
        drug, known = self._drug(each)
        what = named(each, drug)
        as_push = each.route == "iv_infusion" and each.drug in pushed
        before = len(self.findings.found)
        start, stop, pauses = self._times(each, what, as_push)
        timed = len(self.findings.found) == before
        if each.route == "hydration" and not each.purpose:
            self.findings.add("hydration.purpose_missing", administration=each.id, field="purpose")
            timed = False
        periods: tuple[Period, ...] = ()
        if timed and start is not None and stop is not None:
            periods = tuple(without(((start, stop),), pauses)) if pauses else ((start, stop),)
        one_day = timed and (start is None or on_one_day(start, stop, self.on, self.zone))
        return Given(each, position, what, drug, known, start, stop, periods, timed, one_day, timed and as_push)

    def visit_minutes(self, encounter: Encounter) -> int | None:
        """Minutes of the nursing visit, or None with a finding when they cannot be counted."""
        visit = encounter.visit or Visit()
        ends = [("start", visit.start), ("stop", visit.stop)]
        missing = [end for end, recorded in ends if recorded is None]
        if missing:
            self.findings.add("visit.missing", field=f"visit.{missing[0]}", ends=" and its ".join(missing))
        moments = [self._visit_instant(end, recorded) for end, recorded in ends if recorded is not None]
        start, stop = moments if len(moments) == 2 else (None, None)
        before = len(self.findings.found)
        if start is None or stop is None:
            return None
        self._check_order("", "visit.stop", "The visit", start, stop)
        return whole_minutes(stop - start) if len(self.findings.found) == before else None

    def _visit_instant(self, end: str, recorded: datetime) -> datetime | None:
        try:
            return instant(recorded, self.zone)
        except ClockChange as change:
            self.findings.add(change.code, field=f"visit.{end}", what="The visit", time=f"{recorded:%H:%M}")
            return None

    # The drug -------------------------------------------------------------------------------------------------------

    def _drug(self, each: Administration) -> tuple[Drug | None, bool]:
        """The drug row in force, and whether lines may rest on this administration."""
        if each.route in ("oral", "hydration"):
            if each.route == "oral":
                self.findings.add("drug.oral_not_billed", administration=each.id, what=each.drug or "A drug")
            return None, True
        drug = self.reference.drug(each.drug, self.on)
        if drug is None:
            self._refuse_code(each)
            drug, sound = next(reversed(self.reference.drugs.get(each.drug, ())), None), False
            if drug is not None:
                self._route_allowed(each, drug)
        else:
            if drug.status == "unverified":
                self.findings.add("reference.unverified", administration=each.id, field="drug", code=drug.code)
            sound = self._route_allowed(each, drug)
            sound &= self._ndcs_belong(each, drug)
            sound &= self._sizes_belong(each, drug)
        if each.bought_340b and each.acquired == "supplied":
            what = drug.label if drug else each.drug
            self.findings.add("drug.price_contradictory", administration=each.id, field="bought_340b", what=what)
            sound = False
        if each.administered is not None and not each.administered:
            what = drug.name if drug else each.drug or "drug"
            self.findings.add("drug.not_given", administration=each.id, field="administered", what=what)
            sound = False
        return drug, sound

    def _refuse_code(self, each: Administration) -> None:
        rows = self.reference.drugs.get(each.drug, ())
        if rows:
            successor = next((row.replaced_by for row in reversed(rows) if row.replaced_by), "")
            later = [row.first_day for row in rows if row.first_day > self.on]
            ended = f"Use {successor}." if successor else f"It ended on {rows[-1].last_day}."
            advice = f"It begins on {later[0]}." if later else ended
            self.findings.add(
                "code.not_effective", administration=each.id, field="drug", code=each.drug, on=self.on, advice=advice
            )
            return
        self.findings.add(
            "drug.unknown",
            administration=each.id,
            field="drug",
            code=each.drug or "An empty field",
            advice=self._advice(each.drug),
        )

    def _advice(self, text: str) -> str:
        """What may have been meant by a drug that is not one: a name, a look-alike, or a code and more beside it."""
        named = self.reference.find_drug(text, self.on)
        if named is not None:
            return f"The code of {named.name} is {named.code}."
        code, _, rest = text.partition(" ")
        look_alike = self.reference.look_alike(code, rest)
        if look_alike is not None:
            instead = f" Use {look_alike.use_instead}." if look_alike.use_instead else ""
            return f"{look_alike.code} means {look_alike.means}.{instead}"
        known = self.reference.find_drug(code, self.on)
        if known is not None:
            return f"Enter {known.code} alone if {known.name} was given."
        return "Choose the drug from the list."

    def _route_allowed(self, each: Administration, drug: Drug) -> bool:
        if each.route in drug.routes:
            return True
        allowed = " or ".join(ROUTES[route].lower().replace("iv", "IV") for route in drug.routes)
        self.findings.add(
            "route.not_allowed",
            administration=each.id,
            field="route",
            what=drug.label,
            code=drug.code,
            route=ROUTES[each.route],
            advice=f"It is given by {allowed}.",
        )
        return False

    def _ndcs_belong(self, each: Administration, drug: Drug) -> bool:
        belongs = True
        for position, vial in enumerate(each.vials):
            if not vial.ndc:
                continue
            try:
                owners = self.reference.ndc_owners.get(eleven_digits(vial.ndc))
            except ValueError:
                continue  # told as ndc.malformed where the line is made
            if owners and not any(self._same_drug(owner, drug) for owner in owners):
                self.findings.add(
                    "ndc.other_drug",
                    administration=each.id,
                    field=f"vials.{position}.ndc",
                    ndc=vial.ndc,
                    owner=" or ".join(f"{self.reference.drugs[code][-1].name} ({code})" for code in sorted(owners)),
                    code=f"{drug.name} ({drug.code})",
                )
                belongs = False
        return belongs

    def _sizes_belong(self, each: Administration, drug: Drug) -> bool:
        """A size that this drug is not sold in, but the one its code is taken for is, tells of a mixed-up code.

        A vial with an NDC is told about by that.
        """
        belongs = True
        for position, vial in enumerate(each.vials):
            if vial.amount in drug.sizes or vial.ndc:
                continue
            sold_as = [
                row
                for look_alike in self.reference.look_alikes
                if look_alike.code == drug.code
                for row in self.reference.drugs.get(look_alike.use_instead, ())
                if row.name != drug.name and vial.amount in row.sizes
            ]
            if sold_as:
                self.findings.add(
                    "drug.look_alike",
                    administration=each.id,
                    field=f"vials.{position}.amount",
                    code=drug.code,
                    what=drug.name,
                    amount=plain(vial.amount),
                    other=sold_as[0].name,
                    other_code=sold_as[0].code,
                )
                belongs = False
        return belongs

    def _same_drug(self, code: str, drug: Drug) -> bool:
        return any(row.name == drug.name for row in self.reference.drugs[code])

    # The times ------------------------------------------------------------------------------------------------------

    def _times(
        self, each: Administration, what: str, as_push: bool
    ) -> tuple[datetime | None, datetime | None, list[Period]]:
        """Start, stop and pauses as instants, with a finding for each that cannot be used."""
        needed = needs_times(each)
        start = self._instant(each, "start", each.start, what, needed)
        stop = self._instant(each, "stop", each.stop, what, needed and not as_push)
        if start and stop:
            self._check_order(each.id, "stop", what, start, stop)
        return start, stop, self._pauses(each, what, start, stop) if each.pauses else []

    def _instant(
        self, each: Administration, field: str, moment: datetime | None, what: str, needed: bool
    ) -> datetime | None:
        if moment is None:
            name = field.rpartition(".")[2]
            if needed:
                self.findings.add(f"time.{name}_missing", administration=each.id, field=field, what=what)
            return None
        try:
            return instant(moment, self.zone)
        except ClockChange as change:
            self.findings.add(change.code, administration=each.id, field=field, what=what, time=f"{moment:%H:%M}")
            return None

    def _check_order(self, administration: str, field: str, what: str, start: datetime, stop: datetime) -> None:
        if stop <= start:
            self.findings.add(
                "time.stop_not_after_start",
                administration=administration,
                field=field,
                what=what,
                start=f"{start.astimezone(self.zone):%H:%M}",
                stop=f"{stop.astimezone(self.zone):%H:%M}",
            )
        elif stop - start > LONGEST:
            self.findings.add("time.too_long", administration=administration, field=field, what=what)

    def _pauses(self, each: Administration, what: str, start: datetime | None, stop: datetime | None) -> list[Period]:
        """The union of the pauses, with a finding where one cannot be or where they leave nothing."""
        pauses: list[Period] = []
        complete = True
        for position, pause in enumerate(each.pauses):
            where = f"pauses.{position}"
            begin = self._instant(each, f"{where}.start", pause.start, what, False)
            end = self._instant(each, f"{where}.stop", pause.stop, what, False)
            for name, moment in (("start", pause.start), ("stop", pause.stop)):
                if moment is None:
                    self.findings.add(
                        "time.pause_open", administration=each.id, field=f"{where}.{name}", what=what, end=name
                    )
            if begin is None or end is None:
                complete = False
            elif end <= begin or (start and begin < start) or (stop and end > stop):
                self.findings.add("time.pause_outside", administration=each.id, field=where, what=what)
                complete = False
            else:
                pauses.append((begin, end))
        covered = merged(pauses)
        if complete and covered == [(start, stop)]:
            self.findings.add("time.no_running_time", administration=each.id, field="pauses", what=what)
        return covered
