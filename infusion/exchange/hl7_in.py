"""Encounters out of HL7 v2 messages RAS^O17: one administration for each RXA, joined by the patient and the visit.

What each field is taken for is in `docs/import.md`. A RAS message tells of no pause, no vial and no discard, so a draft
made of one asks for them as any draft does. A wall clock has the zone of MSH-7, as the standard says, else the
clinic's.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import IO, Any

import hl7

from infusion.arriving import Arriving, UnreadableFile, lines_of
from infusion.exchange.coming_in import (
    INPATIENT,
    MOST_BYTES,
    NO_PLACE,
    Arrived,
    At,
    FileRead,
    Problem,
    drug_with_ndc,
    kept_time,
    lettered,
    milligrams,
    patient_of,
)
from infusion.services.reference import Reference, diagnosis_code

MOST_MESSAGES, MOST_SEGMENTS, LONGEST_MESSAGE = 20_000, 500_000, 64_000
KIND = ("RAS", "O17")
TS = re.compile(r"([0-9]{8})(?:([0-9]{2})([0-9]{2})([0-9]{2})?(?:\.[0-9]{1,4})?)?([+-][0-9]{4})?")
READ = ("MSH", "PID", "PV1", "ORC", "RXO", "RXA", "RXR", "IN1", "DG1")
# What says whose a message is.
WHOSE = ("MSH", "PID", "PV1", "IN1")
# Of a message, its frame and what bears on nothing here.
FRAME = ("FHS", "BHS", "BTS", "FTS", "SFT", "UAC", "PD1", "EVN", "TQ1", "TQ2", "RXE", "PV2", "CTI")
HCPCS = ("HCPCS", "HPC")
ROUTES = {"SC": "subcutaneous", "IM": "intramuscular", "PO": "oral"}
IV_BY_METHOD = {"IVPB": "iv_infusion", "IVP": "iv_push"}
IV_BY_DEVICE = {"IVP": "iv_infusion"}  # table 0164: an IV pump
NOT_GIVEN = {"RE": "refused", "NA": "not given"}
FIELDS = {
    "drug": "RXA-5", "route": "RXR-1", "start": "RXA-3", "stop": "RXA-4", "administered": "RXA-6", "ordered": "RXO-2",
    "payer": "IN1-3", "patient.reference": "PID-3", "patient.name": "PID-5", "patient.birth_date": "PID-7",
}  # fmt: skip
COLUMNS = {"reference": "PID-3", "name": "PID-5", "sex": "PID-8"}


@dataclass(slots=True)
class _Visit:
    """What the messages of one visit have said so far."""

    arrived: Arrived
    administrations: list[dict[str, Any]] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    diagnoses: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Segment:
    """One segment of a message, read by the standard's numbers."""

    message: hl7.Message
    segment: hl7.Segment
    name: str

    def repetitions(self, number: int) -> list[Any]:
        try:
            return [each for each in self.segment(number) if str(each)]
        except IndexError:
            return []

    def text(self, number: int, component: int = 1, of: Any = None) -> str:
        """A component, unescaped; of the first repetition unless one is given."""
        found = self.repetitions(number)
        repetition = of if of is not None else (found[0] if found else None)
        if repetition is None:
            return ""
        if isinstance(repetition, str):
            return self.message.unescape(repetition).strip() if component == 1 else ""
        try:
            return str(self.message.unescape(str(repetition(component)))).strip()
        except IndexError:
            return ""


def is_messages(beginning: bytes) -> bool:
    return beginning.removeprefix(b"\xef\xbb\xbf").lstrip(b"\x0b\r\n ")[:3] in (b"MSH", b"FHS", b"BHS")


