"""Names and addresses in the letters that X12 carries."""

from __future__ import annotations

import re
import unicodedata

# Letters that are not a plain one with a mark, and the typographic signs that a phone's keyboard puts in.
SPELT_OUT = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"}
    | {"þ": "th", "Þ": "TH", "ð": "d", "Ð": "D", "ı": "i", "’": "'", "‘": "'", "ʻ": "'", "–": "-", "‑": "-"}
)


def plain_letters(text: str) -> str:
    """Letters without their marks.

    >>> plain_letters("Núñez-Łukasz O’Hara")
    "Nunez-Lukasz O'Hara"
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(SPELT_OUT))
    return "".join(each for each in decomposed if not unicodedata.combining(each))


def upper_letters(text: str) -> str:
    """Capitals without marks, one space between words.

    >>> upper_letters(" Núñez  de la Vega ")
    'NUNEZ DE LA VEGA'
    """
    return " ".join(plain_letters(text).upper().split())


def uncarried(text: str) -> str:
    """The characters that a claim cannot carry: beyond ASCII, or one of its own separators `* ~ : ^`."""
    return "".join(sorted(set(re.findall(r"[^A-Z0-9 !\"&'()+,\-./;?=%@\[\]_{}\\|<>`#$]", upper_letters(text)))))
