"""Made-up encounters for comparing two readings of the rules, crowded round every boundary.

`encounters(seed, count)` always gives the same documents for the same seed. About seven in ten are meant to be
complete; the others are spoilt in one way that a finding code names. All times are whole minutes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

Document = dict[str, Any]

VIAL_SIZES = {
    "J2350": ["300"],
    "J2351": ["920"],
    "J2919": ["40", "125", "500", "1000"],
    "J2930": ["125"],
    "J1200": ["50"],
    "J1745": ["100"],
    "J9312": ["100", "500"],
    "J2323": ["300"],
    "J3380": ["300"],
}
ODD_SIZES = ["12", "62.5", "99.5", "33.3"]
DOSES = {
    "J2350": ["300", "600", "280", "280.4", "299.5", "580", "0.4", "301"],
    "J2351": ["920", "900", "919.5"],
    "J2919": ["40", "100", "125", "1000", "62.5", "123", "0.5", "250", "37.5"],
    "J2930": ["125", "100", "40", "250", "125.5"],
    "J1200": ["50", "25", "12.5", "49.9", "50.1", "100"],
    "J1745": ["305", "400", "297", "300", "350", "7", "391", "410.1"],
    "J9312": ["500", "700", "735", "712.5", "1000", "95", "601"],
    "J2323": ["300", "290", "299.9"],
    "J3380": ["300", "150", "299.2"],
}
INFUSED = ["J2350", "J1745", "J9312", "J2323", "J3380", "J2919", "J1200"]
PUSHED = ["J2919", "J1200", "J2930"]

EDGES = [1, 14, 15, 16, 17, 29, 30, 31, 32, 59, 60, 61, 89, 90, 91, 92, 119, 120, 121, 150, 151, 180, 210, 211, 271]
GAPS = [0, 0, 0, 1, 3, 5, 10, 15, 16, 29, 30, 31, 32, 60, 91]
ORDINARY_DAYS = ["2026-03-10", "2026-07-15", "2025-11-20", "2024-12-02", "2025-06-01", "2024-06-05"]
EDGE_DAYS = [
    *("2023-06-30", "2023-07-01", "2024-03-31", "2024-04-01", "2025-03-31", "2025-04-01"),
    *("2025-09-30", "2025-10-01", "2023-06-29", "2023-07-02"),
]
CLOCK_CHANGE_DAYS = ["2025-11-01", "2025-11-02", "2026-03-07", "2026-03-08", "2026-10-31", "2026-11-01"]
ZONES = ["America/New_York"] * 5 + ["America/Chicago", "America/Los_Angeles", "America/Phoenix", "Pacific/Honolulu"]
DISCARD_REASONS = [
    "vial_remainder",
    "stopped_early",
    "line_residual",
    "overfill",
    "broken_or_spilled",
    "prepared_not_given",
]
SPLIT_DIAGNOSES = ["G35.A", "G35.B0", "G35.B1", "G35.B2", "G35.C0", "G35.C1", "G35.C2", "G35.D"]


def encounters(seed: int, count: int) -> Iterator[Document]:
    """`count` documents, the same ones for the same seed."""
    dice = random.Random(seed)
    for number in range(count):
        yield Maker(dice, f"random-{seed}-{number}").document()


class Maker:
    """One encounter on its way to being written down."""

    def __init__(self, dice: random.Random, name: str) -> None:
        self.dice = dice
        self.name = name
        self.zone_name = dice.choice(ZONES)
        self.zone = ZoneInfo(self.zone_name)
        self.setting = dice.choices(["office", "hospital_outpatient", "home"], [5, 4, 2])[0]
        days = dice.choices([ORDINARY_DAYS, EDGE_DAYS, CLOCK_CHANGE_DAYS], [6, 3, 1])[0]
        self.day = dice.choice(days)
        self.opened = self.opening()
        self.cursor = self.opened
        self.orders = self.chance(0.25)
        self.second_access = self.chance(0.25)
        self.reason_for_second = self.chance(0.7)
        self.buys_340b = self.chance(0.7)
        self.records: list[Document] = []

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def opening(self) -> datetime:
        """When the first thing starts: by day, or close to the hour the clocks change, or before midnight."""
        hour, minute = self.dice.choice([(9, 0), (8, 30), (9, 30), (13, 0)])
        if self.day in CLOCK_CHANGE_DAYS:
            hour, minute = self.dice.choice([(0, 30), (0, 0), (23, 15), (1, 0), (22, 0)])
        elif self.chance(0.06):
            hour, minute = self.dice.choice([(22, 30), (23, 30), (23, 59), (0, 0)])
        wall = datetime.fromisoformat(self.day).replace(hour=hour, minute=minute, tzinfo=self.zone)
        return wall.astimezone(UTC)

    def document(self) -> Document:
        for _ in range(self.dice.choices([1, 2, 3, 4, 5], [3, 4, 4, 2, 2])[0]):
            self.records.append(self.administration())
        for number, record in enumerate(self.records, start=1):
            record["id"] = f"a{number}"
        self.choose_accesses()
        self.open_vials()
        document: Document = {
            "id": self.name,
            "time_zone": self.zone_name,
            "setting": self.setting,
            "diagnoses": self.diagnoses(),
            "administrations": self.records,
        }
        if self.setting == "home" and not self.chance(0.02):
            document["visit"] = self.visit()
        if not any(record.get("start") for record in self.records) or self.chance(0.1):
            document["date_of_service"] = self.day_of_first_start()
        if self.setting == "hospital_outpatient" and self.chance(0.7):
            places = ["on_campus", "off_campus_excepted", "off_campus_not_excepted"]
            document["hospital_department"] = self.dice.choice(places)
        if self.buys_340b and self.chance(0.7):
            for record in self.records:
                if "drug" in record and record["route"] != "oral" and record.get("acquired") != "supplied":
                    record["bought_340b"] = True
        if self.chance(0.3):
            document["past_doses"] = self.past_doses()
        if self.chance(0.55):
            document["policy"] = self.policy()
        if self.chance(0.3):
            self.spoil(document)
        return document

    # Times

    def stamp(self, instant: datetime) -> str:
        """As a nurse writes it: wall clock, with an offset where the clock alone would not say."""
        wall = instant.astimezone(self.zone)
        text = wall.isoformat(timespec="minutes")
        bare = wall.replace(tzinfo=None)
        twice = bare.replace(tzinfo=self.zone, fold=0).utcoffset() != bare.replace(tzinfo=self.zone, fold=1).utcoffset()
        if (twice and not self.chance(0.1)) or self.chance(0.03):
            return text
        return bare.isoformat(timespec="minutes")

    def length(self) -> int:
        if self.chance(0.85):
            return self.dice.choice(EDGES)
        return self.dice.choice([self.dice.randint(1, 400), self.dice.randint(401, 1300)])

    def place(self, record: Document) -> None:
        """Give a record start, stop and pauses: in sequence as a rule, across another one at times."""
        running = self.length()
        if record["route"] == "iv_infusion" and self.chance(0.2):
            running = self.dice.choice([15, 16])
        pauses = self.pauses(running)
        stopped = sum(last - first for first, last in merged(pauses))
        start = self.cursor + timedelta(minutes=self.dice.choice(GAPS))
        if self.chance(0.3):
            start = self.opened + timedelta(minutes=self.dice.choice([0, 0, 1, 15, 16, 30, 31, 60, 75, -30, -60]))
        stop = start + timedelta(minutes=running + stopped)
        if pauses:
            record["pauses"] = []
        for first, last in pauses:
            edges = [self.stamp(start + timedelta(minutes=minute)) for minute in (first, last)]
            record["pauses"].append({"start": edges[0], "stop": edges[1]})
        record["start"], record["stop"] = self.stamp(start), self.stamp(stop)
        self.cursor = max(self.cursor, stop)

    def pauses(self, running: int) -> list[tuple[int, int]]:
        """Minutes after the start, laid so that exactly `running` minutes are left."""
        if not self.chance(0.25):
            return []
        first = self.dice.choice([0, running, self.dice.randint(0, running)])
        last = first + self.dice.choice([1, 5, 20, 30, 31])
        found = [(first, last)]
        if self.chance(0.35):
            overlapping = self.dice.randint(first, last)
            found.append((overlapping, overlapping + self.dice.choice([1, 5, 15])))
        if self.chance(0.15):
            found.append((first, last))
        self.dice.shuffle(found)
        return found

    def day_of_first_start(self) -> str:
        starts = []
        for record in self.records:
            if record.get("start"):
                moment = datetime.fromisoformat(record["start"])
                starts.append(moment if moment.tzinfo else moment.replace(tzinfo=self.zone))
        if not starts:
            return self.day
        return min(start.astimezone(UTC) for start in starts).astimezone(self.zone).date().isoformat()

    def visit(self) -> Document:
        minutes = self.dice.choice([30, 60, 119, 120, 121, 150, 151, 179, 180, 181, 210, 211, 240, 270, 271, 301, 500])
        start = self.opened - timedelta(minutes=self.dice.choice([0, 15, 30]))
        return {"start": self.stamp(start), "stop": self.stamp(start + timedelta(minutes=minutes))}

    def past_doses(self) -> list[Document]:
        """Earlier doses of what is given here, about as long ago as a payer may ask for."""
        drugs = [record["drug"] for record in self.records if record.get("drug") in DOSES] or ["J2350"]
        today = date.fromisoformat(self.day)
        found = []
        for _ in range(self.dice.choice([0, 1, 1, 2, 3])):
            drug = self.dice.choice(drugs)
            days = self.dice.choice([-1, 0, 1, 13, 14, 15, 27, 28, 29, 30, 31, 150, 167, 168, 169, 180, 184, 365])
            on = today - timedelta(days=days)
            if self.chance(0.4):
                months = self.dice.choice([1, 5, 6, 12])
                month = today.year * 12 + today.month - 1 - months
                on = date(month // 12, month % 12 + 1, min(today.day, 28)) + timedelta(
                    days=self.dice.choice([-1, 0, 1])
                )
            found.append(
                {"date_of_service": on.isoformat(), "drug": drug, "administered": self.dice.choice(DOSES[drug])}
            )
        return found

    # Administrations

    def administration(self) -> Document:
        kinds: list[tuple[Callable[[], Document], int]] = [
            (self.infusion, 10),
            (self.next_bag, 4),
            (self.push, 5),
            (self.push_again, 3),
            (self.hydration, 3),
            (self.injection, 2),
            (self.oral, 1),
        ]
        makers, weights = zip(*kinds, strict=True)
        record: Document = self.dice.choices(makers, weights)[0]()
        if self.chance(0.1) and not any("primary" in each for each in self.records):
            record["primary"] = True
        if "drug" in record and record["route"] != "oral" and self.chance(0.05):
            record["acquired"] = "supplied"
        elif "drug" in record and record["route"] != "oral" and self.chance(0.2):
            record["bought_340b"] = self.buys_340b
        return record

    def in_force(self, drug: str) -> str:
        """The code of that day, hardly ever the retired or the future one."""
        if self.chance(0.01):
            return drug
        if drug in ("J2919", "J2930"):
            return "J2919" if self.day >= "2024-04-01" else "J2930"
        if drug == "J2351" and self.day < "2025-04-01":
            return "J2919" if self.day >= "2024-04-01" else "J2930"
        return drug

    def drug_record(self, drug: str, route: str) -> Document:
        record: Document = {"drug": drug, "route": route, "administered": self.dose(drug)}
        if self.orders and self.chance(0.6):
            record["order"] = self.dice.choice(["A", "A", "B"])
        return record

    def dose(self, drug: str) -> Any:
        dose = self.dice.choice(DOSES[drug])
        if self.chance(0.1):
            dose = str(Decimal(self.dice.randint(1, 9000)) / 10)
        return int(dose) if "." not in dose and self.chance(0.05) else dose

    def infusion(self) -> Document:
        record = self.drug_record(self.in_force(self.dice.choice(INFUSED)), "iv_infusion")
        self.place(record)
        return record

    def next_bag(self) -> Document:
        before = [record for record in self.records if record["route"] == "iv_infusion"]
        if not before:
            return self.infusion()
        last = self.dice.choice([before[-1], self.dice.choice(before)])
        record = self.drug_record(last["drug"], "iv_infusion")
        if "order" in last and self.chance(0.7):
            record["order"] = last["order"]
        elif "order" not in last and self.chance(0.7):
            record.pop("order", None)
        self.place(record)
        return record

    def push(self) -> Document:
        record = self.drug_record(self.in_force(self.dice.choice(PUSHED)), "iv_push")
        if self.chance(0.6):
            start = self.cursor + timedelta(minutes=self.dice.choice([0, 5, 29, 30, 31, 32, -20, -60]))
            record["start"] = self.stamp(start)
            if self.chance(0.15):
                record["stop"] = self.stamp(start + timedelta(minutes=self.dice.choice([1, 2, 5])))
        return record

    def push_again(self) -> Document:
        """The drug of an earlier push or infusion, pushed about half an hour later."""
        before = [record for record in self.records if record.get("drug") in PUSHED and record["route"] != "oral"]
        if not before:
            return self.push()
        last = before[-1]
        record = self.drug_record(last["drug"], "iv_push")
        if last.get("start") and self.chance(0.9):
            moment = datetime.fromisoformat(last["start"])
            moment = moment if moment.tzinfo else moment.replace(tzinfo=self.zone)
            later = self.dice.choice([29, 30, 31, 31, 32, 61, 0, 10, -31])
            record["start"] = self.stamp(moment.astimezone(UTC) + timedelta(minutes=later))
        return record

    def hydration(self) -> Document:
        record: Document = {"route": "hydration"}
        record["purpose"] = self.dice.choices(["ordered", "keep_open", "diluent"], [6, 1, 1])[0]
        self.place(record)
        return record

    def injection(self) -> Document:
        drug, route = self.dice.choice(
            [("J2351", "subcutaneous"), ("J2919", "intramuscular"), ("J1200", "intramuscular")],
        )
        drug = self.in_force(drug)
        if drug in ("J2919", "J2930"):
            route = "intramuscular"
        record = self.drug_record(drug, route)
        if self.chance(0.3):
            record["start"] = self.stamp(self.cursor)
        return record

    def oral(self) -> Document:
        drug = self.dice.choice(["acetaminophen", "diphenhydramine 25 mg", "J1200"])
        return {"drug": drug, "route": "oral", "administered": self.dice.choice(["650", "25", "50"])}

    def choose_accesses(self) -> None:
        if not self.second_access:
            if self.chance(0.1):
                for record in self.records:
                    record["access"] = "1"
            return
        names = self.dice.choice([["1", "2"], ["1", "2"], ["2", "1"], ["1", "2", "3"], ["left", "right"]])
        for record in self.records:
            if record["route"] not in ("iv_infusion", "iv_push", "hydration"):
                continue
            record["access"] = self.dice.choice(names)
            if record["access"] != names[0] and self.reason_for_second and self.chance(0.8):
                record["access_reason"] = "drugs incompatible in one line"

    # Vials and discards, so that they add up code by code

    def open_vials(self) -> None:
        for drug in VIAL_SIZES:
            bought = [
                record
                for record in self.records
                if record.get("drug") == drug and record["route"] != "oral" and record.get("acquired") != "supplied"
            ]
            packaged = drug in PUSHED and self.setting == "hospital_outpatient"
            if bought and not (packaged and self.chance(0.5)):
                self.open_vials_of(drug, bought)
            for record in self.records:
                if record.get("drug") == drug and record.get("acquired") == "supplied" and self.chance(0.3):
                    record["vials"] = [{"amount": VIAL_SIZES[drug][0], "count": 1}]

    def open_vials_of(self, drug: str, bought: list[Document]) -> None:
        given = sum((Decimal(str(record["administered"])) for record in bought), Decimal(0))
        needed = given
        if self.chance(0.12):
            extra = Decimal(self.dice.choice(["20", "100", "0.5", "300", "-10"]))
            target = self.dice.choice(bought)
            ordered = Decimal(str(target["administered"])) + extra
            if ordered > 0:
                target["ordered"] = str(ordered)
                needed = max(given, given + extra)
        vials = self.vials_for(drug, needed)
        multiple_dose = self.chance(0.04)
        for vial in vials:
            holder = self.dice.choice([bought[0], self.dice.choice(bought)])
            entry: Document = {"amount": str(vial), "count": 1}
            if multiple_dose:
                entry["single_dose"] = False
            elif self.chance(0.1):
                entry["single_dose"] = True
            if drug == "J2350" and self.chance(0.2):
                entry["ndc"] = "50242-0150-01"
            elif drug in ("J1745", "J9312") and self.chance(0.5):
                entry["ndc"] = self.dice.choice(["11111-1111-11", "22222-2222-22"])
            self.put_vial(holder, entry)
        left = sum(vials, Decimal(0)) - given
        if multiple_dose and self.chance(0.7):
            left = Decimal(0)
        self.discard(bought, left)
        if self.chance(0.04):
            self.dice.choice(bought).setdefault("discards", []).append({"amount": "5", "reason": "overfill"})

    def vials_for(self, drug: str, needed: Decimal) -> list[Decimal]:
        """A set of vials in which not even the smallest could have stayed closed."""
        sizes = [Decimal(size) for size in VIAL_SIZES[drug]]
        if self.chance(0.02):
            sizes = [Decimal(self.dice.choice(ODD_SIZES))] + sizes
        # The largest alone when the dose is big, so that nobody opens fifty small vials.
        fitting = [size for size in sizes if size * 30 >= needed] or [max(sizes)]
        vials: list[Decimal] = []
        while sum(vials) < needed:
            vials.append(self.dice.choice(fitting))
        vials.sort(reverse=True)
        while sum(vials[:-1]) >= needed:
            vials.pop()
        return vials

    def put_vial(self, holder: Document, entry: Document) -> None:
        entries = holder.setdefault("vials", [])
        for other in entries:
            if {**other, "count": 1} == entry and self.chance(0.8):
                other["count"] += 1
                return
        entries.append(entry)

    def discard(self, bought: list[Document], left: Decimal) -> None:
        while left > 0:
            part = left
            if self.chance(0.25):
                part = min(left, Decimal(self.dice.choice(["0.4", "1", "4.9", "10", "20", "25"])))
            reason = self.dice.choices(DISCARD_REASONS, [12, 3, 2, 0, 1, 1])[0]
            discards = self.dice.choice(bought).setdefault("discards", [])
            discards.append({"amount": str(part), "reason": reason})
            left -= part

    # Diagnoses and policies

    def diagnoses(self) -> list[str]:
        if self.chance(0.4):
            return []
        found = ["G35"] if self.day < "2025-10-01" else [self.dice.choice(SPLIT_DIAGNOSES)]
        if self.chance(0.2):
            found.append(self.dice.choice(["M06.9", "K50.90", "Z51.11"]))
        return found

    def policy(self) -> Document:
        policy: Document = {}
        used = [record["drug"] for record in self.records if record.get("drug") in VIAL_SIZES] or ["J2350"]
        for _ in range(self.dice.choices([1, 2, 3, 4], [4, 4, 2, 1])[0]):
            scope = policy
            kind = self.dice.choice(["all", "all", "setting", "drug", "drug and setting"])
            if kind.startswith("drug"):
                drug = self.dice.choice(used + [self.dice.choice(sorted(VIAL_SIZES))])
                scope = scope.setdefault("drugs", {}).setdefault(drug, {})
            if kind.endswith("setting"):
                other = self.dice.choice(["office", "hospital_outpatient", "home"])
                setting = self.setting if self.chance(0.8) else other
                scope = scope.setdefault("settings", {}).setdefault(setting, {})
            for _ in range(self.dice.choice([1, 1, 2, 3])):
                name, value = self.override()
                scope[name] = value
        return policy

    def override(self) -> tuple[str, Any]:
        choices: dict[str, list[Any]] = {
            "additional_hour_minimum_minutes": [1, 15, 30, 31, 45, 60],
            "administration_family": ["complex", "complex", "complex", "therapeutic"],
            "infusion_minimum_minutes": [15, 16, 17, 31],
            "hydration_minimum_minutes": [16, 30, 31, 32, 60],
            "missing_stop_time": ["hold", "push", "push"],
            "discarded_drug": ["separate_line", "combined_line", "not_billed"],
            "zero_discard_modifier": ["required", "not_used"],
            "billable_discard_reasons": self.discard_reasons(),
            "supplied_drug_line": ["none", "nominal_charge", "nominal_charge"],
            "distinct_site_modifier": ["59", "XS", "XE", "XU"],
            "home_administration": ["visit", "infusion", "infusion"],
            "administration_paid": [True, False],
            "maximum_units_per_line": [None, 60, 99, 200, 400, 999],
        }
        rarely: dict[str, list[Any]] = {
            "bag_change_minutes": [0, 1, 5, 10, 15, 30],
            "concurrent_minimum_minutes": [0, 15, 16, 17, 31],
            "billable_discard_drugs": ["all", "variable_dose"],
            "billable_discard_containers": ["single_dose", "all"],
            "maximum_discarded_units": ["none", "smallest_vial"],
            "separate_ndc_lines": [True, True, False],
            "administered_lines_per_day": ["any", "one", "one_paid"],
            "modifier_340b": ["none", "by_date", "by_date", "TB", "JG", "UD", "U8"],
            "off_campus_modifier": ["not_used", "required", "required"],
            "route_modifier": ["not_used", "required", "required"],
            "infusion_past_midnight": ["start_date", "per_day", "per_day", "per_day"],
            "home_per_diem": ["none", "S9379", "S9379"],
            "home_per_diem_units": [1, 2, 3],
            "maximum_units_per_dose": [None, 1, 20, 280, 299, 300, 600],
            "maximum_units_per_period": [None, 20, 299, 300, 580, 600, 900],
            "units_period_months": [1, 5, 6, 12],
            "minimum_days_between_doses": [None, 1, 14, 28, 168],
        }
        often = ["administration_family", "administration_family", "additional_hour_minimum_minutes"]
        name = self.dice.choice(list(rarely) if self.chance(0.35) else list(choices) + often)
        return name, self.dice.choice((choices | rarely)[name])

    def discard_reasons(self) -> list[list[str]]:
        return [
            ["vial_remainder"],
            ["vial_remainder", "stopped_early", "line_residual"],
            ["vial_remainder", "overfill"],
            [],
            self.dice.sample(DISCARD_REASONS, 3),
        ]

    # One thing wrong

    def spoil(self, document: Document) -> None:
        """Break one thing a finding names; where the encounter has nothing of the kind, leave it whole."""
        ways = [
            self.lose_a_time,
            self.turn_a_time_round,
            self.run_too_long,
            self.spoil_a_pause,
            self.pause_throughout,
            self.meet_the_clock_change,
            self.lose_the_purpose,
            self.lose_the_visit,
            self.spoil_the_vials,
            self.spoil_the_amounts,
            self.spoil_the_drug,
            self.spoil_the_diagnosis,
        ]
        self.dice.choice(ways)(document)

    def one_of(self, *routes: str) -> Document | None:
        found = [record for record in self.records if record["route"] in routes]
        return self.dice.choice(found) if found else None

    def lose_a_time(self, document: Document) -> None:
        record = self.one_of("iv_infusion", "hydration")
        if record is None:
            return
        self.keep_the_day(document)
        losing = [record]
        if self.chance(0.4):
            losing = [one for one in self.records if one["route"] == "iv_infusion"]
        for one in losing:
            for name in self.dice.choice([["stop"], ["stop"], ["stop"], ["start"], ["start", "stop"]]):
                if self.chance(0.5):
                    one.pop(name, None)
                else:
                    one[name] = None
            one.pop("pauses", None)
        if self.chance(0.5):
            document.setdefault("policy", {})["missing_stop_time"] = "push"

    def keep_the_day(self, document: Document) -> None:
        document["date_of_service"] = self.day_of_first_start()

    def turn_a_time_round(self, document: Document) -> None:
        record = self.one_of("iv_infusion", "hydration")
        if record is not None:
            record.pop("pauses", None)
            record["stop"] = self.dice.choice([record["start"], self.stamp(self.opened - timedelta(hours=3))])

    def run_too_long(self, document: Document) -> None:
        record = self.one_of("iv_infusion", "hydration")
        if record is None:
            return
        minutes = self.dice.choice([1439, 1440, 1441, 1500])
        if record["route"] == "hydration":
            record["purpose"] = "ordered"
        record["start"], record["stop"] = self.stamp(self.opened), self.stamp(self.opened + timedelta(minutes=minutes))
        record.pop("pauses", None)

    def spoil_a_pause(self, document: Document) -> None:
        record = self.one_of("iv_infusion", "hydration")
        if record is None:
            return
        start = datetime.fromisoformat(record["start"])
        start = (start if start.tzinfo else start.replace(tzinfo=self.zone)).astimezone(UTC)
        before, after = self.stamp(start - timedelta(minutes=1)), self.stamp(start + timedelta(minutes=1))
        record.setdefault("pauses", []).append(
            self.dice.choice(
                [
                    {"start": before, "stop": after},
                    {"start": after, "stop": after},
                    {"start": after, "stop": before},
                    {"start": record["stop"], "stop": self.stamp(start + timedelta(days=1, minutes=1))},
                    {"start": after, "stop": None},
                    {"start": after},
                ]
            )
        )

    def pause_throughout(self, document: Document) -> None:
        record = self.one_of("iv_infusion", "hydration")
        if record is not None:
            record["pauses"] = [{"start": record["start"], "stop": record["stop"]}]
            if record["route"] == "hydration":
                record["purpose"] = "ordered"

    def meet_the_clock_change(self, document: Document) -> None:
        """A wall time that happens twice, or never, with no offset: New York's nights, whatever the zone was."""
        record = self.one_of("iv_infusion")
        if record is None or any(other is not record and other.get("start") for other in self.records):
            return
        document["time_zone"] = "America/New_York"
        record.pop("pauses", None)
        record["start"], record["stop"] = self.dice.choice(
            [
                ("2025-11-02T00:45", "2025-11-02T01:30"),
                ("2025-11-02T01:00", "2025-11-02T02:00"),
                ("2025-11-02T00:59", "2025-11-02T02:00"),
                ("2026-03-08T02:30", "2026-03-08T04:00"),
                ("2026-03-08T01:59", "2026-03-08T02:59"),
                ("2026-03-08T01:59", "2026-03-08T03:00"),
            ]
        )
        document["diagnoses"] = []
        document["date_of_service"] = record["start"][:10]

    def lose_the_purpose(self, document: Document) -> None:
        record = self.one_of("hydration")
        if record is not None:
            record.pop("purpose")

    def lose_the_visit(self, document: Document) -> None:
        if self.chance(0.5):
            document.pop("visit", None)
        elif "visit" in document:
            document["visit"].pop(self.dice.choice(["start", "stop"]))

    def spoil_the_vials(self, document: Document) -> None:
        holders = [record for record in self.records if record.get("vials")]
        if not holders:
            return
        record = self.dice.choice(holders)
        how = self.dice.choice(["none", "fewer", "more", "more and discarded", "bigger"])
        if how == "none":
            for other in self.records:
                if other.get("drug") == record["drug"]:
                    other.pop("vials", None)
        elif how == "fewer":
            record["vials"].pop()
        elif how == "bigger":
            record["vials"][0]["amount"] = str(Decimal(record["vials"][0]["amount"]) * 2)
        else:
            extra = record["vials"][0]["amount"]
            record["vials"].append({"amount": extra, "count": 1})
            if how == "more and discarded":
                reason = self.dice.choice(["vial_remainder", "prepared_not_given"])
                record.setdefault("discards", []).append({"amount": extra, "reason": reason})

    def spoil_the_amounts(self, document: Document) -> None:
        given = [record for record in self.records if "drug" in record and record["route"] != "oral"]
        if not given:
            return
        record = self.dice.choice(given)
        how = self.dice.choice(["zero", "negative", "negative discard", "negative vial", "more", "less", "lost"])
        dose = Decimal(str(record["administered"]))
        if how == "zero":
            for other in self.records:
                if other.get("drug") == record["drug"] and other["route"] != "oral":
                    other["administered"] = "0"
        elif how == "negative":
            record["administered"] = str(-dose)
        elif how == "negative discard":
            record.setdefault("discards", []).append({"amount": "-1", "reason": "vial_remainder"})
        elif how == "negative vial" and record.get("vials"):
            record["vials"][0]["amount"] = "-100"
        elif how == "more":
            record["administered"] = str(dose + Decimal("0.1"))
        elif how == "less":
            record["administered"] = str(max(dose - Decimal("0.1"), Decimal("0.1")))
        elif how == "lost":
            record.pop("discards", None)

    def spoil_the_drug(self, document: Document) -> None:
        given = [record for record in self.records if "drug" in record and record["route"] != "oral"]
        if not given:
            return
        record = self.dice.choice(given)
        how = self.dice.choice(["unknown", "route", "retired", "early"])
        if how == "unknown":
            record["drug"] = "J0000"
        elif how == "route" and record["drug"] not in PUSHED:
            record["route"] = "intramuscular"
        elif how == "route":
            record["route"] = "subcutaneous"
        elif how == "retired" and record["drug"] in ("J2919", "J2930"):
            for other in self.records:
                if other.get("drug") in ("J2919", "J2930"):
                    other["drug"] = "J2930" if self.day >= "2024-04-01" else "J2919"
        elif how == "early":
            document["date_of_service"] = self.dice.choice(["2024-03-31", "2025-03-31", "2023-06-30"])
            document["diagnoses"] = []

    def spoil_the_diagnosis(self, document: Document) -> None:
        wrong = ["G35.9", "G35.B", "G35.C", "G35.B3"]
        wrong += SPLIT_DIAGNOSES if self.day < "2025-10-01" else ["G35", "G35"]
        document["diagnoses"] = [*document["diagnoses"], self.dice.choice(wrong)]


def merged(periods: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same minutes without overlaps."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(periods):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found
