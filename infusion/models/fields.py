"""Milligrams, kept exactly on every database."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

MICROGRAMS = Decimal(1000)


class MilligramField(models.Field):
    """A Decimal of milligrams in Python, whole micrograms in the database: SQLite would keep a decimal as binary."""

    description = "Milligrams, to the microgram"
    _pyi_private_set_type: Decimal
    _pyi_private_get_type: Decimal

    def get_internal_type(self) -> str:
        return "BigIntegerField"

    def from_db_value(self, value: int | None, *_: Any) -> Decimal | None:
        return None if value is None else value / MICROGRAMS

    def to_python(self, value: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    def get_prep_value(self, value: Any) -> int | None:
        if value is None:
            return None
        micrograms = Decimal(value) * MICROGRAMS
        if micrograms != micrograms.to_integral_value():
            raise ValidationError(f"{value} mg has more than three decimals.")
        return int(micrograms)

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.value_from_object(obj))
