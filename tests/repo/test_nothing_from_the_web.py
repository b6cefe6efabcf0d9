"""Nothing is fetched from another host: no page loads from one, no file names a package registry."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Put together here, because this file is searched too.
REGISTRIES = re.compile("|".join(name + re.escape("." + end) for name, end in (
    ("py" + "pi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("jsdelivr", "net"),
    ("unpkg", "com"), ("cdnjs", "com"), ("googleapis", "com"),
)), re.IGNORECASE)  # fmt: skip
LOADED = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", re.I)
LOADED_BY_CSS = re.compile(r"""(?:@import|url\()\s*["']?\s*(?:https?:)?//""", re.I)


def kept_files() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def texts(*suffixes: str) -> dict[str, str]:
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8", errors="replace")
        for path in kept_files()
        if not suffixes or path.suffix in suffixes
    }


def test_no_file_names_a_package_registry() -> None:
    assert [name for name, text in texts().items() if REGISTRIES.search(text)] == []


def test_no_requirement_carries_an_address() -> None:
    lines = (ROOT / "requirements.txt").read_text() + (ROOT / "requirements-dev.txt").read_text()
    assert "--hash=sha256:" in lines
    assert re.findall(r"://|--(?:extra-)?index-url|--find-links", lines) == []


def test_no_template_and_no_style_loads_from_the_web() -> None:
    assert [name for name, text in texts(".html", ".svg").items() if LOADED.search(text)] == []
    assert [name for name, text in texts(".html", ".css").items() if LOADED_BY_CSS.search(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        '<script defer src="https://host.example/a.js"></script>',
        '<link rel="stylesheet" href="//host.example/a.css">',
        "<img alt='' src = 'http://host.example/a.png'>",
    ],
)
def test_a_load_from_the_web_is_seen(text: str) -> None:
    assert LOADED.search(text)


def test_a_link_that_people_follow_is_left_alone() -> None:
    assert not LOADED.search('<a href="https://host.example/rule">source</a> <link rel="icon" href="data:,">')


def test_a_registry_is_seen() -> None:
    assert REGISTRIES.search("files.Python" + "Hosted.org")
    assert LOADED_BY_CSS.search('@import url("https://host.example/font.css")')
