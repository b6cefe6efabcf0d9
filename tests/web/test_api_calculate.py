"""What a program is told of an encounter is what the command line says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infusion.answers import answer
from infusion.api.bodies import MOST_ENCOUNTERS, MOST_OF_MANY, MOST_OF_ONE
from infusion.models import User
from payers.models import Payer
from tests.rules.random_encounters import encounters
from tests.web.programs import Program, a_program, as_json, error_of

pytestmark = pytest.mark.django_db
CASES = (Path(__file__).parents[1] / "rules/cases/open.jsonl").read_text(encoding="utf-8").splitlines()
BARE = {"setting": "office", "administrations": [{"route": "iv_push", "drug": "J1200"}]}


@pytest.fixture
def program(admin_user: User) -> Program:
    return a_program(admin_user, ["calculate"])


def test_one_and_many_are_answered_as_on_the_command_line(program: Program, medicare: Payer) -> None:
    lines = [json.dumps(json.loads(case)["input"]) for case in CASES]
    lines += [as_json({**each, "payer": "medicare"}).decode() for each in encounters(3, 60)]
    lines += ['{"id": "x", "setting": "nowhere"}', '{"setting": "office", "payer": "nobody"}', "7"]
    lines += ['{"id": 1, "setting": "office", "setting": "home"}', '{"setting": "office", "id": NaN}']
    expected = [answer(line.encode()) for line in lines]
    reply = program.ask("POST", "calculate/many", f" [{' , '.join(lines)}]\n".encode())
    assert reply.status_code == 200
    assert reply.json() == json.loads(json.dumps(expected))
    assert {each["status"] for each in expected} == {"ready", "blocked", "invalid"}
    for line, told in list(zip(lines, expected, strict=True))[::9]:
        reply = program.ask("POST", "calculate", line.encode())
        if told["status"] == "invalid":
            assert reply.status_code == 422
            fields = [(each["path"], each["reason"]) for each in error_of(reply)["fields"]]
            findings: Any = told["findings"]
            assert fields == [(each["field"] or "", each["message"]) for each in findings]
        else:
            assert reply.json() == json.loads(json.dumps(told))


def test_what_cannot_be_read_is_told_with_what_stands_there(program: Program) -> None:
    reply = program.ask("POST", "calculate", {**BARE, "setting": "spa", "administrations": [{"route": 1}]})
    assert error_of(reply)["fields"][0] == {
        "path": "administrations.0.route", "value": "1", "reason": error_of(reply)["fields"][0]["reason"],
    }  # fmt: skip
    assert [each["value"] for each in error_of(reply)["fields"]] == ["1", "spa"]


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1} x', b"\xff\xfe\x00", b'"\\ud800"', b"[" * 3000, b"1" * 5000])
def test_what_is_no_json_is_no_fault_of_ours(program: Program, body: bytes) -> None:
    for address in ("calculate", "calculate/many"):
        reply = program.ask("POST", address, body)
        assert reply.status_code == 422, address
        assert error_of(reply)["fields"]


@pytest.mark.parametrize("body", [b"{}", b"[1", b"[1,]", b"[,]", b"[1] 2", b"[1 2]"])
def test_many_is_a_list(program: Program, body: bytes) -> None:
    assert program.ask("POST", "calculate/many", body).status_code == 422
    assert program.ask("POST", "calculate/many", b" [ ] ").json() == []


def test_what_is_too_large_is_refused_before_it_is_read(program: Program) -> None:
    for address, most in (("calculate", MOST_OF_ONE), ("calculate/many", MOST_OF_MANY)):
        reply = program.ask("POST", address, b" " * (most + 1))
        assert (reply.status_code, error_of(reply)["code"]) == (413, "too_large")
        assert f"{most:,}" in error_of(reply)["message"]
        assert program.ask("POST", address, b" " * most).status_code == 422
    # What comes after one too many is not looked at.
    reply = program.ask("POST", "calculate/many", b"[7" + b",7" * MOST_ENCOUNTERS + b",?")
    assert (reply.status_code, error_of(reply)["code"]) == (413, "too_large")
    assert "More than 1,000 encounters" in error_of(reply)["message"]
    many = program.ask("POST", "calculate/many", [{**BARE, "id": "x" * MOST_OF_ONE}, BARE]).json()
    assert [each["status"] for each in many] == ["invalid", "blocked"]
