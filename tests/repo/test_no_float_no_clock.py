"""The rules count in Decimal and whole minutes, and the same input gives the same answer on any day."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted([*(ROOT / "infusion/services").rglob("*.py"), ROOT / "payers/policy.py"])
CLOCKS = {"now", "utcnow", "today", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime"}
CLOCK_MODULES = {"time", "random", "secrets"}


def offences(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=float()):
                found.append(f"{node.lineno}: float {node.value}")
            case ast.Name(id="float") | ast.Attribute(attr="total_seconds"):
                found.append(f"{node.lineno}: float")
            case ast.Attribute(attr=name) if name in CLOCKS:
                found.append(f"{node.lineno}: clock {name}")
            case ast.Import(names=names):
                found += [f"{node.lineno}: import {alias.name}" for alias in names if alias.name in CLOCK_MODULES]
            case ast.ImportFrom(module=module) if module in CLOCK_MODULES:
                found.append(f"{node.lineno}: import {module}")
    return found


@pytest.mark.parametrize("path", RULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_rules_hold_no_float_and_read_no_clock(path: Path) -> None:
    assert offences(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "units = 1.0",
        "units = float(amount)",
        "minutes = delta.total_seconds() // 60",
        "at = datetime.now(UTC)",
        "on = date.today()",
        "import time",
        "from time import time",
        "import random",
    ],
)
def test_a_float_or_a_clock_is_seen(source: str) -> None:
    assert len(offences(source)) == 1


def test_exact_arithmetic_is_left_alone() -> None:
    assert offences("units = Decimal('1.0')\nminutes = delta // timedelta(minutes=1)\nat = time(9, 15)") == []
