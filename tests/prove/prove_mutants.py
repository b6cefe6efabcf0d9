"""R56: the tests of the rules and of the access rules notice a small change of either."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.making import mutants
from tests.mutants.run import KILLED, SURVIVED, explained, in_a_process
from tests.prove.conftest import Prove
from tests.prove.table import share, size

ROOT = Path(__file__).resolve().parents[2]
ACCESS, ITS_TESTS = "infusion/access.py", "tests/web/test_roles.py"
RULES = [
    *(str(each.relative_to(ROOT)) for each in sorted((ROOT / "infusion/services").glob("*.py"))),
    "payers/policy.py",
]


def tried(paths: list[str], tests: str, report: Path) -> list[dict[str, Any]]:
    """What became of each mutant of some files, but of those that were explained."""
    command = [sys.executable, "-m", "tests.mutants.run", "--report", str(report), "--tests", tests, "--", *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]


def all_of(paths: list[str]) -> list[Any]:
    return [each for path in paths for each in mutants(path, (ROOT / path).read_text(encoding="utf-8"))]


@pytest.mark.proves("R56")
def test_a_small_change_fails_a_test(prove: Prove, tmp_path: Path) -> None:
    paths = [*RULES, ACCESS] if size(0, 1) else [ACCESS]
    outcomes = tried([ACCESS], ITS_TESTS, tmp_path / "access")
    if size(0, 1):
        outcomes += tried(RULES, "tests/rules", tmp_path / "rules")
    every = all_of(paths)
    known = sum(each.key in explained() for each in every)
    unseen = [each["mutant"] for each in outcomes if each["end"] in ("survived", "unusable")]
    assert len(outcomes) == len(every) - known
    found = len(outcomes) - len(unseen)
    named = "".join(f"; {each['path']}:{each['line']} {each['was']} -> {each['now']}" for each in unseen)
    prove(
        "R56", "at least 95% of the mutants of the rules and of the access rules found, each survivor explained",
        f"{found:,} of {len(every):,} found ({100 * found / len(every):.1f}%), {known} survive and are explained, "
        f"{len(unseen)} survive unexplained{named}",
        found >= 0.95 * len(every) and not unseen,
    )  # fmt: skip


def covered(*tests: str) -> bool:
    """Whether every branch of the rules and of the access rules is run by these tests."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", *tests, "--cov"]  # what follows it names a source
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


@pytest.mark.proves("R56")
@pytest.mark.skipif(not share(), reason="is `make coverage`")
def test_every_branch_is_run(prove: Prove) -> None:
    whole, half = covered("tests/rules", ITS_TESTS), covered(ITS_TESTS)
    prove("R56", "100% of branches run", "100% of branches run" if whole else "a branch is not run", whole and not half)


def test_a_survivor_would_be_seen(tmp_path: Path) -> None:
    outcomes = tried([ACCESS], f"{ITS_TESTS}::test_roles_are_looked_up_once_a_request", tmp_path / "access")
    assert sum(each["end"] == "survived" for each in outcomes) > 5


def test_a_survivor_in_a_process_of_its_own_would_be_seen() -> None:
    """Bounds of a parameter, which those tests never ask for, and what a policy is made from."""
    made = {each.within: each for each in all_of(["payers/policy.py"]) if each.was in ("0", "init=False")}
    tests = ["tests/rules/test_layers.py"]
    assert in_a_process(made["Parameter"], tests) == SURVIVED
    assert in_a_process(made["PayerPolicy"], tests) == KILLED


def test_every_explained_survivor_is_still_there() -> None:
    keys = {each.key for each in all_of([*RULES, ACCESS])}
    assert set(explained()) <= keys
    assert all(len(why) > 20 for why in explained().values())


def test_each_kind_of_change_is_made() -> None:
    source = """
N = 31
CENT = Decimal("0.01")
def f(a, b=True):
    'words'
    if a:
        g(a)
    for each in a:
        continue
    return a <= b and a not in (min(a, b) + 1, 'J2350', 'for people')
"""
    made = {(each.was, each.now) for each in mutants("x.py", source)}
    assert ("Decimal('0.01')", "Decimal('0.011')") in made
    assert made >= {("31", "32"), ("True", "False"), ("a", "not a"), ("g(a)", "pass"), ("continue", "break")}
    assert {now for was, now in made if was.startswith("(min")} == {
        "(min(a, b) - 1, 'J2350', 'for people')", "(min(a, b) + 1, 'J2350_', 'for people')",
    }  # fmt: skip
    assert ("min(a, b) + 1", "max(a, b) + 1") in made
    ends = [now for _, now in made]
    assert any("a <= b or" in now for now in ends)
    assert not any("for people_" in now or "words_" in now for now in ends)
