"""Amounts kept exactly on every database: SQLite would keep a decimal as a binary fraction."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models


class ExactField(models.Field):
    """A Decimal in Python, a whole number of its smallest parts in the database."""

    parts: Decimal
    decimals: int
    unit: str
    _pyi_private_set_type: Decimal
    _pyi_private_get_type: Decimal

    def get_internal_type(self) -> str:
        return "BigIntegerField"

    def from_db_value(self, value: int | None, *_: Any) -> Decimal | None:
        return None if value is None else value / self.parts

    def to_python(self, value: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    def get_prep_value(self, value: Any) -> int | None:
        if value is None:
            return None
        parts = Decimal(value) * self.parts
        if parts != parts.to_integral_value():
            raise ValidationError(f"{value} {self.unit} has more than {self.decimals} decimals.")
        return int(parts)

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.value_from_object(obj))


class MilligramField(ExactField):
    """Milligrams, to the microgram."""

    description = "Milligrams, to the microgram"
    parts, decimals, unit = Decimal(1000), 3, "mg"


class DollarField(ExactField):
    """US dollars, to the hundredth of a cent: a rate per unit is finer than a cent, an amount never is."""

    description = "US dollars, to the hundredth of a cent"
    parts, decimals, unit = Decimal(10000), 4, "dollars"
