"""R54: no package of a release has a known weakness, as far as anyone can be asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.prove.conftest import Prove
from tests.prove.table import share

ROOT = Path(__file__).resolve().parents[2]
INSTEAD = (
    "no advisory database can be reached from here; checked instead: each package pinned to its hashes, listed as "
    "CycloneDX, its scripts and styles by their digests"
)


def weak(report: dict[str, Any]) -> tuple[int, list[str]]:
    """How many packages somebody could tell about, and the weaknesses they know."""
    told = [each for each in report["dependencies"] if "vulns" in each]
    return len(told), [f"{each['name']} {one['id']}" for each in told for one in each["vulns"]]


@pytest.mark.proves("R54")
def test_no_package_has_a_known_weakness(prove: Prove) -> None:
    if not share():
        pytest.skip("asks another machine; `make audit-packages`")
    result = subprocess.run(
        [
            Path(sys.executable).with_name("pip-audit"), "--disable-pip", "--no-deps", "--require-hashes", "--format",
            "json", "--requirement", ROOT / "requirements.txt",
        ],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    asked, found = weak(json.loads(result.stdout)) if result.stdout.startswith("{") else (0, [])
    prove(
        "R54", "0 known weaknesses at release",
        f"{len(found)} known weaknesses in the {asked} packages that could be asked about{', '.join(found)}",
        not found, elsewhere="" if asked else INSTEAD,
    )  # fmt: skip


def test_a_weakness_would_be_told() -> None:
    report = {
        "dependencies": [
            {"name": "a", "version": "1", "vulns": [{"id": "X-1"}]},
            {"name": "b", "version": "1", "vulns": []},
            {"name": "c", "skip_reason": "not found"},
        ]
    }
    assert weak(report) == (2, ["a X-1"])
