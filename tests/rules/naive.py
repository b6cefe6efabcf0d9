"""A second, slow reading of the calculation rules, for comparison with the engine.

It shares nothing with the engine: minutes are sets, amounts are fractions, hours are counted off one by one, and the
few drugs it knows are written out below. Where the two disagree, one of them has misread a rule.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

Document = dict[str, Any]
Codes = Counter[tuple[str, tuple[str, ...], str]]


@dataclass(frozen=True)
class Row:
    unit: int
    routes: tuple[str, ...]
    packaged: bool
    may_be_complex: bool
    first: str = "0001-01-01"
    last: str = "9999-12-31"
    fixed_dose: bool = False
    smallest: str = "300"


INTO_VEIN_OR_MUSCLE = ("iv_push", "iv_infusion", "intramuscular")
DRUGS = {
    "J2350": Row(1, ("iv_infusion",), False, True, first="2018-01-01", fixed_dose=True),
    "J2351": Row(1, ("subcutaneous",), False, True, first="2025-04-01", fixed_dose=True, smallest="920"),
    "J2919": Row(5, INTO_VEIN_OR_MUSCLE, True, False, first="2024-04-01", smallest="40"),
    "J2930": Row(125, INTO_VEIN_OR_MUSCLE, True, False, last="2024-03-31", smallest="125"),
    "J1200": Row(50, INTO_VEIN_OR_MUSCLE, True, False, smallest="50"),
    "J1745": Row(10, ("iv_infusion",), False, True, smallest="100"),
    "J9312": Row(10, ("iv_infusion",), False, True, first="2019-01-01", smallest="100"),
    "J2323": Row(1, ("iv_infusion",), False, True, first="2008-01-01", fixed_dose=True),
    "J3380": Row(1, ("iv_infusion",), False, True, first="2016-01-01", fixed_dose=True),
}
SPLIT_DIAGNOSES = ("G35.A", "G35.B0", "G35.B1", "G35.B2", "G35.C0", "G35.C1", "G35.C2", "G35.D")
SPLIT_DIAGNOSES_FROM = "2025-10-01"
NO_DISCARD_MODIFIER_FROM = "2023-07-01"

BASELINE: Document = {
    "infusion_minimum_minutes": 16,
    "hydration_minimum_minutes": 31,
    "additional_hour_minimum_minutes": 31,
    "bag_change_minutes": 0,
    "concurrent_minimum_minutes": 0,
    "administration_family": "therapeutic",
    "missing_stop_time": "hold",
    "infusion_past_midnight": "start_date",
    "discarded_drug": "separate_line",
    "zero_discard_modifier": "required",
    "billable_discard_reasons": ["vial_remainder", "stopped_early"],
    "billable_discard_drugs": "all",
    "billable_discard_containers": "single_dose",
    "maximum_discarded_units": "none",
    "supplied_drug_line": "none",
    "distinct_site_modifier": "59",
    "modifier_340b": "none",
    "off_campus_modifier": "not_used",
    "route_modifier": "not_used",
    "home_administration": "visit",
    "home_per_diem": "none",
    "home_per_diem_units": 1,
    "drug_covered": True,
    "accepted_diagnoses": [],
    "prior_authorization": "none",
    "prior_authorization_dose_limit": None,
    "step_therapy": "",
    "ndc_required": False,
    "maximum_units_per_dose": None,
    "maximum_units_per_period": None,
    "units_period_months": 6,
    "minimum_days_between_doses": None,
    "separate_ndc_lines": False,
    "administered_lines_per_day": "any",
    "administration_paid": True,
    "maximum_units_per_line": None,
    "maximum_claim_charge": None,
    "split_claim_modifier": "not_said",
}

# Which codes an add-on may follow on its access; asked only when a service is marked as the reason for the visit.
PARENTS = {
    "96361": {"96360", "96365", "96374", "96409", "96413"},
    "96366": {"96365", "96367"},
    "96367": {"96365", "96374", "96409", "96413"},
    "96368": {"96365", "96366", "96367", "96413", "96415", "96417"},
    "96375": {"96365", "96374", "96409", "96413"},
    "96411": {"96409", "96413"},
    "96415": {"96413", "96417"},
    "96417": {"96413"},
}

INTO_A_VEIN = ("iv_infusion", "iv_push", "hydration")
INJECTED = ("subcutaneous", "intramuscular")


@dataclass
class Given:
    """One administration with its times read."""

    index: int
    record: Document
    drug: str
    route: str
    access: str
    start: int | None = None
    stop: int | None = None
    running: set[int] = field(default_factory=set)
    usable: bool = True


@dataclass
class Service:
    """What may earn a code on one access: an infusion, a push, or the hydration."""

    kind: str
    drug: str
    complex: bool
    minutes: set[int]
    index: int
    primary: bool
    start: int | None = None
    repeat: bool = False
    between_bags: set[int] = field(default_factory=set)

    def rank(self, primary_first: bool) -> tuple[int, int, int, int]:
        order = [
            ("infusion", True),
            ("push", True),
            ("infusion", False),
            ("push", False),
            ("hydration", False),
        ]
        marked = 0 if primary_first and self.primary else 1
        return (marked, order.index((self.kind, self.complex)), -len(self.minutes), self.index)


def answer(document: Document) -> Document:
    """Status, lines and error codes of one encounter under the baseline and its inline policy."""
    return Encounter(document).answer()


def read_time(text: str, zone: ZoneInfo) -> tuple[int | None, str]:
    """Minute since 1970 in UTC, or the reason there is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        earlier = moment.replace(tzinfo=zone, fold=0)
        later = moment.replace(tzinfo=zone, fold=1)
        if earlier.utcoffset() != later.utcoffset():
            there_and_back = earlier.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
            return None, "time.ambiguous" if there_and_back == moment else "time.nonexistent"
        moment = earlier
    return int(moment.timestamp()) // 60, ""


