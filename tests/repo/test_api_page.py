"""docs/api.md: its examples are run as they stand there, and it names the scopes, codes and bounds of the code."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from infusion.access import ADMIN
from infusion.api import described, errors, tokens
from infusion.api.bodies import MOST_OF_MANY, MOST_OF_ONE
from infusion.models import Clinic
from infusion.models.programs import SCOPES
from payers.actions import add_payer
from tests.web.access_table import PROGRAMS
from tests.web.programs import Program, a_program

PAGE = (Path(__file__).resolve().parents[2] / "docs/api.md").read_text(encoding="utf-8")
EXAMPLES = [
    command
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for command in re.findall(r"curl .*?(?=\ncurl |\Z)", block, re.DOTALL)
]


def asked(command: str, program: Program) -> Any:
    """The reply to a line of curl."""
    words = shlex.split(command.replace("\\\n", " ").replace("$TOKEN", program.token).replace("$SITE", ""))[1:]
    headers, method, address, body = {}, "", "", ""
    while words:
        word = words.pop(0)
        if word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-X":
            method = words.pop(0)
        elif word == "-d":
            body = words.pop(0)
        else:
            address = word
    assert headers["Authorization"] == f"Bearer {program.token}"
    return program.ask(method or ("POST" if body else "GET"), address, body.encode(), **headers)


@pytest.mark.django_db
def test_every_example_does_what_the_page_says(person: Any, clinic: Clinic) -> None:
    add_payer(by=None, slug="medicare", name="Medicare")
    program = a_program(person("admin", ADMIN, clinic))
    replies = [asked(each, program) for each in EXAMPLES]
    assert [reply.status_code for reply in replies] == [200, 200, 201, 200, 200, 200]
    assert [line["units"] for line in replies[1].json()["lines"]] == [1, 1, 600]
    assert (replies[2].headers["ETag"], replies[3].headers["ETag"]) == ('"1"', '"2"')
    refused = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
    wrong = asked(EXAMPLES[2].replace("medicare", "nobody"), program)
    assert (wrong.status_code, wrong.json()) == (422, refused)


def test_the_page_names_the_scopes_and_what_they_open() -> None:
    rows = dict(re.findall(r"^\| `([a-z:]+)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert set(rows) == set(SCOPES)
    for scope, words in rows.items():
        told = sorted(method for method, _ in re.findall(r"`([A-Z]+) (/[^`]+)`", words))
        assert told == sorted(each for cells in PROGRAMS.values() for each, needs in cells.items() if needs == scope)
    named = {path for words in rows.values() for path in re.findall(r"`[A-Z]+ (/[^`]+)`", words)}
    described_paths = {path.removeprefix("/api/v1").replace("{encounter_id}", "{id}") for path in described()["paths"]}
    assert named == described_paths


def test_the_page_names_the_bounds() -> None:
    for words in (f"{tokens.PER_MINUTE} times a minute", f"{MOST_OF_ONE:,} bytes", f"{MOST_OF_MANY:,}"):
        assert words in PAGE
    assert f'"code": "{errors.CODES[422][0]}"' in PAGE
