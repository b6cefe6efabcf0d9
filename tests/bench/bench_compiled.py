"""The rules as machine code give what the rules as Python give: `make bench`, after `make compiled`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.prove.hashes import ROOT, SETTINGS, hash_under

COMPILED = ROOT / "var" / "compiled"
ENCOUNTERS = 20_000


def file_of_the_rules(root: Path) -> str:
    asked = [sys.executable, "-c", "from infusion.services import calculate; print(calculate.__file__)"]
    return subprocess.run(asked, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def test_both_give_the_same_statements() -> None:
    assert file_of_the_rules(ROOT).endswith(".py")
    assert file_of_the_rules(COMPILED).endswith(".so")
    compiled, python = (hash_under(SETTINGS[0], ENCOUNTERS, root) for root in (COMPILED, ROOT))
    assert compiled == python != hash_under(SETTINGS[0], ENCOUNTERS - 1, COMPILED)
    print(f"\n{ENCOUNTERS:,} encounters: the same statements from machine code as from Python")  # noqa: T201