def read_hl7(file: IO[bytes], zone: str, reference: Reference) -> FileRead:
    """All encounters of a file of messages. Raises UnreadableFile where nothing of it can be read."""
    whole = hashlib.sha256()
    arriving = Arriving(
        file, whole, MOST_BYTES, "The file is empty. Choose the one with the messages.",
        f"The file is larger than {MOST_BYTES // 1_000_000} MB. Bring it in by weeks.",
    )  # fmt: skip
    text = io.TextIOWrapper(io.BufferedReader(arriving), "utf-8-sig", newline=None)  # type: ignore[type-var]
    visits: dict[str, _Visit] = {}
    sent: dict[tuple[str, str], tuple[int, Sequence[str]]] = {}
    problems: list[Problem] = []
    count = count_of_segments = 0
    try:
        for segments in _messages(text):
            count, count_of_segments = count + 1, count_of_segments + len(segments)
            if count > MOST_MESSAGES:
                raise UnreadableFile(f"The file has more than {MOST_MESSAGES:,} messages. Bring it in by weeks.")
            if count_of_segments > MOST_SEGMENTS:
                raise UnreadableFile(f"The file has more than {MOST_SEGMENTS:,} segments. Bring it in by weeks.")
            at = At(count, problems)
            reader = _Reader(at, zone, reference, visits, sent)
            if sum(map(len, segments)) <= LONGEST_MESSAGE:
                reader.message(segments)
            else:
                reader.too_long(segments)
    except UnicodeDecodeError:
        raise UnreadableFile("The file is not in UTF-8. Have the messages written in UNICODE UTF-8 (MSH-18).") from None
    if not count:
        raise UnreadableFile("The file holds no message: none of its lines begins with MSH.")
    return FileRead(_finished(visits), count, whole.hexdigest(), FIELDS, problems=problems)


def _messages(text: io.TextIOBase) -> Iterator[list[str]]:
    """The segments of each message, without the signs that a line protocol puts around it.

    Of one that is too long no more is gathered than shows that it is.
    """
    segments: list[str] = []
    length = 0
    for line in lines_of(text, "segment"):
        segment = line.strip("\r\n\x0b\x1c")
        if segment.startswith("MSH") and segments:
            yield segments
            segments, length = [], 0
        belongs = segment.startswith("MSH") or (segments and segment and segment[:3] not in FRAME[:4])
        if belongs and length <= LONGEST_MESSAGE:
            segments.append(segment)
            length += len(segment)
    if segments:
        yield segments


def _finished(visits: dict[str, _Visit]) -> Iterator[Arrived]:
    for visit in visits.values():
        drugs = [each["drug"] for each in visit.administrations]
        for each, order in zip(visit.administrations, lettered(zip(drugs, visit.orders, strict=True)), strict=True):
            each["order"] = order
        visit.arrived.document |= {"administrations": visit.administrations, "diagnoses": visit.diagnoses}
        yield visit.arrived.close()


