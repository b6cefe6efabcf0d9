"""Where two sources disagree: what each says, which one the product follows, and why. A file, read once."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

DATA = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, slots=True)
class Statement:
    """What one source says, in our words. `source` is a key of sources.toml."""

    source: str
    says: str


@dataclass(frozen=True, slots=True)
class Contradiction:
    """`rule` is the settled rule or payer parameter that follows from the choice, or empty where a table does."""

    topic: str
    first: Statement
    second: Statement
    chosen: Literal["first", "second", "neither"]
    why: str
    rule: str


@cache
def contradictions() -> dict[str, Contradiction]:
    """All of them by key, in the order of the file."""
    return {
        key: Contradiction(**{**row, "first": Statement(**row["first"]), "second": Statement(**row["second"])})
        for key, row in tomllib.loads(DATA.read_text(encoding="utf-8")).items()
    }
