"""Who may import whom."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted([*(ROOT / "infusion/services").rglob("*.py"), ROOT / "payers/policy.py"])
OWN = ("infusion.services", "payers.policy")


def foreign_imports(source: str) -> list[str]:
    """Modules that are neither the standard library's nor the rules' own."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            own = any(name == root or name.startswith(root + ".") for root in OWN)
            if not own and name.split(".")[0] not in sys.stdlib_module_names:
                found.append(name)
    return found


@pytest.mark.parametrize("path", RULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_rules_import_the_standard_library_alone(path: Path) -> None:
    assert foreign_imports(path.read_text()) == []


def test_a_foreign_import_in_the_rules_is_seen() -> None:
    source = "import json\nfrom django.db import models\nfrom payers.policy import PARAMETERS\nimport infusion.models"
    assert foreign_imports(source) == ["django.db", "infusion.models"]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-logo", "--no-cache"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def test_import_contracts_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("path", "line", "contract"),
    [
        ("infusion/services/clock.py", "import django", "The rules know no framework"),
        ("infusion/services/clock.py", "import infusion.urls", "Inside infusion"),
        ("infusion/exchange/claim.py", "import django", "The formats of a claim"),
        ("infusion/exchange/claim.py", "import infusion.models", "Inside infusion"),
        ("payers/apps.py", "import infusion.services", "Payers know nothing of infusion"),
        ("payers/policy.py", "import payers.models", "Inside payers"),
    ],
)
def test_a_broken_import_contract_is_seen(tmp_path: Path, path: str, line: str, contract: str) -> None:
    for package in ("infusion", "payers"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "payers/models.py").touch()
    with (tmp_path / path).open("a") as file:
        file.write(f"\n{line}\n")

    result = lint_imports(tmp_path)

    assert result.returncode == 1
    broken = [row for row in result.stdout.splitlines() if " BROKEN" in row]
    assert any(row.startswith(contract) for row in broken), result.stdout
