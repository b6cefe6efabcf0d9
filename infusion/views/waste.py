"""Vials and what is left of them, at the chair: in sentences and plain choices, without a code.

What stayed in the line was part of the prescribed dose: Medicare counts as discarded only what was not [ITECH]. So the
whole dose counts as given when all of it was hung.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from infusion.forms.encounter import known_sizes
from infusion.forms.record import RecordedDrug
from infusion.forms.times import Answer
from infusion.services.words import plain
from infusion.vials import Rows, in_words, opened, proposed_vials

NOT_OF_THE_VIAL = ("vial_remainder", "overfill")
"""Reasons for a discard that is no part of the ordered dose."""
WHOLE_DOSE = "The whole dose was hung, some stayed in the line"
WHY_WHOLE = (
    "What stays in the line belongs to the prescribed dose. If all of it was hung, the whole dose counts as given and "
    "nothing of it as discarded."
)


@dataclass(frozen=True, slots=True)
class Waste:
    """How a drug's vials add up, what may be meant, and why. `missing` is for the calculator's own button."""

    text: str = ""
    answers: tuple[Answer, ...] = ()
    why: str = ""
    missing: str = ""


def waste_of(drug: RecordedDrug) -> Waste:
    """What a nurse is told and offered about the vials of a drug."""
    if drug.route in ("hydration", "oral"):
        return Waste()
    given, held = drug.form.value("administered"), drug.opened
    if not held:
        return _proposal(drug)
    if given is None:
        return Waste()
    discarded = drug.discarded_of_label
    words = f"{plain(given)} mg given + {plain(discarded)} mg discarded"
    if held == given + discarded:
        nothing = "Nothing is discarded." if not discarded else "The vials add up."
        return Waste(f"{plain(held)} mg opened = {words}. {nothing}")
    if held < given + discarded:
        over = plain(given + discarded - held)
        advice = "Check the dose, the vials or the discards."
        return Waste(f"{plain(held)} mg opened, {words}: that is {over} mg more than the vials hold. {advice}")
    rest = held - given - discarded
    answers, why = _answers(drug, given, rest)
    left = f"{plain(rest)} mg are not accounted for. What happened to them?"
    return Waste(f"{plain(held)} mg opened, {words}: {left}", answers, why)


def _proposal(drug: RecordedDrug) -> Waste:
    """The vials of the known sizes that leave the least, where none are counted yet."""
    amounts = (drug.form.value("ordered"), drug.form.value("administered"))
    dose = next((amount for amount in amounts if amount), None)
    if drug.drug is None or dose is None or any(row.form.text("count") for row in drug.vials):
        return Waste()
    rows: Rows = proposed_vials(known_sizes(drug.around.reference, drug.drug, drug.on), dose)
    if not rows or len(rows) > 4:
        return Waste()
    rest = opened(rows) - dose
    left = f"{plain(rest)} mg will be left over" if rest else "nothing is left over"
    action = f"vials-{drug.id}=" + ",".join(f"{count}x{plain(size)}" for size, count in rows)
    return Waste(f"{plain(dose)} mg: {left} of {in_words(rows)}.", (Answer(f"Take {in_words(rows)}", action),))


def _answers(drug: RecordedDrug, given: Decimal, rest: Decimal) -> tuple[tuple[Answer, ...], str]:
    """What may have become of the rest: left in the vial, or, of a dose that was not all given, stopped or hung."""
    ordered = drug.form.value("ordered")
    known = [row.form.value("amount") for row in drug.discards if row.form.choice("reason") not in NOT_OF_THE_VIAL]
    of_the_dose = sum((amount for amount in known if amount is not None), Decimal(0))
    short = max(Decimal(0), min(rest, (ordered or given) - given - of_the_dose))
    answers = []
    if short:
        answers.append(_discard(drug, f"Stopped early: {plain(short)} mg discarded", short, "stopped_early"))
        answers.append(Answer(WHOLE_DOSE, f"hung-{drug.id}"))
    if rest > short:
        words = f"{plain(rest - short)} mg discarded"
        words = f"Left in the vial: {words}" if short else f"Record {words}"
        answers.append(_discard(drug, words, rest - short, "vial_remainder"))
    return tuple(answers), WHY_WHOLE if short else ""


def _discard(drug: RecordedDrug, words: str, amount: Decimal, reason: str) -> Answer:
    return Answer(words, f"add-discard-{drug.id}={plain(amount)}:{reason}")
