"""Whether lines can leave as they are. Validators of the formats let all of this through, so it is asked here.

A sentence names the line and what to do about it. An empty answer means that nothing was found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from infusion.exchange.split import service_lines, unsplittable
from infusion.exchange.text import uncarried
from infusion.services.words import counted

if TYPE_CHECKING:
    from infusion.exchange.claim import Claim, ClaimLine

CODE = re.compile(r"[A-Z][0-9]{4}|[0-9]{4}[0-9A-Z]")
DIAGNOSIS = re.compile(r"[A-Z][0-9][0-9A-Z](\.?[0-9A-Z]{1,4})?")
NDC_UNITS = ("F2", "GR", "ME", "ML", "UN")
CENT, THOUSANDTH = Decimal("0.01"), Decimal("0.001")
LARGEST_PROFESSIONAL = Decimal("99999.99")
MOST_LINES = {"professional": 50, "institutional": 999}
MOST_DIAGNOSES = {"professional": 12, "institutional": 25}
MOST_POINTERS = 4
MOST_MODIFIERS = 4


def unsound_batch(claims: Sequence[Claim]) -> list[str]:
    """What keeps every format of a batch from being written, each sentence naming its claim."""
    twice = [number for number, count in Counter(claim.number for claim in claims).items() if count > 1]
    return [
        *([] if claims else ["The batch holds no claim."]),
        *(f"Claim {number} stands in the batch twice. Make the batch anew." for number in twice),
        *(f"Claim {claim.number}: {reason}" for claim in claims for reason in unsound(claim)),
    ]


def unsound(claim: Claim) -> Iterator[str]:
    """What no format may write: lines that are no lines."""
    if not claim.charges and not claim.credits:
        yield "It has no line. Leave it out of the batch."
    if bool(claim.credits) != (claim.frequency != "1") or (claim.frequency == "8" and claim.charges):
        yield "Its credits do not go with its kind: an original has none, a void has nothing else. Make the batch anew."
    for lines in (claim.charges, claim.credits):
        yield from _one_by_one(lines)
        yield from _side_by_side(lines)


def _one_by_one(lines: tuple[ClaimLine, ...]) -> Iterator[str]:
    for line in lines:
        yield from (f"Line {line.position} ({line}): {reason}" for reason in _of_a_line(line))


def _of_a_line(line: ClaimLine) -> Iterator[str]:
    if not CODE.fullmatch(line.code):
        yield "its code has not the five characters of a CPT or HCPCS code. Correct the encounter."
    if type(line.units) is not int or line.units < 1:
        yield f"it has {line.units} units, and a line has one or more whole units. Correct the encounter."
    if len(line.modifiers) > MOST_MODIFIERS or len(set(line.modifiers)) < len(line.modifiers):
        yield "it has a modifier twice, or more than four. Correct the encounter."
    if any(not re.fullmatch("[0-9A-Z]{2}", modifier) for modifier in line.modifiers):
        yield "a modifier has not two characters. Correct the encounter."
    if line.charge is not None and (line.charge < 0 or line.charge != line.charge.quantize(CENT)):
        yield f"its charge {line.charge} is not a whole number of cents. Correct the fee schedule."
    for each in line.ndcs:
        if not re.fullmatch("[0-9]{11}", each.ndc):
            yield f"the NDC {each.ndc} is not 11 digits without hyphens. Correct it on the vial."
        if each.quantity <= 0 or each.quantity != each.quantity.quantize(THOUSANDTH):
            yield f"{each.quantity} of NDC {each.ndc} is nothing or has over three decimals. Correct the encounter."
        if each.unit not in NDC_UNITS:
            yield f"NDC {each.ndc} is counted in {each.unit}, and no claim knows that. Correct the encounter."


def _side_by_side(lines: tuple[ClaimLine, ...]) -> Iterator[str]:
    positions = [line.position for line in lines]
    if len(set(positions)) < len(positions):
        yield "Two of its lines have the same place. Make the batch anew."
    given = {line.code for line in lines if "JW" not in line.modifiers}
    for line in lines:
        if "JW" in line.modifiers and line.code not in given:
            yield (
                f"Line {line.position} ({line}) bills discarded drug, and no line bills {line.code} that was given. "
                "Correct the encounter."
            )


def unsendable(claim: Claim) -> Iterator[str]:
    """What an electronic claim cannot say, beyond data that nobody has entered."""
    yield from _diagnoses(claim)
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,20}", claim.number):
        yield f"Its number {claim.number} is not one to twenty letters, digits, points and hyphens."
    if claim.trial_number and not re.fullmatch("(NCT)?[0-9]{8}", claim.trial_number):
        yield f"The trial {claim.trial_number} has not the eight digits of the registry. Correct the encounter."
    for line in claim.lines:
        name = f"Line {line.position} ({line})"
        if line.kind == "drug" and line.ndc_required and not line.ndcs:
            yield f"{name} has no NDC. Correct the encounter and record it on the vial."
        elif reason := unsplittable(line):
            yield f"{name}: {reason}"
        if claim.form == "professional" and claim.diagnoses:
            yield from (f"{name} {reason}" for reason in _pointers(line, len(claim.diagnoses)))
    if not any(unsplittable(line) for line in claim.lines):
        yield from _size(claim)


def _diagnoses(claim: Claim) -> Iterator[str]:
    for code in claim.diagnoses:
        if not DIAGNOSIS.fullmatch(code):
            yield f"{code} has not the shape of an ICD-10-CM code such as G35.A. Correct the encounter."
    if len(set(claim.diagnoses)) < len(claim.diagnoses):
        yield "A diagnosis stands on it twice. Correct the encounter."
    most = MOST_DIAGNOSES[claim.form]
    if len(claim.diagnoses) > most:
        yield f"It has {len(claim.diagnoses)} diagnoses, and this form takes {most}. Correct the encounter."


def _pointers(line: ClaimLine, diagnoses: int) -> Iterator[str]:
    pointers = line.diagnosis_pointers
    if not pointers:
        yield "points at no diagnosis. Correct the encounter."
    elif not all(1 <= each <= diagnoses for each in pointers):
        yield f"points at a diagnosis that is not there: the claim has {diagnoses}. Correct the encounter."
    elif len(pointers) > MOST_POINTERS or len(set(pointers)) < len(pointers):
        yield "points at a diagnosis twice, or at more than four. Correct the encounter."


def _size(claim: Claim) -> Iterator[str]:
    lines, most = len(service_lines(claim)), MOST_LINES[claim.form]
    if lines > most:
        yield f"It has {counted(lines, 'line')}, and this form takes {most}. Hold it and split it."
    total = sum((line.charge or Decimal(0) for line in claim.lines), Decimal(0))
    if claim.form == "professional" and total > LARGEST_PROFESSIONAL:
        yield (
            f"Its charges of ${total:,.2f} are above $99,999.99, the most that a professional claim carries. Hold it "
            "and split it as its payer asks."
        )


def illegible(texts: dict[str, str]) -> Iterator[str]:
    """Texts with a character that a claim cannot carry, by what they are."""
    for what, text in texts.items():
        if odd := uncarried(text):
            yield f"The {what} holds {' '.join(odd)}, which a claim cannot carry. Write it in plain letters."
