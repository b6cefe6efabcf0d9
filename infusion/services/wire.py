"""The JSON contract, in and out: documents to facts, statements to documents.

Nothing is guessed and nothing unknown is dropped: a misspelt field could hide a pause or a discard, so it is refused
with its path. Numbers are read exactly.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TypeVar, cast
from zoneinfo import ZoneInfoNotFoundError

from infusion.services.clock import zone_named
from infusion.services.facts import (
    ACQUIRED,
    DEPARTMENTS,
    PURPOSES,
    ROUTES,
    Administration,
    Discard,
    Encounter,
    PastDose,
    Pause,
    Vial,
    Visit,
)
from infusion.services.lines import Because, ServiceLine, Statement
from infusion.services.reference import diagnosis_code
from infusion.services.words import plain
from payers.policy import DISCARD_REASONS, SETTINGS, PolicyProblem, Reading, inline_layers

Document = Mapping[str, object]
Item = TypeVar("Item")
Day = TypeVar("Day", bound=date)

TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Of an amount that is within all bounds there is nothing more to ask.
USUAL_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
LARGEST_AMOUNT = Decimal(10) ** 9
MOST_DECIMALS = 6
FIRST_YEAR, LAST_YEAR = 1900, 2999
MOST_VIALS = 999
DEEPEST = 100

ENCOUNTER_FIELDS = frozenset(
    [
        "id",
        "payer",
        "policy",
        "date_of_service",
        "time_zone",
        "setting",
        "diagnoses",
        "visit",
        "administrations",
        "past_doses",
        "hospital_department",
    ]
)
ADMINISTRATION_FIELDS = frozenset(
    [
        "id",
        "drug",
        "route",
        "order",
        "access",
        "access_reason",
        "purpose",
        "primary",
        "acquired",
        "bought_340b",
        "start",
        "stop",
        "pauses",
        "ordered",
        "administered",
        "vials",
        "discards",
    ]
)
PERIOD_FIELDS = frozenset(("start", "stop"))
VIAL_FIELDS = frozenset(("amount", "count", "single_dose", "ndc", "lot", "expires"))
DISCARD_FIELDS = frozenset(("amount", "reason"))
PAST_DOSE_FIELDS = frozenset(("date_of_service", "drug", "administered"))


class Unreadable(Exception):
    """Why a document is not an encounter: (field path, sentence) for each problem."""

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Asked:
    """An encounter together with the rules it is to be read under."""

    encounter: Encounter
    payer: str
    policy: Mapping[str, object]


def decode(text: str | bytes) -> object:
    """JSON with exact numbers. Raises Unreadable for text that is not JSON or repeats a field."""
    try:
        if isinstance(text, str):
            document = json.loads(text, parse_float=_number, parse_constant=_refuse_constant, object_pairs_hook=_once)
        else:
            text = text.decode(json.detect_encoding(text), "surrogatepass")
            document = DECODER.decode(text)
        # What is deeper could be read, and its id perhaps not be written again.
        if text.count("[") + text.count("{") > DEEPEST and _is_deeper(document, DEEPEST):
            raise Unreadable((("", f"This line is nested more than {DEEPEST} deep."),))
        # Half a surrogate pair passes as an escape, and then nothing could be answered: it has no UTF-8.
        if not text.isascii() or "\\u" in text:
            json.dumps(document, ensure_ascii=False, default=str).encode()
    except Unreadable:
        raise
    except UnicodeEncodeError:
        raise Unreadable((("", "A text in this line holds half a character, such as \\ud800 alone."),)) from None
    except (ValueError, RecursionError) as problem:
        raise Unreadable((("", f"This line is not JSON: {problem}."),)) from None
    return cast(object, document)


def _is_deeper(document: object, levels: int) -> bool:
    layer = [document]
    for _ in range(levels):
        inside: list[object] = []
        for each in layer:
            if isinstance(each, dict):
                inside += each.values()
            elif isinstance(each, list):
                inside += each
        layer = inside
    return any(isinstance(each, dict | list) for each in layer)


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text} is beyond any number") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a number")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = _twice(name for name, _ in pairs)[0]
        raise Unreadable(((twice, f"{twice} is given twice."),))
    return table


def _twice(names: Iterable[str]) -> list[str]:
    """Those that stand there more than once, in the order in which they first do."""
    return [name for name, times in Counter(names).items() if times > 1]


DECODER = json.JSONDecoder(parse_float=_number, parse_constant=_refuse_constant, object_pairs_hook=_once)


def parse_encounter(document: object, default_time_zone: str) -> Asked:
    """The encounter of a document. Raises Unreadable naming every field that cannot be read."""
    reader = _Reader([])
    asked = reader.encounter(document, default_time_zone)
    if reader.problems or asked is None:
        raise Unreadable(tuple(reader.problems))
    return asked


@dataclass(slots=True)
class _Reader:
    """Reads fields by path and goes on after a problem, so that all of them are told at once."""

    problems: list[tuple[str, str]]

    def encounter(self, document: object, default_time_zone: str) -> Asked | None:
        table = self.table(document, "", ENCOUNTER_FIELDS)
        if table is None:
            return None
        administrations = self.each(table, "administrations", "", self.administration)
        ids = [each.id for each in administrations]
        if len(set(ids)) != len(ids):
            for twice in sorted(_twice(ids)):
                self.problem("administrations", f"Two administrations have the id {twice}.")
        policy = {} if table.get("policy") is None else table["policy"]
        try:
            if not isinstance(policy, Mapping):
                raise PolicyProblem("", "An object with parameter names is expected here.")
            if policy:
                inline_layers(policy)
        except PolicyProblem as problem:
            self.problem(f"policy.{problem.field}".rstrip("."), problem.message)
            policy = {}
        encounter = Encounter(
            id=self.identity(table),
            time_zone=self.zone(table, default_time_zone),
            setting=self.choice(table, "setting", "", SETTINGS, None),
            date_of_service=self.day(table, "date_of_service", ""),
            diagnoses=tuple(self.each(table, "diagnoses", "", self.diagnosis)),
            visit=self.visit(table),
            administrations=tuple(administrations),
            past_doses=None
            if table.get("past_doses") is None
            else tuple(self.each(table, "past_doses", "", self.past_dose)),
            hospital_department=self.choice(table, "hospital_department", "", DEPARTMENTS, ""),
        )
        return Asked(encounter, self.text(table, "payer", ""), policy)

    def administration(self, item: object, path: str) -> Administration | None:
        table = self.table(item, path, ADMINISTRATION_FIELDS)
        if table is None:
            return None
        position = int(path.rpartition(".")[2])
        return Administration(
            id=self.text(table, "id", path) or f"a{position + 1}",
            route=self.choice(table, "route", path, ROUTES, None),
            drug=_code(self.text(table, "drug", path)),
            order=self.text(table, "order", path),
            access=self.text(table, "access", path) or "1",
            access_reason=self.text(table, "access_reason", path),
            purpose=self.choice(table, "purpose", path, PURPOSES, ""),
            primary=self.flag(table, "primary", path) or False,
            acquired=self.choice(table, "acquired", path, ACQUIRED, "purchased"),
            bought_340b=self.flag(table, "bought_340b", path) or False,
            start=self.moment(table, "start", path),
            stop=self.moment(table, "stop", path),
            pauses=tuple(self.each(table, "pauses", path, self.pause)),
            ordered=self.amount(table, "ordered", path),
            administered=self.amount(table, "administered", path),
            vials=tuple(self.each(table, "vials", path, self.vial)),
            discards=tuple(self.each(table, "discards", path, self.discard)),
        )

    def pause(self, item: object, path: str) -> Pause | None:
        table = self.table(item, path, PERIOD_FIELDS)
        return (
            None
            if table is None
            else Pause(start=self.moment(table, "start", path), stop=self.moment(table, "stop", path))
        )

    def vial(self, item: object, path: str) -> Vial | None:
        table = self.table(item, path, VIAL_FIELDS)
        if table is None:
            return None
        return Vial(
            amount=self.needed_amount(table, path),
            count=self.count(table, path),
            single_dose=self.flag(table, "single_dose", path),
            ndc=self.text(table, "ndc", path),
            lot=self.text(table, "lot", path),
            expires=self.day(table, "expires", path),
        )

    def discard(self, item: object, path: str) -> Discard | None:
        table = self.table(item, path, DISCARD_FIELDS)
        return (
            None
            if table is None
            else Discard(
                amount=self.needed_amount(table, path), reason=self.choice(table, "reason", path, DISCARD_REASONS, None)
            )
        )

    def visit(self, table: Document) -> Visit | None:
        if table.get("visit") is None:
            return None
        inner = self.table(table["visit"], "visit", PERIOD_FIELDS)
        return (
            None
            if inner is None
            else Visit(start=self.moment(inner, "start", "visit"), stop=self.moment(inner, "stop", "visit"))
        )

    def past_dose(self, item: object, path: str) -> PastDose | None:
        table = self.table(item, path, PAST_DOSE_FIELDS)
        if table is None:
            return None
        on = self.day(table, "date_of_service", path)
        drug = _code(self.text(table, "drug", path))
        amount = self.amount(table, "administered", path)
        for name, found in (("date_of_service", on), ("drug", drug), ("administered", amount)):
            if not found and table.get(name) in (None, ""):
                self.problem(_join(path, name), "An earlier dose has a date of service, a drug and milligrams.")
        if amount is not None and amount < 0:
            self.problem(_join(path, "administered"), "An earlier dose cannot be less than nothing.")
        return None if on is None or amount is None else PastDose(on, drug, amount)

    def diagnosis(self, item: object, path: str) -> str | None:
        if not isinstance(item, str):
            self.problem(path, "A diagnosis is a code in quotes, such as G35.A.")
            return None
        if not item.strip():
            self.problem(path, "This diagnosis is empty. Leave it out, or enter its code.")
        return diagnosis_code(item)

    # Single fields --------------------------------------------------------------------------------------------------

    def problem(self, path: str, message: str) -> None:
        self.problems.append((path, message))

    def table(self, item: object, path: str, names: frozenset[str]) -> Document | None:
        if not isinstance(item, Mapping):
            self.problem(path, "An object with named fields is expected here.")
            return None
        if not names.issuperset(item):
            for name in item:
                if name not in names:
                    self.problem(_join(path, str(name)), f"{name} is not a field here.")
        return cast(Document, item)

    def each(self, table: Document, name: str, path: str, read: Callable[[object, str], Item | None]) -> list[Item]:
        items = table.get(name)
        if items is None:
            return []
        if not isinstance(items, Sequence) or isinstance(items, str):
            self.problem(_join(path, name), "A list is expected here.")
            return []
        found = [read(item, _join(path, f"{name}.{position}")) for position, item in enumerate(items)]
        return [item for item in found if item is not None]

    def text(self, table: Document, name: str, path: str) -> str:
        raw = table.get(name)
        if raw is None:
            return ""
        if not isinstance(raw, str):
            self.problem(_join(path, name), "A text in quotes is expected here.")
            return ""
        return raw.strip()

    def identity(self, table: Document) -> str:
        raw = table.get("id")
        return str(raw) if type(raw) is int else self.text(table, "id", "")

    def choice(self, table: Document, name: str, path: str, choices: Mapping[str, str], default: str | None) -> str:
        raw = table.get(name)
        if raw is None and default is not None:
            return default
        if not isinstance(raw, str) or raw not in choices:
            shown = "Nothing" if raw is None else repr(raw)
            self.problem(_join(path, name), f"{shown} is not one of {', '.join(choices)}.")
            return ""
        return raw

    def flag(self, table: Document, name: str, path: str) -> bool | None:
        raw = table.get(name)
        if raw is not None and not isinstance(raw, bool):
            self.problem(_join(path, name), "true or false is expected here.")
            return None
        return raw

    def count(self, table: Document, path: str) -> int:
        raw = table.get("count", 1)
        if isinstance(raw, bool) or not isinstance(raw, int) or abs(raw) > MOST_VIALS:
            self.problem(_join(path, "count"), f"A whole number up to {MOST_VIALS} is expected here.")
            return 1
        return raw

    def amount(self, table: Document, name: str, path: str) -> Decimal | None:
        raw = table.get(name)
        if raw is None:
            return None
        try:
            return exact_amount(raw)
        except ValueError as problem:
            self.problem(_join(path, name), str(problem))
            return None

    def needed_amount(self, table: Document, path: str) -> Decimal:
        amount = self.amount(table, "amount", path)
        if table.get("amount") is None:
            self.problem(_join(path, "amount"), "The milligrams are missing here.")
        return amount or Decimal(0)

    def moment(self, table: Document, name: str, path: str) -> datetime | None:
        raw = table.get(name)
        if raw is None:
            return None
        try:
            if not isinstance(raw, str) or not TIME.fullmatch(raw):
                raise ValueError
            return _in_our_time(datetime.fromisoformat(raw))
        except ValueError:
            self.problem(_join(path, name), f"{raw!r} is not a time such as 2026-03-10T09:00.")
            return None

    def day(self, table: Document, name: str, path: str) -> date | None:
        raw = table.get(name)
        if raw is None:
            return None
        try:
            if not isinstance(raw, str) or not DAY.fullmatch(raw):
                raise ValueError
            return _in_our_time(date.fromisoformat(raw))
        except ValueError:
            self.problem(_join(path, name), f"{raw!r} is not a date such as 2026-03-10.")
            return None

    def zone(self, table: Document, default: str) -> str:
        name = self.text(table, "time_zone", "") or default
        try:
            zone_named(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.problem("time_zone", f"{name!r} is not a time zone such as America/New_York.")
        return name


def exact_amount(raw: object) -> Decimal:
    """Milligrams from a decimal string or an exact number. Raises ValueError with a sentence."""
    if isinstance(raw, str) and USUAL_AMOUNT.fullmatch(raw):
        return Decimal(raw)
    try:
        if isinstance(raw, bool) or not isinstance(raw, str | int | Decimal):
            raise InvalidOperation
        if isinstance(raw, str) and not re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,12})?", raw):
            raise InvalidOperation
        amount = Decimal(raw)
    except InvalidOperation:
        raise ValueError(f"{raw!r} is not an amount such as 600 or 280.4.") from None
    if not amount.is_finite() or abs(amount) >= LARGEST_AMOUNT:
        raise ValueError(f"{raw!r} is beyond any dose.")
    if amount != round(amount, MOST_DECIMALS):
        raise ValueError(f"{raw!r} has more than {MOST_DECIMALS} decimals.")
    return amount


def _in_our_time(day: Day) -> Day:
    """Refuses years so far off that an instant could not be worked out."""
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError
    return day


def _code(text: str) -> str:
    return " ".join(text.upper().split())


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# Out ----------------------------------------------------------------------------------------------------------------


def encounter_document(encounter: Encounter) -> dict[str, object]:
    """An encounter as the contract writes it, every field in its place: the same facts, the same text.

    What came to the contract later stands there only where it was said.
    """
    document: dict[str, object] = {
        "id": encounter.id,
        "date_of_service": encounter.date_of_service and encounter.date_of_service.isoformat(),
        "time_zone": encounter.time_zone,
        "setting": encounter.setting,
        "diagnoses": list(encounter.diagnoses),
        "visit": encounter.visit and _period(encounter.visit),
        "administrations": [_administration(each) for each in encounter.administrations],
    }
    if encounter.past_doses is not None:
        document["past_doses"] = [
            {"date_of_service": dose.on.isoformat(), "drug": dose.drug, "administered": plain(dose.amount)}
            for dose in encounter.past_doses
        ]
    if encounter.hospital_department:
        document["hospital_department"] = encounter.hospital_department
    return document


def _administration(each: Administration) -> dict[str, object]:
    document: dict[str, object] = {
        "id": each.id,
        "drug": each.drug,
        "route": each.route,
        "order": each.order,
        "access": each.access,
        "access_reason": each.access_reason,
        "purpose": each.purpose or None,
        "primary": each.primary,
        "acquired": each.acquired,
        **_period(each),
        "pauses": [_period(pause) for pause in each.pauses],
        "ordered": None if each.ordered is None else plain(each.ordered),
        "administered": None if each.administered is None else plain(each.administered),
        "vials": [
            {
                "amount": plain(vial.amount), "count": vial.count, "single_dose": vial.single_dose, "ndc": vial.ndc,
                "lot": vial.lot, "expires": vial.expires and vial.expires.isoformat(),
            }
            for vial in each.vials
        ],
        "discards": [{"amount": plain(discard.amount), "reason": discard.reason} for discard in each.discards],
    }  # fmt: skip
    return document | {"bought_340b": True} if each.bought_340b else document


def _period(timed: Administration | Pause | Visit) -> dict[str, object]:
    return {"start": timed.start and timed.start.isoformat(), "stop": timed.stop and timed.stop.isoformat()}


def statement_document(statement: Statement) -> dict[str, object]:
    """The answer as the contract writes it; amounts and dates as texts."""
    return {
        "id": statement.encounter_id,
        "status": statement.status,
        "date_of_service": statement.date_of_service and statement.date_of_service.isoformat(),
        "lines": [_line(line) for line in statement.lines],
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity.value,
                "administration": finding.administration or None,
                "field": finding.field or None,
                "message": finding.message,
            }
            for finding in statement.findings
        ],
        "policy": _policy(statement),
        "reference": statement.reference_version,
    }


def unreadable_document(identity: object, problem: Unreadable) -> dict[str, object]:
    """The answer to a document that is not an encounter."""
    return {
        "id": identity if isinstance(identity, str) or type(identity) is int else None,
        "status": "invalid",
        "findings": [
            {"code": "input.unreadable", "severity": "error", "administration": None, "field": path or None,
             "message": message}
            for path, message in problem.problems
        ],
    }  # fmt: skip


def _line(line: ServiceLine) -> dict[str, object]:
    document: dict[str, object] = {
        "code": line.code,
        "modifiers": list(line.modifiers),
        "units": line.units,
        "kind": line.kind,
        "administrations": list(line.administrations),
        "minutes": line.minutes,
        "ndcs": [{"ndc": each.ndc, "quantity": plain(each.quantity), "unit": each.unit} for each in line.ndcs],
        "because": [_because(each) for each in line.because],
    }
    if line.charge is not None:
        document["charge"] = plain(line.charge)
    if line.date_of_service is not None:
        document["date_of_service"] = line.date_of_service.isoformat()
    return document


def _because(reason: Because) -> dict[str, object]:
    document: dict[str, object] = {"rule": reason.rule, "text": reason.text, "source": reason.source}
    if reason.reading is not None:
        document["value"], document["from"] = reason.reading.document["value"], reason.reading.document["from"]
    return document


def _policy(statement: Statement) -> dict[str, object]:
    """Every value that was read, of the widest scope; under `drugs` where one was asked for a drug and differs."""
    policy: dict[str, object] = {}
    drugs: dict[str, dict[str, object]] = {}
    shown: dict[str, Reading] = {}
    if len({name for name, _ in statement.policy}) == len(statement.policy):
        return {name: statement.policy[name, drug].document for name, drug in sorted(statement.policy)}
    widest_first = sorted(statement.policy.items(), key=lambda item: (item[0][0], item[1].layer.scope.width, item[0]))
    for (name, drug), reading in widest_first:
        if name not in shown:
            shown[name] = reading
            policy[name] = reading.document
        elif reading.layer is not shown[name].layer:
            drugs.setdefault(drug, {})[name] = reading.document
    if drugs:
        policy["drugs"] = drugs
    return policy