def amount(value: Any) -> Fraction:
    return Fraction(str(value))


def whole_units_up(milligrams: Fraction, unit: int) -> int:
    return math.ceil(milligrams / unit)


def whole_units_down(milligrams: Fraction, unit: int) -> int:
    return math.floor(milligrams / unit)


def hours_from_zero(minutes: int, tail: int) -> int:
    """Hours counted from the first minute, the last one earned by `tail` minutes."""
    hours = 0
    while minutes >= 60:
        hours += 1
        minutes -= 60
    return hours + (1 if minutes >= tail else 0)


def hours_after_the_first(minutes: int, tail: int) -> int:
    return hours_from_zero(minutes - 60, tail) if minutes >= 60 else 0


def drugs_of_the_visit(given: list[Given]) -> list[str]:
    """What the payer's rules may name; a drug by mouth needs no nurse's hours."""
    return [one.drug for one in given if one.drug in DRUGS and one.route not in ("oral", "hydration")] or [""]


class Encounter:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.zone = ZoneInfo(document.get("time_zone") or "America/New_York")
        self.setting: str = document.get("setting") or "office"
        self.policy: Document = document.get("policy") or {}
        self.errors: set[str] = set()
        self.told: set[str] = set()
        self.price: tuple[str, ...] = ()
        self.way: tuple[str, ...] = ()
        self.place = self.off_campus()
        self.codes: Codes = Counter()
        self.lines: list[list[Any]] = []
        self.records: list[Document] = document.get("administrations") or []
        self.day = self.date_of_service()

    def answer(self) -> Document:
        self.check_diagnoses()
        given = [self.read(index, record) for index, record in enumerate(self.records)]
        self.join_accesses(given)
        for one in given:
            self.check_drug(one)
        self.count_drugs(given)
        self.count_visit(given)
        self.count_the_day(given)
        by_visit = self.setting == "home" and self.billed_by_visit(given)
        self.count_services([] if by_visit else [one for one in given if one.usable], given)
        for (code, modifiers, day), units in self.codes.items():
            self.add_line(code, modifiers, units, "", day)
        self.compare_with_earlier_doses()
        if self.lines and self.place == ("missing",):
            self.told.add("department.missing")
        status = "blocked" if self.errors else "ready"
        return {
            "status": status,
            "lines": [] if self.errors else sorted(self.lines),
            "errors": sorted(self.errors),
            "told": sorted(self.told),
        }

    # Policy

    def value(self, name: str, drug: str) -> Any:
        """The narrowest inline value, else the baseline."""
        for_drug = (self.policy.get("drugs") or {}).get(drug) or {}
        scopes = [
            (for_drug.get("settings") or {}).get(self.setting) or {},
            for_drug,
            (self.policy.get("settings") or {}).get(self.setting) or {},
            self.policy,
        ]
        for scope in scopes:
            if name in scope:
                return scope[name]
        return BASELINE[name]

    def is_complex(self, drug: str) -> bool:
        row = DRUGS.get(drug)
        return bool(row and row.may_be_complex and self.value("administration_family", drug) == "complex")

    # Dates and times

    def date_of_service(self) -> str:
        if self.document.get("date_of_service"):
            return str(self.document["date_of_service"])
        starts = [record["start"] for record in self.records if record.get("start")]
        visit = self.document.get("visit") or {}
        if not starts and visit.get("start"):
            starts = [visit["start"]]
        moments = []
        for start in starts:
            moment = datetime.fromisoformat(start)
            moments.append(moment.astimezone(self.zone) if moment.tzinfo else moment.replace(tzinfo=self.zone))
        if not moments:
            if not any(record["route"] == "iv_infusion" for record in self.records):
                self.errors.add("date_of_service.missing")
            return date.max.isoformat()
        return min(moments, key=lambda moment: moment.astimezone(UTC)).date().isoformat()

    def period(self, holder: Document) -> tuple[int | None, int | None, bool]:
        """Start and stop of an administration or a visit, and whether nothing is wrong with either."""
        minutes: list[int | None] = []
        good = True
        for name in ("start", "stop"):
            if not holder.get(name):
                minutes.append(None)
                continue
            minute, problem = read_time(holder[name], self.zone)
            if problem:
                self.errors.add(problem)
                good = False
            minutes.append(minute)
        start, stop = minutes
        if start is not None and stop is not None:
            if stop <= start:
                self.errors.add("time.stop_not_after_start")
                good = False
            elif stop - start > 24 * 60:
                self.errors.add("time.too_long")
                good = False
        return start, stop, good

    def stop_may_be_missing(self, drug: str) -> bool:
        """The payer takes a push for a drug none of whose administrations has a stop, if all its infusions start."""
        if self.value("missing_stop_time", drug) != "push":
            return False
        mine = [record for record in self.records if record.get("drug") == drug]
        if any(record.get("stop") for record in mine):
            return False
        return all(record.get("start") for record in mine if record["route"] == "iv_infusion")

    def read(self, index: int, record: Document) -> Given:
        route = record["route"]
        drug = "" if route == "hydration" else record.get("drug") or ""
        one = Given(index, record, drug, route, record.get("access") or "1")
        one.start, one.stop, one.usable = self.period(record)
        counted = route == "iv_infusion" or (
            route == "hydration" and record.get("purpose") not in ("keep_open", "diluent")
        )
        if counted and not record.get("start"):
            self.errors.add("time.start_missing")
            one.usable = False
        if counted and not record.get("stop") and not (drug and self.stop_may_be_missing(drug)):
            self.errors.add("time.stop_missing")
            one.usable = False
        if route == "hydration" and not record.get("purpose"):
            self.errors.add("hydration.purpose_missing")
            one.usable = False
        paused = self.read_pauses(one)
        if one.usable and one.start is not None and one.stop is not None:
            one.running = set(range(one.start, one.stop)) - paused
            if counted and not one.running:
                self.errors.add("time.no_running_time")
                one.usable = False
        return one

    def read_pauses(self, one: Given) -> set[int]:
        paused: set[int] = set()
        for pause in one.record.get("pauses") or []:
            edges: list[int | None] = []
            for name in ("start", "stop"):
                if not pause.get(name):
                    self.errors.add("time.pause_open" if name == "stop" else "time.start_missing")
                    one.usable = False
                    edges.append(None)
                    continue
                minute, problem = read_time(pause[name], self.zone)
                if problem:
                    self.errors.add(problem)
                    one.usable = False
                edges.append(minute)
            first, last = edges
            outside = first is not None and last is not None and last <= first
            for edge in (first, last):
                if edge is not None and one.start is not None and edge < one.start:
                    outside = True
                if edge is not None and one.stop is not None and edge > one.stop:
                    outside = True
            if outside:
                self.errors.add("time.pause_outside")
                one.usable = False
            elif first is not None and last is not None:
                paused |= set(range(first, last))
        return paused

    @staticmethod
    def join_accesses(given: list[Given]) -> None:
        """Everything on an access nobody gave a reason for belongs to the first one listed."""
        lines = [one for one in given if one.route in INTO_A_VEIN]
        if not lines:
            return
        first = lines[0].access
        reasoned = {one.access for one in lines if one.record.get("access_reason")}
        for one in lines:
            if one.access not in reasoned:
                one.access = first

    # What blocks

    def check_diagnoses(self) -> None:
        for code in self.document.get("diagnoses") or []:
            if not code.startswith("G35"):
                continue
            after_split = self.day >= SPLIT_DIAGNOSES_FROM
            billable = code in SPLIT_DIAGNOSES if after_split else code == "G35"
            if not billable:
                self.errors.add("diagnosis.not_billable")

    def check_drug(self, one: Given) -> None:
        if one.route in ("oral", "hydration"):
            return
        record = one.record
        row = DRUGS.get(one.drug)
        if row is None:
            self.errors.add("drug.unknown")
            one.usable = False
        else:
            if not row.first <= self.day <= row.last:
                self.errors.add("code.not_effective")
                one.usable = False
            if one.route not in row.routes:
                self.errors.add("route.not_allowed")
                one.usable = False
        if amount(record["administered"]) == 0:
            self.errors.add("drug.not_given")
            one.usable = False

    # Modifiers of a payer's own

    def off_campus(self) -> tuple[str, ...]:
        if self.setting != "hospital_outpatient" or self.value("off_campus_modifier", "") != "required":
            return ()
        known = {"off_campus_excepted": ("PO",), "off_campus_not_excepted": ("PN",), "on_campus": ()}
        return known.get(self.document.get("hospital_department") or "", ("missing",))

    def own_modifiers(self, drug: str, records: list[Document]) -> None:
        """What the lines of a drug carry for its price and for the way it was given."""
        self.price, self.way = (), ()
        prices = {bool(record.get("bought_340b")) for record in records}
        wanted = self.value("modifier_340b", drug)
        if wanted == "by_date":
            wanted = "JG" if self.day <= "2024-12-31" else "TB"
        if True in prices and wanted != "none" and not (DRUGS[drug].packaged and self.setting == "hospital_outpatient"):
            self.price = (wanted,)
            if False in prices:
                self.errors.add("drug.price_mixed")
        ways = {"iv_infusion": "JA", "iv_push": "JA", "subcutaneous": "JB", "intramuscular": ""}
        codes = {ways[record["route"]] for record in records}
        if self.value("route_modifier", drug) == "required":
            if len(codes) > 1:
                self.told.add("route.mixed")
            elif codes != {""}:
                self.way = tuple(codes)

    # Drug lines

    def count_drugs(self, given: list[Given]) -> None:
        for drug in DRUGS:
            mine = [one.record for one in given if one.drug == drug and one.route not in ("oral", "hydration")]
            if self.has_negative(mine) or any(amount(record["administered"]) == 0 for record in mine):
                continue
            bought = [record for record in mine if record.get("acquired") != "supplied"]
            supplied = [record for record in mine if record.get("acquired") == "supplied"]
            if bought:
                self.own_modifiers(drug, bought)
                self.count_bought(drug, bought)
            if supplied and self.value("supplied_drug_line", drug) == "nominal_charge":
                self.own_modifiers(drug, supplied)
                milligrams = sum((amount(record["administered"]) for record in supplied), Fraction(0))
                units = whole_units_up(milligrams, DRUGS[drug].unit)
                self.add_drug_lines(drug, (), units, self.milligrams_by_ndc(drug, supplied, Fraction(0), milligrams))

    def has_negative(self, records: Iterable[Document]) -> bool:
        found = False
        for record in records:
            values = [record["administered"], record.get("ordered") or 0]
            values += [vial["amount"] for vial in record.get("vials") or []]
            values += [discard["amount"] for discard in record.get("discards") or []]
            if any(amount(value) < 0 for value in values):
                self.errors.add("amount.negative")
                found = True
        return found

    def count_bought(self, drug: str, records: list[Document]) -> None:
        row = DRUGS[drug]
        packaged = row.packaged and self.setting == "hospital_outpatient"
        vials: list[Fraction] = []
        kinds: set[bool] = set()
        for record in records:
            for vial in record.get("vials") or []:
                vials += [amount(vial["amount"])] * int(vial.get("count", 1))
                kinds.add(vial.get("single_dose") is not False)
        single_dose = False not in kinds
        labelled = sum(vials, Fraction(0))
        administered = sum((amount(record["administered"]) for record in records), Fraction(0))
        ordered = sum((amount(record.get("ordered") or record["administered"]) for record in records), Fraction(0))
        discards = [discard for record in records for discard in record.get("discards") or []]
        accounted = administered
        billable = Fraction(0)
        for discard in discards:
            if discard["reason"] != "overfill":
                accounted += amount(discard["amount"])
            if discard["reason"] in self.value("billable_discard_reasons", drug):
                billable += amount(discard["amount"])
        if not vials:
            if not packaged:
                self.errors.add("vials.missing")
        else:
            if accounted > labelled:
                self.errors.add("vials.exceeded")
            if single_dose and accounted < labelled:
                self.errors.add("waste.unaccounted")
            if single_dose and labelled - min(vials) >= max(ordered, administered):
                self.errors.add("vials.more_than_needed")
        given_units = whole_units_up(administered, row.unit)
        room = max(whole_units_down(labelled, row.unit) - given_units, 0)
        discarded_units = min(whole_units_down(billable, row.unit), room)
        several_doses_too = self.value("billable_discard_containers", drug) == "all"
        if packaged or (not single_dose and (True in kinds or not several_doses_too or not discarded_units)):
            given = self.milligrams_by_ndc(drug, records, Fraction(0), administered)
            self.add_drug_lines(drug, (), given_units, given)
            return
        self.add_with_discard(drug, records, given_units, discarded_units, administered, billable)

    def milligrams_by_ndc(
        self, drug: str, records: list[Document], after: Fraction, milligrams: Fraction
    ) -> list[Fraction]:
        """What of a stretch of the opened milligrams lies in vials of each NDC, in the order of the record."""
        portions: dict[str, Fraction] = {}
        begin = Fraction(0)
        for record in records:
            for vial in record.get("vials") or []:
                for _ in range(int(vial.get("count", 1))):
                    end = begin + amount(vial["amount"])
                    inside = min(end, after + milligrams) - max(begin, after)
                    known = "50242-0150-01" if drug == "J2350" and amount(vial["amount"]) == 300 else ""
                    if inside > 0:
                        ndc = vial.get("ndc") or known
                        portions[ndc] = portions.get(ndc, Fraction(0)) + inside
                    begin = end
        return list(portions.values())

    def add_drug_lines(self, drug: str, modifiers: tuple[str, ...], units: int, portions: list[Fraction]) -> None:
        """Lines of one drug, one for each NDC if the payer wants that and does not pay a single line a day."""
        apart = [units]
        if self.value("separate_ndc_lines", drug) and len(portions) > 1:
            ends = [sum(portions[: place + 1], Fraction(0)) for place in range(len(portions))]
            counted = [min(units, whole_units_up(end, DRUGS[drug].unit)) for end in ends[:-1]] + [units]
            apart = [after - before for before, after in zip([0, *counted], counted, strict=False)]
        if "JW" not in modifiers and self.value("administered_lines_per_day", drug) == "one":
            apart = [units]
        for part in apart:
            self.add_line(drug, modifiers, part, drug)

    def add_with_discard(
        self,
        drug: str,
        records: list[Document],
        given_units: int,
        discarded_units: int,
        administered: Fraction,
        discard: Fraction,
    ) -> None:
        given = self.milligrams_by_ndc(drug, records, Fraction(0), administered)
        if discarded_units == 0:
            wanted = self.value("zero_discard_modifier", drug) == "required" and self.day >= NO_DISCARD_MODIFIER_FROM
            self.add_drug_lines(drug, ("JZ",) if wanted else (), given_units, given)
            return
        treatment = self.value("discarded_drug", drug)
        if DRUGS[drug].fixed_dose and self.value("billable_discard_drugs", drug) == "variable_dose":
            treatment = "not_billed"
        if self.value("maximum_discarded_units", drug) == "smallest_vial":
            most = whole_units_down(Fraction(DRUGS[drug].smallest), DRUGS[drug].unit)
            if discarded_units > most:
                discarded_units, discard = most, min(discard, Fraction(most * DRUGS[drug].unit))
        if treatment == "combined_line":
            both = self.milligrams_by_ndc(drug, records, Fraction(0), administered + discard)
            self.add_drug_lines(drug, (), given_units + discarded_units, both)
        else:
            self.add_drug_lines(drug, (), given_units, given)
        if treatment == "separate_line":
            wasted = self.milligrams_by_ndc(drug, records, administered, discard)
            self.add_drug_lines(drug, ("JW",), discarded_units, wasted)

    def add_line(self, code: str, modifiers: tuple[str, ...], units: int, drug: str, day: str = "") -> None:
        if drug:
            modifiers += self.price + (self.way if "JW" not in modifiers else ())
        if self.place != ("missing",):
            modifiers += self.place
        longest = self.value("maximum_units_per_line", drug)
        if drug and "JW" not in modifiers and self.value("administered_lines_per_day", drug) == "one":
            longest = None
        while longest and units > longest:
            self.lines.append([code, sorted(modifiers), longest, day])
            units -= longest
        if units:
            self.lines.append([code, sorted(modifiers), units, day])

    # Earlier doses

    def compare_with_earlier_doses(self) -> None:
        today = date.fromisoformat(self.day)
        past = self.document.get("past_doses")
        for drug, row in DRUGS.items():
            mine = [record for record in self.records if record.get("drug") == drug and record["route"] != "oral"]
            mine = [record for record in mine if record.get("acquired") != "supplied"]
            if not mine:
                continue
            units = whole_units_up(sum((amount(record["administered"]) for record in mine), Fraction(0)), row.unit)
            if units > (self.value("maximum_units_per_dose", drug) or 10**9):
                self.told.add("units.above_dose_limit")
            most, days = self.value("maximum_units_per_period", drug), self.value("minimum_days_between_doses", drug)
            if past is None and (most or days):
                self.told.add("dose.history_missing")
            for dose in past or []:
                on = date.fromisoformat(dose["date_of_service"])
                if dose["drug"] != drug or on > today:
                    continue
                if today.toordinal() - on.toordinal() < (days or 0):
                    self.told.add("dose.too_soon")
                if self.still_counted(on, drug):
                    units += whole_units_up(amount(dose["administered"]), row.unit)
            if units > (most or 10**9):
                self.told.add("units.above_period_limit")

    def still_counted(self, on: date, drug: str) -> bool:
        """Whether a dose lies in the payer's stretch of months: its last day is the one before the same day again."""
        year, month = on.year, on.month
        for _ in range(self.value("units_period_months", drug)):
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        day = on.day
        while True:
            try:
                return date(year, month, day).isoformat() > self.day
            except ValueError:
                day -= 1

    # Visits and services

    def count_visit(self, given: list[Given]) -> None:
        if self.setting != "home" or not self.billed_by_visit(given):
            return
        visit = self.document.get("visit") or {}
        start, stop, good = self.period(visit)
        if not visit.get("start") or not visit.get("stop"):
            self.errors.add("visit.missing")
        elif good and start is not None and stop is not None:
            self.codes["99601", (), ""] += 1
            tail = max(self.value("additional_hour_minimum_minutes", drug) for drug in drugs_of_the_visit(given))
            if stop - start > 120:
                self.codes["99602", (), ""] += hours_from_zero(stop - start - 120, tail)

    def count_the_day(self, given: list[Given]) -> None:
        for one in given:
            if self.setting == "home" and one.drug and one.route != "oral":
                code = self.value("home_per_diem", one.drug)
                if code != "none":
                    self.codes[code, (), ""] += self.value("home_per_diem_units", one.drug)
                    return

    def billed_by_visit(self, given: list[Given]) -> bool:
        return any(self.value("home_administration", drug) == "visit" for drug in drugs_of_the_visit(given))

    def count_services(self, given: list[Given], everything: list[Given]) -> None:
        for one in given:
            if one.route in INJECTED:
                self.count("96401" if self.is_complex(one.drug) else "96372", (), one.start, one.drug)
        accesses: list[str] = []
        for one in given:
            if one.route in INTO_A_VEIN and one.access not in accesses:
                accesses.append(one.access)
        initials: list[tuple[tuple[int, int, int, int], Service, list[Service]]] = []
        for access in accesses:
            services = self.services_on(access, given, everything)
            result = self.ranked(services)
            self.errors |= result.errors
            for code, begin, drug in result.add_ons:
                self.count(code, (), begin, drug)
            for minutes, units, drug in result.hours:
                self.look_for_midnight(minutes, units, drug)
            if result.initial is not None:
                initials.append((result.initial.rank(result.primary_first), result.initial, result.concurrent))
        initials.sort(key=lambda triple: triple[0])
        for beside in [one for _, _, concurrent in initials for one in concurrent][:1]:
            self.count("96368", (), min(beside.minutes), beside.drug)
        for place, (_, service, _) in enumerate(initials):
            modifier = (str(self.value("distinct_site_modifier", service.drug)),) if place else ()
            begin = service.start if service.kind == "push" else min(service.minutes)
            self.count(initial_code(service), modifier, begin, service.drug)

    def local_day(self, minute: int) -> str:
        return datetime.fromtimestamp(minute * 60, UTC).astimezone(self.zone).date().isoformat()

    def count(self, code: str, modifiers: tuple[str, ...], begin: int | None, drug: str) -> None:
        """One unit, on its own day if the payer wants that and it began on another one."""
        day = self.local_day(begin) if begin is not None else self.day
        by_day = self.value("infusion_past_midnight", drug) == "per_day"
        self.codes[code, modifiers, day if by_day and day != self.day else ""] += 1

    def look_for_midnight(self, minutes: list[int], units: int, drug: str) -> None:
        for hour in range(units):
            inside = minutes[60 * hour : 60 * hour + 60]
            cut = self.local_day(inside[0]) != self.local_day(inside[-1])
            if cut and self.value("infusion_past_midnight", drug) == "per_day":
                self.told.add("time.hour_over_midnight")

    def services_on(self, access: str, given: list[Given], everything: list[Given]) -> list[Service]:
        here = [one for one in given if one.access == access]
        infusions, pushes = self.infusions_and_pushes(here)
        for drug in {push.drug for push in pushes}:
            beside = any(infusion.drug == drug for infusion in infusions)
            self.settle_repeats([push for push in pushes if push.drug == drug], beside)
        infusing: set[int] = set()
        for infusion in [*infusions, *pushes]:
            infusing |= infusion.between_bags
        for one in everything:
            if one.route == "iv_infusion" and one.access == access and one.usable:
                infusing |= one.running
        hydration: set[int] = set()
        records = [one for one in here if one.route == "hydration" and one.record.get("purpose") == "ordered"]
        for one in records:
            hydration |= one.running - infusing
        services = infusions + [push for push in pushes if not push.repeat]
        if hydration and len(hydration) >= self.value("hydration_minimum_minutes", ""):
            primary = any(one.record.get("primary") for one in records)
            services.append(Service("hydration", "", False, hydration, records[0].index, primary))
        return services

    def infusions_and_pushes(self, here: list[Given]) -> tuple[list[Service], list[Service]]:
        pushes = [self.service("push", [one]) for one in here if one.route == "iv_push"]
        infusions: list[Service] = []
        groups: dict[tuple[str, str], list[Given]] = {}
        for one in here:
            if one.route == "iv_infusion":
                groups.setdefault((one.drug, one.record.get("order") or ""), []).append(one)
        for (drug, _), members in groups.items():
            service = self.service("infusion", members)
            service.between_bags = self.changes_of_bags(members, [one for one in here if one not in members])
            service.minutes |= service.between_bags
            if len(service.minutes) < self.value("infusion_minimum_minutes", drug):
                service.kind = "push"
                pushes.append(service)
            else:
                infusions.append(service)
        for infusion in infusions:
            for other in infusions:
                if other.drug == infusion.drug and (other.start, other.index) < (infusion.start, infusion.index):
                    infusion.repeat = True
        return infusions, pushes

    def changes_of_bags(self, bags: list[Given], others: list[Given]) -> set[int]:
        """Minutes outside every bag that the payer counts: short stretches with the drug running on either side."""
        hung: set[int] = set()
        running: set[int] = set()
        for bag in bags:
            if bag.start is not None and bag.stop is not None:
                hung |= set(range(bag.start, bag.stop))
                running |= bag.running
        elsewhere = {minute for one in others if one.route == "iv_infusion" for minute in one.running}
        longest = self.value("bag_change_minutes", bags[0].drug)
        found: set[int] = set()
        stretch: list[int] = []
        for minute in range(min(hung, default=0), max(hung, default=-1) + 1):
            if minute not in hung:
                stretch.append(minute)
                continue
            if 0 < len(stretch) <= longest and stretch[0] - 1 in running and minute in running:
                found |= set() if elsewhere & set(stretch) else set(stretch)
            stretch = []
        return found

    def service(self, kind: str, members: list[Given]) -> Service:
        minutes: set[int] = set()
        for one in members:
            minutes |= one.running
        starts = [one.start for one in members if one.start is not None]
        primary = any(one.record.get("primary") for one in members)
        start = min(starts) if starts else None
        drug = members[0].drug
        return Service(kind, drug, self.is_complex(drug), minutes, members[0].index, primary, start)

    def settle_repeats(self, pushes: list[Service], beside_own_infusion: bool) -> None:
        """Mark the pushes of one drug that are not its first, and report those a hospital may."""
        pushes.sort(key=lambda push: push.index)
        if all(push.start is not None for push in pushes):
            pushes.sort(key=lambda push: push.start or 0)
        before: Service | None = None
        for push in pushes:
            if before is not None or beside_own_infusion:
                push.repeat = True
                timed = push.start is not None
                if before is not None:
                    timed = timed and before.start is not None and (push.start or 0) - before.start > 30
                if timed and self.setting == "hospital_outpatient":
                    self.count("96376", (), push.start, push.drug)
            before = push

    # Hierarchy on one access

    def ranked(self, services: list[Service]) -> Ranked:
        if self.setting == "office" and any(service.primary for service in services):
            result = self.rank(services, True)
            present = {code for code, _, _ in result.add_ons} | ({"96368"} if result.concurrent else set())
            if result.initial is not None:
                present.add(initial_code(result.initial))
            if not result.errors and all(PARENTS[code] & present for code in present if code in PARENTS):
                return result
        return self.rank(services, False)

    def rank(self, services: list[Service], primary_first: bool) -> Ranked:
        result = Ranked(primary_first)
        candidates = [service for service in services if not service.repeat]
        if not candidates:
            return result
        initial = min(candidates, key=lambda service: service.rank(primary_first))
        result.initial = initial
        in_order = sorted(services, key=lambda service: (service is not initial, service.rank(primary_first)))
        taken: set[int] = set()
        for service in in_order:
            if service.kind == "infusion":
                left = service.minutes - taken
                taken |= service.minutes
                self.count_infusion(service, sorted(left), result)
            elif service.kind == "push" and service is not initial:
                result.add_ons.append(("96411" if service.complex else "96375", service.start, service.drug))
            elif service.kind == "hydration":
                tail = self.value("additional_hour_minimum_minutes", "")
                hours = hours_after_the_first(len(service.minutes), tail)
                result.add("96361", sorted(service.minutes), int(service is initial), hours + 1, "")
        return result

    def count_infusion(self, service: Service, left: list[int], result: Ranked) -> None:
        minutes = len(left)
        tail = self.value("additional_hour_minimum_minutes", service.drug)
        hour_code = "96415" if service.complex else "96366"
        if service is result.initial:
            result.add(hour_code, left, 1, 1 + hours_after_the_first(minutes, tail), service.drug)
        elif service.repeat:
            if minutes >= 31:
                result.add(hour_code, left, 0, hours_from_zero(minutes, tail), service.drug)
        elif minutes >= self.value("infusion_minimum_minutes", service.drug):
            result.add_ons.append(("96417" if service.complex else "96367", left[0], service.drug))
            result.add(hour_code, left, 1, 1 + hours_after_the_first(minutes, tail), service.drug)
        elif service.complex:
            result.errors.add("time.concurrent_complex")
        elif len(service.minutes) - minutes >= self.value("concurrent_minimum_minutes", service.drug):
            result.concurrent.append(service)


@dataclass
class Ranked:
    primary_first: bool
    initial: Service | None = None
    add_ons: list[tuple[str, int | None, str]] = field(default_factory=list)
    errors: set[str] = field(default_factory=set)
    concurrent: list[Service] = field(default_factory=list)
    hours: list[tuple[list[int], int, str]] = field(default_factory=list)

    def add(self, code: str, minutes: list[int], first_hour: int, hours: int, drug: str) -> None:
        """Further hours of a service, from the given hour on; the hours before are in another code."""
        self.hours.append((minutes, hours, drug))
        self.add_ons += [(code, minutes[60 * hour], drug) for hour in range(first_hour, hours)]


def initial_code(service: Service) -> str:
    return {
        ("infusion", True): "96413",
        ("push", True): "96409",
        ("infusion", False): "96365",
        ("push", False): "96374",
        ("hydration", False): "96360",
    }[service.kind, service.complex]
