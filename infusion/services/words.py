"""Numbers as words in a sentence."""

from __future__ import annotations

from decimal import Decimal


def counted(count: int, noun: str) -> str:
    """
    >>> counted(1, "minute"), counted(31, "minute")
    ('1 minute', '31 minutes')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def minutes_away(count: int, direction: str) -> str:
    """
    >>> minutes_away(1, "more"), minutes_away(61, "fewer")
    ('one more minute', '61 fewer minutes')
    """
    return f"one {direction} minute" if count == 1 else f"{count} {direction} minutes"


def plain(amount: Decimal) -> str:
    """An amount without trailing zeros or exponent.

    >>> plain(Decimal("280.40")), plain(Decimal("6E+2"))
    ('280.4', '600')
    """
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def dollars(amount: Decimal) -> str:
    """Money as people read it; a rate keeps what is finer than a cent.

    >>> dollars(Decimal("36582")), dollars(Decimal("0.0075")), dollars(Decimal("-12.5"))
    ('$36,582.00', '$0.0075', '−$12.50')
    """
    finer = plain(abs(amount))
    whole, _, parts = finer.partition(".")
    return f"{'−' if amount < 0 else ''}${int(whole):,}.{parts.ljust(2, '0')}"
