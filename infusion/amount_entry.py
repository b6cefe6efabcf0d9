"""Reads amounts in milligrams and whole numbers as people type them: exactly, or not at all.

One rule for commas: they are refused, because ``1,000`` is a thousand to one reader and one to another.
"""

from __future__ import annotations

import re
from decimal import Decimal

from infusion.time_entry import EntryProblem, plain_text

_AMOUNT = re.compile(r"([0-9]{1,7})(?:\.([0-9]{1,6}))?(?: ?mg)?")


def read_amount(text: str, name: str) -> Decimal | EntryProblem | None:
    """The amount in milligrams, the reason it was not taken, or ``None`` for an empty field.

    >>> read_amount("600.5", "Ordered (mg)")
    Decimal('600.5')
    >>> read_amount("1,000", "Ordered (mg)").code
    'comma'
    """
    entry = plain_text(text).lower()
    if not entry:
        return None
    if found := _AMOUNT.fullmatch(entry):
        return Decimal(f"{found[1]}.{found[2]}") if found[2] else Decimal(found[1])
    if not entry.isascii():
        return EntryProblem("characters", f"{name}: write the amount with the digits 0 to 9, for example 600.")
    if "," in entry:
        return EntryProblem("comma", f"{name}: leave the comma out. A thousand is 1000, one and a half is 1.5.")
    if re.fullmatch(r"[-−] ?[0-9.]+(?: ?mg)?", entry):
        return EntryProblem("negative", f"{name}: an amount starts at 0. Leave the minus sign out.")
    if re.fullmatch(r"\.[0-9]+(?: ?mg)?", entry):
        return EntryProblem("bare_point", f"{name}: write a 0 before the point, as in 0{entry.split(' ')[0][:8]}.")
    if re.fullmatch(r"[0-9]{8,}(?:\.[0-9]*)?|[0-9]+\.[0-9]{7,}", entry):
        return EntryProblem("digits", f"{name}: this has more digits than an amount in mg can have. Check it.")
    return EntryProblem("amount_shape", f"{name}: write the amount in mg as a number, for example 600 or 12.5.")


def read_whole_number(text: str, name: str, least: int, most: int) -> int | EntryProblem | None:
    """A whole number within bounds, the reason it was not taken, or ``None`` for an empty field."""
    entry = plain_text(text)
    if not entry:
        return None
    if not re.fullmatch("[0-9]{1,9}", entry) or not least <= int(entry) <= most:
        return EntryProblem("whole_number", f"{name}: write a whole number from {least} to {most}.")
    return int(entry)