@dataclass(slots=True)
class _Reader:
    """Reads one message into the visit that it belongs to."""

    at: At
    zone: str
    reference: Reference
    visits: dict[str, _Visit]
    sent: dict[tuple[str, str], tuple[int, Sequence[str]]]
    offset: timezone | None = None

    def message(self, lines: Sequence[str]) -> None:
        try:
            message = hl7.parse("\r".join(lines))
            segments = [_Segment(message, each, str(each[0])) for each in message]
        except (hl7.HL7Exception, ValueError, IndexError, KeyError):
            self.at.problem("MSH", lines[0], "This message cannot be taken apart. Check its separators.")
            return
        header = segments[0]
        kind = (header.text(9, 1), header.text(9, 2))
        if kind != KIND:
            self.at.problem("MSH-9", "^".join(kind), "Only RAS^O17 tells of administrations; this message is left out.")
            return
        row, before = self.sent.setdefault((_sender(header), header.text(10)), (self.at.row, lines))
        if row != self.at.row and before == lines:
            self.at.told("MSH-10", header.text(10), f"This is message {row} once more, and is read once.")
            return
        self.offset = self._offset(header.text(7))
        by_name = {each.name: each for each in reversed(segments)}
        visit = self._visit(header, by_name)
        if visit is not None:
            if row != self.at.row:
                told = f"Message {row} has the same number and says something else. Send the one that holds."
                At(self.at.row, visit.arrived.problems).problem("MSH-10", header.text(10), told)
            self._administrations(visit, segments)

    def too_long(self, lines: Sequence[str]) -> None:
        """Its visit stays out with it, as far as it can be known: with a drug less it would be billed short."""
        told = f"This message is longer than {LONGEST_MESSAGE:,} letters and is left out"
        known = [each for each in lines if each.startswith(WHOSE)]
        visit = None
        if sum(map(len, known)) <= LONGEST_MESSAGE:
            with suppress(hl7.HL7Exception, ValueError, IndexError, KeyError):
                message = hl7.parse("\r".join(known))
                header, *others = (_Segment(message, each, str(each[0])) for each in message)
                self.offset = self._offset(header.text(7))
                visit = self._visit(header, {each.name: each for each in reversed(others)})
        if visit is None:
            self.at.problem("MSH", lines[0], f"{told}.")
        else:
            At(self.at.row, visit.arrived.problems).problem("MSH", lines[0], f"{told}, and its visit with it.")

    def _visit(self, header: _Segment, by_name: dict[str, _Segment]) -> _Visit | None:
        pid, pv1 = by_name.get("PID"), by_name.get("PV1")
        if pid is None:
            self.at.problem("PID", "", "The message names no patient, so nobody knows whose it is.")
            return None
        number = (pv1.text(19) if pv1 else "") or pid.text(18)
        source = _sender(header)
        own: list[Problem] = []
        at = At(self.at.row, own)
        arrived = Arrived(source, number, self.at.row, self._patient(at, pid), problems=own)
        if not number:
            at.problem(
                "PV1-19", "", "The number of the visit is missing (PV1-19, else PID-18). Messages are joined by it."
            )
        key = arrived.identity if number else f"{arrived.identity}{self.at.row}"
        visit = self.visits.setdefault(key, _Visit(arrived))
        first = visit.arrived
        if first is not arrived:
            if first.patient != arrived.patient:
                at.problem(
                    "PID", pid.text(5), f"Message {first.row} of the same visit says something else of the patient."
                )
            first.problems.extend(own)
        kind = pv1.text(2) if pv1 else ""
        if kind == "I":
            At(self.at.row, first.problems).problem("PV1-2", kind, INPATIENT)
        self._payer(visit, by_name.get("IN1"))
        return visit

    def _patient(self, at: At, pid: _Segment) -> dict[str, str]:
        numbers = pid.repetitions(3)
        records = [each for each in numbers if pid.text(3, 5, each) == "MR"] or numbers
        reference = pid.text(3, 1, records[0]) if len(records) == 1 else ""
        if len(records) > 1:
            at.problem("PID-3", "~".join(map(str, numbers)), "Several numbers could be the record number. Mark it MR.")
        born = self._day(at, "PID-7", pid.text(7))
        name = ", ".join(filter(None, (pid.text(5, 1), pid.text(5, 2))))
        if not reference and len(records) > 1:
            return {"reference": "", "name": name, "birth_date": born, "sex": ""}
        return patient_of(at, COLUMNS, reference=reference, name=name, birth_date=born, sex=pid.text(8))

    def _payer(self, visit: _Visit, in1: _Segment | None) -> None:
        said = (in1.text(3) or in1.text(4)) if in1 else ""
        if said and visit.arrived.payer and said != visit.arrived.payer:
            At(self.at.row, visit.arrived.problems).problem(
                "IN1-3", said, f"Another message of the same visit says {visit.arrived.payer[:40]}."
            )
        visit.arrived.payer = visit.arrived.payer or said

    # Administrations ------------------------------------------------------------------------------------------------

    def _administrations(self, visit: _Visit, segments: Sequence[_Segment]) -> None:
        """Each RXA with the order above it and the route below it."""
        at = At(self.at.row, visit.arrived.problems)
        order, requested, given, found = "", None, None, False
        for at_segment, segment in enumerate(segments):
            if segment.name == "ORC":
                order, requested = segment.text(2) or segment.text(3), None
            elif segment.name == "RXO":
                requested = segment
            elif segment.name == "RXA":
                given, found = segment, True
                route = next((each for each in segments[at_segment + 1 :] if each.name in ("RXR", "ORC")), None)
                self._one(visit, at, given, route if route and route.name == "RXR" else None, requested, order)
            elif segment.name == "DG1":
                code = diagnosis_code(segment.text(3))
                visit.diagnoses += [code] if code and code not in visit.diagnoses else []
            elif segment.name not in READ + FRAME:
                at.told(segment.name, str(segment.segment), f"{NO_PLACE}, and is not brought in.")
        if not found:
            at.problem("RXA", "", "The message names no administration.")

    def _one(
        self, visit: _Visit, at: At, rxa: _Segment, rxr: _Segment | None, requested: _Segment | None, order: str
    ) -> None:
        if self._is_no_administration(at, rxa):
            return
        start, stop = self._moment(at, "RXA-3", rxa.text(3)), self._moment(at, "RXA-4", rxa.text(4))
        if start and stop == start:
            # The field may not stay empty, so that many send the start again where no stop is known.
            at.told("RXA-4", rxa.text(4), "This is the start again, so no stop is taken from it.")
            stop = None
        ordered = None
        if requested and requested.text(2) and requested.text(3) in ("", requested.text(2)):
            ordered = milligrams(at, "RXO-2", requested.text(2), requested.text(4))
        elif requested and requested.text(2):
            at.told(
                "RXO-2", f"{requested.text(2)} to {requested.text(3)}", f"{NO_PLACE}: an order of one amount is kept."
            )
        for number, what in ((15, "lot"), (16, "expiry")):
            if rxa.text(number):
                told = f"{NO_PLACE}: the {what} belongs to a vial, and the message says nothing of its size and count."
                at.told(f"RXA-{number}", rxa.text(number), told)
        visit.administrations.append(
            {
                "id": f"a{len(visit.administrations) + 1}",
                "drug": self._drug(at, rxa, start),
                "route": self._route(at, rxa, rxr),
                "start": start,
                "stop": stop,
                "ordered": ordered,
                "administered": milligrams(at, "RXA-6", rxa.text(6), rxa.text(7)),
            }
        )
        visit.orders.append(order)
        visit.arrived.rows.append(at.row)

    def _is_no_administration(self, at: At, rxa: _Segment) -> bool:
        completion, action = rxa.text(20), rxa.text(21)
        if completion in NOT_GIVEN:
            at.told("RXA-20", completion, f"The drug was {NOT_GIVEN[completion]}, so no administration is made of it.")
            return True
        if action not in ("", "A"):
            told = "Only what is added (A) is brought in; put a correction or a deletion right in the encounter itself."
            at.problem("RXA-21", action, told)
            return True
        if completion not in ("", "CP", "PA"):
            at.problem("RXA-20", completion, "This is not one of CP, PA, RE and NA.")
        return False

    def _drug(self, at: At, rxa: _Segment, start: str | None) -> str:
        on = datetime.fromisoformat(start).date() if start else None
        for first in (1, 4):
            code, system = rxa.text(5, first), rxa.text(5, first + 2).upper()
            if system in HCPCS and code:
                return code.upper()
            if system == "NDC" and (found := drug_with_ndc(self.reference, code, on)):
                return found
        shown = "^".join(filter(None, (rxa.text(5, each) for each in (1, 2, 3))))
        at.problem("RXA-5", shown, "No HCPCS code stands here, and no NDC that the tables know one drug for.")
        return ""

    def _route(self, at: At, rxa: _Segment, rxr: _Segment | None) -> str:
        route, device, method = (rxr.text(number).upper() if rxr else "" for number in (1, 3, 4))
        if route in ROUTES:
            return ROUTES[route]
        if route != "IV":
            at.problem("RXR-1", route, f"The route is not one of IV, {', '.join(ROUTES)}.")
            return ""
        found = IV_BY_METHOD.get(method) or IV_BY_DEVICE.get(device) or ("iv_infusion" if rxa.text(12) else "")
        if not found:
            told = (
                "IV alone does not say whether it was an infusion or a push. Send RXR-4 IVPB or IVP, RXR-3 IVP for a "
                "pump, or the rate's time unit in RXA-12."
            )
            at.problem("RXR-4", method, told)
        return found

    # Times ----------------------------------------------------------------------------------------------------------

    def _offset(self, text: str) -> timezone | None:
        found = TS.fullmatch(text)
        return _zone_of(found[5]) if found and found[5] else None

    def _moment(self, at: At, column: str, text: str) -> str | None:
        if not text:
            return None
        found = TS.fullmatch(text)
        if not found or not found[2]:
            at.problem(column, text, "This is not a time such as 202603100900: the minutes cannot be counted.")
            return None
        try:
            moment = datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3]}{found[4] or '00'}")
        except ValueError:
            at.problem(column, text, "There is no such time.")
            return None
        offset = _zone_of(found[5]) if found[5] else self.offset
        return kept_time(at, column, moment.replace(tzinfo=offset), text, self.zone)

    def _day(self, at: At, column: str, text: str) -> str:
        if not text:
            return ""
        try:
            return date(int(text[:4]), int(text[4:6]), int(text[6:8])).isoformat()
        except ValueError:
            at.problem(column, text, "This is not a day such as 19840602.")
            return ""


def _sender(header: _Segment) -> str:
    return "|".join(filter(None, (header.text(3), header.text(4))))


def _zone_of(text: str) -> timezone | None:
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[3:5]))
    return timezone(-offset if text[0] == "-" else offset) if offset < timedelta(hours=24) else None
