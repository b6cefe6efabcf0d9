"""Scripts and styles of others come out of packages, are the ones that were looked at, and are listed for a release."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from django.contrib.staticfiles import finders

ROOT = Path(__file__).resolve().parents[2]
# Looked at when its package was taken in. Another digest is another file: look at it again before it goes here.
LOOKED_AT = {
    "bootstrap/css/bootstrap.min.css": "d85327d99c7a3ee1f9b5d0500d1370acea3ad2db39c163c2f51f232baedbdede",
    "django_htmx/htmx-2.min.js": "71ea67185bfa8c98c39d31717c6fce5d852370fcdfd129db4543774d3145c0de",
    "mfa/js/webauthn-json.js": "d7088f0d91b85ad37c2d8c1f34710f0f495fa17732e686cea6abdd5599ddf56d",
}
LOADED = re.compile(r"""{%\s*static\s+["']([^"']+)["']""")


def packaged() -> set[str]:
    """What templates load that is not a file of our own."""
    templates = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "templates").rglob("*.html"))
    found = {name for name in LOADED.findall(templates) if not (ROOT / "static" / name).exists()}
    return found | {"django_htmx/htmx-2.min.js"} if "{% htmx_script %}" in templates else found


def others(looked_at: Mapping[str, str]) -> list[str]:
    """Files that are not the ones that were looked at."""
    found = []
    for name in sorted(packaged()):
        path = finders.find(name)
        assert isinstance(path, str), name
        if hashlib.sha256(Path(path).read_bytes()).hexdigest() != looked_at.get(name):
            found.append(name)
    return found


def test_packaged_scripts_and_styles_are_the_ones_that_were_looked_at() -> None:
    assert others(LOOKED_AT) == []


def test_another_file_and_a_new_one_are_seen() -> None:
    assert others({**LOOKED_AT, "django_htmx/htmx-2.min.js": "0" * 64}) == ["django_htmx/htmx-2.min.js"]
    assert others({}) == sorted(packaged())


def unpinned(requirements: str) -> list[str]:
    """Requirements without one exact version and a hash."""
    each = re.split(r"\n(?=[a-z])", re.sub(r"^ *#.*\n", "", requirements, flags=re.M).strip())
    return [line for line in each if not re.match(r"[a-z0-9._-]+(?:\[[a-z,]+\])?==\S+", line) or "--hash=" not in line]


def test_every_package_is_pinned_to_a_version_and_its_hashes() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-archive.txt", "requirements-compile.txt"):
        assert unpinned((ROOT / name).read_text()) == []
    assert len(unpinned("django>=5\nbiip==5.2.0 \\\n    --hash=sha256:abc\ncsp==4.0\n")) == 2


def test_a_release_is_listed_with_every_package(tmp_path: Path) -> None:
    """As `make sbom` does."""
    tool, file = Path(sys.executable).with_name("cyclonedx-py"), tmp_path / "sbom.json"
    subprocess.run(
        [tool, "requirements", "--output-format", "JSON", "--output-file", file, ROOT / "requirements.txt"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    listed = {each["name"] for each in json.loads(file.read_text())["components"]}
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.txt").read_text(), re.M))
    assert listed == pinned
    assert "django" in listed
