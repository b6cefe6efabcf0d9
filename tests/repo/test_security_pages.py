"""How to report a weakness, and what is defended against what, are written down and point to what is there."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from tests.prove.table import REQUIREMENTS

ROOT = Path(__file__).resolve().parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
MODEL = (ROOT / "docs/security-model.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (?P<threat>[^|]+) \| (?P<answer>[^|]+) \| `(?P<where>[^|`]+)` \| (?P<rows>[R0-9, ]+) \|$", re.M)
COMMAND = re.compile(r"manage\.py (?P<command>[a-z_]+)")
OF_DJANGO = {"check", "migrate", "collectstatic", "createsuperuser"}


def unanswered(page: str) -> list[str]:
    """Promises that no threat of the page leads to, and threats whose place or promise is not there."""
    rows = list(ROW.finditer(page))
    named = {each for row in rows for each in row["rows"].split(", ")}
    gone = [row["where"] for row in rows if not (ROOT / row["where"]).exists()]
    return [*sorted(set(REQUIREMENTS) - named), *sorted(named - set(REQUIREMENTS)), *gone]


def unknown_commands(texts: Iterable[str]) -> list[str]:
    """Commands of manage.py that a page names and that are not there."""
    own = {path.stem for folder in ("infusion", "payers") for path in (ROOT / folder / "management/commands").glob("*")}
    told = {each["command"] for text in texts for each in COMMAND.finditer(text)}
    return sorted(told - own - OF_DJANGO)


def test_every_promise_answers_a_threat() -> None:
    assert unanswered(MODEL) == []


def test_a_promise_that_answers_none_and_a_place_that_is_gone_are_seen() -> None:
    assert unanswered(MODEL.replace("R31", "R99")) == ["R31", "R99"]
    assert unanswered(MODEL.replace("infusion/idle.py", "infusion/nowhere.py")) == ["infusion/nowhere.py"]


def test_a_weakness_is_reported_privately_and_versions_are_named() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert "privately" in SECURITY
    assert f"| {version}" in SECURITY
    assert "docs/security-model.md" in SECURITY


def test_the_pages_and_units_name_commands_that_are_there() -> None:
    units = [path.read_text() for path in (ROOT / "ops").iterdir()] + [(ROOT / "Containerfile").read_text()]
    assert unknown_commands([SECURITY, OPERATIONS, *units]) == []
    assert unknown_commands(["manage.py bakcup"]) == ["bakcup"]
