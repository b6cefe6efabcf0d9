"""A written 837 read again: by its sums against the claims, and by a validator that knows the guides' tables."""

from __future__ import annotations

import io
import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal

import pyx12.errors
import pyx12.params
import pyx12.x12n_document

from infusion.exchange.claim import Claim

# The validator would log the values it refuses, and these are names.
logging.getLogger("pyx12").setLevel(logging.CRITICAL + 1)

Sums = dict[tuple[str, ...], Decimal]


def misread(text: str, claims: Sequence[Claim]) -> list[str]:
    """Where the text does not say what the claims do: totals, units, charges and NDC quantities, by code."""
    meant = {claim.number: _meant(claim) for claim in claims}
    written = _written(text)
    if list(written) != [claim.number for claim in claims]:
        return ["The file would not hold each claim once. Tell whoever runs this installation."]
    return [
        f"Claim {number}: the file would say {_difference(written[number], sums)}. Tell whoever runs this installation."
        for number, sums in meant.items()
        if written[number] != sums
    ]


def _difference(written: Sums, meant: Sums) -> str:
    odd = next(key for key in sorted(written.keys() | meant.keys()) if written.get(key) != meant.get(key))
    return f"{written.get(odd, 'nothing')} and not {meant.get(odd, 'nothing')} for {' '.join(odd)}"


def _meant(claim: Claim) -> Sums:
    sums: Sums = defaultdict(Decimal)
    for line in claim.lines:
        sums["total",] += line.charge or 0
        sums["units of", str(line)] += line.units
        sums["charge of", str(line)] += line.charge or 0
        for each in line.ndcs:
            sums["quantity of", str(line), each.ndc, each.unit] += each.quantity
    return dict(sums)


def _written(text: str) -> dict[str, Sums]:
    claims: dict[str, Sums] = {}
    sums: Sums = {}
    code, ndc = "", ""
    for segment in text.replace("\n", "").rstrip("~").split("~"):
        name, *elements = segment.split("*")
        if name == "CLM":
            sums = claims[elements[0] if elements[0] not in claims else ""] = defaultdict(Decimal)
            sums["total",] = Decimal(elements[1])
        elif name in ("SV1", "SV2"):
            service, charge, _, units, *_ = elements if name == "SV1" else elements[1:]
            code = service.removeprefix("HC:").replace(":", "-")
            sums["units of", code] += Decimal(units)
            sums["charge of", code] += Decimal(charge)
        elif name == "LIN":
            ndc = elements[2]
        elif name == "CTP":
            sums["quantity of", code, ndc, elements[4]] += Decimal(elements[3])
    return {number: dict(each) for number, each in claims.items()}


def refused(text: str) -> list[str]:
    """What the validator refuses, as sentences; empty when it accepts the whole file."""
    answer = io.StringIO()
    try:
        accepted = pyx12.x12n_document.x12n_document(
            pyx12.params.ParamsUnix(), io.StringIO(text), io.StringIO(), None, None, answer
        )
    except pyx12.errors.EngineError as problem:
        return [f"The validator cannot read the file: {problem}."]
    if accepted:
        return []
    lines = text.splitlines()
    found = [
        f"{_claim_of(lines, at)}the validator refuses {segment}: {reason}. Correct what it names."
        for at, segment, reason in _errors(json.loads(answer.getvalue() or "{}"), 0, "the file")
    ]
    return list(dict.fromkeys(found)) or ["The validator refuses the file and says nothing of why."]


def _errors(tree: object, line: int, segment: str) -> Iterator[tuple[int, str, str]]:
    """Each error with the line of the file and the segment that it stands in."""
    if isinstance(tree, list):
        for each in tree:
            yield from _errors(each, line, segment)
    elif isinstance(tree, dict):
        line = tree.get("cur_line", line)
        segment = f"{tree['seg_id']} ({tree['name']})" if "seg_id" in tree else segment
        if "err_str" in tree:
            yield line, segment, tree["err_str"]
        for each in tree.values():
            yield from _errors(each, line, segment)


def _claim_of(lines: Sequence[str], at: int) -> str:
    """Whose a line is: the claim above it, or the one below where its people, who come first, have begun."""
    above = next((each for each in reversed(lines[:at]) if each.startswith(("CLM*", "HL*"))), "")
    if above.startswith("HL*"):
        above = next((each for each in lines[at:] if each.startswith("CLM*")), "")
    return f"Claim {above.strip('~').split('*')[1]}: " if above else "Before the first claim, "
