"""A short way to write an encounter down and to read what became of it.

Minutes count from 09:00 on an ordinary day: `infused("J2350", 0, 150)` ran from 09:00 to 11:30. Unless a test says
otherwise, a drug is given as one whole vial of its first size, so that nothing is left over.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from infusion.services.calculate import calculate, national_baseline, shipped_reference
from infusion.services.findings import Finding
from infusion.services.lines import ServiceLine, Statement
from infusion.services.reference import Reference
from infusion.services.wire import parse_encounter
from payers.policy import PayerPolicy

Document = dict[str, Any]

DAY = "2026-03-10"
ZONE = "America/New_York"


def clock(minute: int, day: str = DAY) -> str:
    return (datetime.fromisoformat(f"{day}T09:00") + timedelta(minutes=minute)).isoformat(timespec="minutes")


def vial(drug: str) -> str:
    return str(shipped_reference().drugs[drug][0].containers[0].amount)


def dose(drug: str) -> Document:
    return {"drug": drug, "administered": vial(drug), "vials": [{"amount": vial(drug)}]}


def infused(drug: str, start: int, stop: int, *pauses: tuple[int, int], **more: Any) -> Document:
    record = dose(drug) | {"route": "iv_infusion", "start": clock(start), "stop": clock(stop)}
    if pauses:
        record["pauses"] = [{"start": clock(begin), "stop": clock(end)} for begin, end in pauses]
    return record | more


def pushed(drug: str, start: int | None = None, **more: Any) -> Document:
    record = dose(drug) | {"route": "iv_push"}
    return record | ({} if start is None else {"start": clock(start)}) | more


def hydrated(start: int, stop: int, **more: Any) -> Document:
    return {"route": "hydration", "purpose": "ordered", "start": clock(start), "stop": clock(stop)} | more


def injected(drug: str, route: str = "subcutaneous", **more: Any) -> Document:
    return dose(drug) | {"route": route} | more


def encounter(*administrations: Document, **fields: Any) -> Document:
    numbered = [{"id": f"a{number}"} | each for number, each in enumerate(administrations, start=1)]
    return {
        "id": "test",
        "time_zone": ZONE,
        "setting": "office",
        "date_of_service": DAY,
        "administrations": numbered,
    } | fields


def on(day: str, *administrations: Document, **fields: Any) -> Document:
    """The same encounter on another day."""
    moved = encounter(*administrations, date_of_service=day, **fields)
    for each in moved["administrations"]:
        for name in ("start", "stop"):
            if name in each:
                each[name] = each[name].replace(DAY, day)
    return moved


def read(document: object, policy: PayerPolicy | None = None, reference: Reference | None = None) -> Statement:
    asked = parse_encounter(document, ZONE)
    rules = (policy or national_baseline()).with_inline(asked.policy)
    return calculate(asked.encounter, rules, reference or shipped_reference())


def written(line: ServiceLine) -> str:
    """ "J2350 JW x20"."""
    return " ".join([line.code, *line.modifiers, f"x{line.units}"])


def claimed(document: Document, policy: PayerPolicy | None = None) -> list[str]:
    """The lines of an encounter that holds together, in the order of their codes."""
    statement = read(document, policy)
    assert statement.errors == (), [finding.message for finding in statement.errors]
    return sorted(written(line) for line in statement.lines)


def services(document: Document, policy: PayerPolicy | None = None) -> list[str]:
    """The lines for giving the drugs, without those for the drugs."""
    return [line for line in claimed(document, policy) if line.startswith("9")]


def drugs(document: Document, policy: PayerPolicy | None = None) -> list[str]:
    """The lines for the drugs, without those for giving them."""
    return [line for line in claimed(document, policy) if not line.startswith("9")]


def errors(document: Document, policy: PayerPolicy | None = None) -> list[str]:
    return [finding.code for finding in read(document, policy).errors]


def told(document: Document, policy: PayerPolicy | None = None) -> list[str]:
    """The codes of everything that was found."""
    return [finding.code for finding in read(document, policy).findings]


def found(statement: Statement, code: str) -> Finding:
    """The one finding with this code."""
    [finding] = [each for each in statement.findings if each.code == code]
    return finding


def reasons(statement: Statement, line: str) -> str:
    """All that is said for a line, such as "96366 x1"."""
    [match] = [each for each in statement.lines if written(each) == line]
    return " ".join(because.text for because in match.because)


def line_of(statement: Statement, code: str, modifiers: Sequence[str] = ()) -> ServiceLine:
    [match] = [each for each in statement.lines if (each.code, each.modifiers) == (code, tuple(modifiers))]
    return match
