"""The worked cases, through the command that anyone can run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infusion.answers import answer

ROOT = Path(__file__).resolve().parents[2]
CASES: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parent / "cases/open.jsonl").read_text(encoding="utf-8").splitlines()
]


def checked(document: dict[str, Any], expected: dict[str, Any]) -> None:
    lines = sorted([line["code"], line["modifiers"], line["units"]] for line in document["lines"])
    found = sorted({finding["code"] for finding in document["findings"] if finding["severity"] == "error"})
    assert document["status"] == expected["status"], found
    assert found == expected.get("errors", [])
    if expected["status"] == "ready":
        assert lines == sorted(expected["lines"])


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    checked(answer(json.dumps(case["input"]).encode()), case["expect"])


def run(lines: list[str]) -> tuple[int, list[dict[str, Any]], str]:
    """The command as a shell starts it: exit status, answers, standard error."""
    result = subprocess.run(
        [sys.executable, "manage.py", "calculate"],
        cwd=ROOT,
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    return result.returncode, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def test_all_cases_in_one_run_keep_their_order() -> None:
    status, answers, errors = run([json.dumps(case["input"]) for case in CASES])
    assert (status, errors) == (0, "")
    assert [each["id"] for each in answers] == [case["id"] for case in CASES]
    for document, case in zip(answers, CASES, strict=True):
        checked(document, case["expect"])


def test_a_broken_line_in_the_middle_is_told_and_the_run_goes_on() -> None:
    lines = [json.dumps(case["input"]) for case in CASES]
    lines[30:30] = ["{not json", '{"id": "typo", "setting": "office", "administrations": [{"rout": "iv_push"}]}']
    status, answers, _ = run(lines)
    assert status == 1
    assert len(answers) == len(CASES) + 2
    assert [each["status"] for each in answers[30:32]] == ["invalid", "invalid"]
    assert [each["id"] for each in answers[29:33]] == [CASES[29]["id"], None, "typo", CASES[30]["id"]]
    fields = [finding["field"] for finding in answers[31]["findings"]]
    assert fields == ["administrations.0.rout", "administrations.0.route"]
    checked(answers[-1], CASES[-1]["expect"])
