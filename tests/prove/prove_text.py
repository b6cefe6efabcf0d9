"""R22-R25: patterns, letters that look like others, names from lists, and files that a spreadsheet may open."""

from __future__ import annotations

import ast
import csv
import io
import random
import re
import subprocess
import time
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from infusion import time_entry
from infusion.amount_entry import read_amount
from infusion.exchange.charge_csv import defused, restored
from infusion.models import User
from infusion.spreadsheet import safe_cell, spreadsheet_bytes
from infusion.time_entry import TimeOfDay, read_date, read_time
from tests.prove.conftest import Prove
from tests.prove.hostile import HOSTILE
from tests.prove.table import share, size
from tests.web.access_table import BILLING
from tests.web.conftest import House

ROOT = Path(__file__).resolve().parents[2]
PARTS = sorted(each for room in ("infusion", "payers") for each in (ROOT / room).rglob("*.py"))

# R22 ------------------------------------------------------------------------------------------------------------------

ANYWHERE = ("search", "sub", "split", "findall", "finditer")
USES = {"compile", "match", "fullmatch", *ANYWHERE}
PUMPS = [
    "a",
    "A",
    "0",
    "9",
    " ",
    "-",
    ".",
    ",",
    ":",
    "1:",
    "a ",
    " 1",
    "x.",
    "1,",
    "(",
    "é",
    "\n",
    "'",
    '"',
    "a-",
    "ab1 ",
]
SLOWEST_SECONDS = 0.05


def patterns(source: str, everything: str) -> Iterator[tuple[str, bool]]:
    """Every pattern that a module writes out, with an x for a part in braces, and whether it is looked for anywhere.

    One with a name of its own is looked for where any module says so.
    """
    tree = ast.parse(source)
    named = {
        id(node.value): node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=used), args=[first, *_]) if used in USES:
                if used == "compile":
                    name = named.get(id(node), "")
                    anywhere = not name or bool(re.search(rf"\b{name}\.({'|'.join(ANYWHERE)})\(", everything))
                else:
                    anywhere = used in ANYWHERE
                if isinstance(first, ast.Constant):
                    yield str(first.value), anywhere
                elif isinstance(first, ast.JoinedStr):
                    parts = (str(each.value) if isinstance(each, ast.Constant) else "x" for each in first.values)
                    yield "".join(parts), anywhere


def grows(pattern: str, anywhere: bool, most: int) -> str:
    """Where twice the text takes three times as long, or any text more than 50 ms; empty when nowhere.

    Processor time, the best of three, and only where there is anything to measure.
    """
    compiled = re.compile(pattern)

    def seconds(text: str) -> float:
        best = 9.0
        for _ in range(3 if share() else 1):
            began = time.process_time()
            for way in (compiled.fullmatch, compiled.match, *([compiled.search] if anywhere else [])):
                way(text)
            best = min(best, time.process_time() - began)
        return best

    for pump in PUMPS if share() else PUMPS[::4]:
        length = most // len(pump) // 2
        once, twice = seconds(pump * length + "!"), seconds(pump * length * 2 + "!")
        if twice > SLOWEST_SECONDS and twice > 3 * once:
            return f"{pump!r} x {length:,}: {once * 1000:.0f} ms, twice as many {twice * 1000:.0f} ms"
    return ""


@pytest.mark.proves("R22")
def test_no_pattern_grows_faster_than_its_text(prove: Prove) -> None:
    sources = [path.read_text(encoding="utf-8") for path in PARTS]
    known = sorted({each for source in sources for each in patterns(source, "\n".join(sources))})
    most = size(4_000, 100_000)
    slow = {each[0]: where for each in known if (where := grows(*each, most))}
    prove(
        "R22", "100% of patterns linear on texts of up to 100,000 characters",
        f"{len(known) - len(slow)} of {len(known)} patterns linear on texts of {most:,}"
        + "".join(f"; {pattern}: {where}" for pattern, where in slow.items()),
        not slow and len(known) > 40,
    )  # fmt: skip


def test_a_pattern_that_goes_back_and_forth_would_be_seen() -> None:
    assert grows(r"a*a*a*b", False, 800)
    assert grows(r"\s*x", True, 20_000)
    assert not grows(r"\s*x", False, 20_000)
    source = 'A = re.compile("a+")\nre.sub(f"b{x}", "", y)\nother.match("c")'
    assert list(patterns(source, source)) == [("a+", False), ("bx", True)]
    assert next(patterns(source, source + "; A.search(z)")) == ("a+", True)


DAY = date(2026, 3, 10)

# R23 ------------------------------------------------------------------------------------------------------------------

DIGITS = [chr(code) for code in range(0x80, 0x1FFFF) if unicodedata.category(chr(code)) in ("Nd", "No", "Nl")]
INVISIBLE = [
    "\u200b",
    "\u200c",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u202a",
    "\u202e",
    "\u2066",
    "\u00ad",
    "\u034f",
    "\u061c",
]
MARKS = ["\u0301" * count for count in (1, 5, 100)]


def half_read() -> list[str]:
    """Entries whose strange letter was left out or taken for another one, so that they read as a different entry."""
    wrong = []
    for letter in [*(DIGITS if share() else DIGITS[::25]), *INVISIBLE, *MARKS]:
        same = unicodedata.normalize("NFKC", letter)
        digit = (
            str(unicodedata.digit(letter)) if len(letter) == 1 and unicodedata.digit(letter, None) is not None else ""
        )
        for typed in (f"1{letter}:30", f"{letter}9:30", f"9:{letter}0", f"9:30{letter}"):
            found = read_time(typed)
            if isinstance(found, TimeOfDay):
                whole = {typed.replace(letter, each) for each in (same, digit) if each} | {typed.replace(letter, "")}
                if not any(read_time(each) == found for each in whole):
                    wrong.append(f"{typed!a} as {found}")
                elif digit and found != read_time(typed.replace(letter, digit)):
                    wrong.append(f"{typed!a} without its {digit}")
        for typed in (f"1{letter}0", f"{letter}5", f"3{letter}"):
            value = read_amount(typed, "Dose")
            if isinstance(value, Decimal) and digit and value != Decimal(typed.replace(letter, digit)):
                wrong.append(f"amount {typed!a} as {value}")
        typed, meant = (read_date(f"3/1{each}/2026", DAY) for each in (letter, digit))
        if isinstance(typed, date) and digit and typed != meant:
            wrong.append(f"date with {letter!a}")
    return wrong


@pytest.mark.proves("R23")
def test_strange_letters_are_read_whole_or_refused(prove: Prove) -> None:
    wrong = half_read()
    number = (len(DIGITS if share() else DIGITS[::25]) + len(INVISIBLE) + len(MARKS)) * 8
    prove(
        "R23", "300 of 300 strange entries read whole or refused",
        f"{number - len(wrong):,} of {number:,}" + "".join(f"; {each}" for each in wrong[:4]), not wrong,
    )  # fmt: skip


def test_a_letter_that_is_dropped_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def drops(text: str) -> str:
        return "".join(letter for letter in text if letter.isascii()).strip()

    monkeypatch.setattr(time_entry, "plain_text", drops)
    assert any("without its" in each or " as " in each for each in half_read())


# R24 ------------------------------------------------------------------------------------------------------------------

RAW = {"extra", "raw", "RawSQL"}
ASKED = re.compile(r"request\.(GET|POST)\b")
LOOKED_FOR = ("filter", "exclude", "get")
NAMED = ("order_by", "values", "values_list", "annotate", "alias", "aggregate", "only", "defer", "distinct")


def from_the_request(source: str) -> list[str]:
    """Where what was asked could become a part of a statement."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        words = ast.unparse(node)
        if name in RAW:
            found.append(f"{node.lineno}: {name}")
        # A value may be looked for by what was asked; a name may not be taken from it.
        names = node.args if name in LOOKED_FOR else [*node.args, *node.keywords] if name in NAMED else []
        if not ASKED.match(words) and any(ASKED.search(ast.unparse(each)) for each in names):
            found.append(f"{node.lineno}: {words[:60]}")
        if any(each.arg is None and re.search(r"request|GET|POST", ast.unparse(each.value)) for each in node.keywords):
            found.append(f"{node.lineno}: ** from a request")
    return found


LISTS = {
    "encounters": ("view", "sort", "payer", "state", "finding", "drug", "person", "from", "until", "hold",
    "search", "page"),
    "batches": ("page", "made"), "fees": ("on", "page"), "tables": ("page", "code"),
    "reports": ("payer", "drug", "from", "until", "report", "page"), "payers:list": ("on", "q"),
}  # fmt: skip


def is_named(sql: str) -> bool:
    """Whether the mark of a payload is in a statement as more than a text that is looked for."""
    return "zzq" in re.sub(r"'(?:[^']|'')*'", "", sql)


def statements(client: Client, address: str, asked: dict[str, str]) -> tuple[int, set[str]]:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        status = client.get(address, asked).status_code
    return status, {each["sql"] for each in queries.captured_queries}


@pytest.mark.proves("R24")
@pytest.mark.usefixtures("no_touch_is_written")
def test_lists_take_names_from_a_list(house: House, prove: Prove) -> None:
    found = [f"{path.relative_to(ROOT)}:{each}" for path in PARTS for each in from_the_request(path.read_text("utf-8"))]
    client, dice = Client(raise_request_exception=False), random.Random(24)
    client.force_login(house.people[BILLING])
    asked = errors = reached = 0
    for name, parameters in LISTS.items():
        for turn in range(size(3, 500)):
            payload = (
                f"{dice.choice(HOSTILE)[:300]}zzq{turn}" if turn % 2 else f"-{dice.choice(HOSTILE)[:200]}zzq{turn}"
            )
            chosen = dice.choice(parameters)
            status, sql = statements(client, reverse(name), {chosen: payload})
            asked += 1
            errors += status >= 500
            reached += any(map(is_named, sql))
    prove(
        "R24", "0 x 5xx and no part of a statement out of a request, in 500 payloads for each list",
        f"{errors} x 5xx and {reached} in a statement, of {asked:,} requests to {len(LISTS)} lists; "
        f"{len(found)} places in the code{': ' + '; '.join(found[:3]) if found else ''}",
        not errors and not reached and not found,
    )  # fmt: skip


@pytest.mark.parametrize(
    "source",
    [
        "rows.order_by(request.GET['sort'])",
        "rows.order_by(request.GET.get('sort', 'pk'))",
        "rows.values_list(*request.POST.getlist('column'))",
        "rows.filter(request.GET.get('what'))",
        "rows.filter(**request.GET.dict())",
        "rows.extra(where=[x])",
        "RawSQL(x, [])",
    ],
)
def test_a_name_from_a_request_would_be_seen(source: str) -> None:
    assert from_the_request(source)


def test_a_value_from_a_request_may_be_looked_for() -> None:
    assert not from_the_request("rows.filter(number=request.POST.get('claim', '')).order_by('pk')")


@pytest.mark.django_db
def test_a_name_in_a_statement_would_be_seen() -> None:
    rows = User.objects.annotate(zzq=F("pk") + 1)
    with CaptureQueriesContext(connection) as queries:
        list(rows.filter(username="zzq' it's").order_by("pk").values("pk"))
        list(rows.values("zzq"))
    assert [is_named(each["sql"]) for each in queries.captured_queries] == [False, True]


# R25 ------------------------------------------------------------------------------------------------------------------

STARTS = [
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "\0",
    "＝",
    "＋",
    "－",
    "＠",
    "|",
    "%",
    " =",
    "\u00a0=",
    "'",
    '"',
    ";=",
    ",=",
]
FORMULAS = [start + rest for start in STARTS for rest in ("1+1", 'HYPERLINK("x")', "cmd|' /C calc'!A0", "")]


def is_run(cell: str) -> bool:
    """Whether a spreadsheet may take a cell for a formula: by its first letter, whatever width that has."""
    first = unicodedata.normalize("NFKC", cell.lstrip())[:1]
    number = re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", cell)
    return (first in ("=", "+", "-", "@") and not number) or cell[:1] in ("\t", "\r", "\n", "\0")


def random_cell(dice: random.Random) -> str:
    letters = ["a", "1", "=", "-", "+", "@", ",", '"', "'", "\n", "\t", ";", " ", "é", "＝", "|", "\u2028"]
    return "".join(dice.choice(letters) for _ in range(dice.randint(0, 12)))


def as_read(safe: Callable[[Any], str], cells: list[str]) -> list[str]:
    """The cells as a reader of CSV gets them back."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([[safe(cell)] for cell in cells])
    return [row[0] if row else "" for row in csv.reader(io.StringIO(text.getvalue(), newline=""))]


def formulas_in_libreoffice(folder: Path, rows: bytes) -> int:
    """How many cells of a CSV file LibreOffice takes for a formula when it opens it."""
    (folder / "opened.csv").write_bytes(rows)
    subprocess.run(
        [
            "soffice", "--headless", f"-env:UserInstallation={(folder / 'profile').as_uri()}",
            "--infilter=CSV:44,34,76,1",  # commas, double quotes, UTF-8, from the first row
            "--convert-to", "fods", "--outdir", folder, folder / "opened.csv",
        ],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    opened = (folder / "opened.fods").read_text()
    assert "<table:table-row" in opened
    return opened.count("table:formula=")


def as_csv(cells: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([[cell] for cell in cells])
    return text.getvalue().encode()


@pytest.mark.proves("R25")
def test_what_leaves_is_safe_to_open(prove: Prove, tmp_path: Path) -> None:
    dice = random.Random(25)
    cells = [*FORMULAS, *HOSTILE[:60], *(random_cell(dice) for _ in range(size(1_000, 10_000)))]
    cells = [cell for cell in cells if "\0" not in cell[1:]]
    spreadsheet = spreadsheet_bytes(["x"], [[cell] for cell in cells])
    run = sum(is_run(cell) for safe in (defused, safe_cell) for cell in as_read(safe, cells))
    back = sum(restored(cell) == original for cell, original in zip(as_read(defused, cells), cells, strict=True))
    kept = [row[0] if row else "" for row in csv.reader(io.StringIO(spreadsheet.decode("utf-8-sig"), newline=""))][1:]
    opened, seen = "", True
    if share():
        ours = [formulas_in_libreoffice(tmp_path, rows) for rows in (spreadsheet, as_csv([*map(safe_cell, cells)]))]
        raw = formulas_in_libreoffice(tmp_path, as_csv(cells))
        opened = f"; LibreOffice finds {sum(ours)} in two files, {raw} in the same cells as they were typed"
        seen = sum(ours) == 0 < raw
    prove(
        "R25", "0 formula cells, 100% read back the same",
        f"{run} formula cells of {2 * len(cells):,}; {back:,} of {len(cells):,} read back the same{opened}",
        run == 0 and seen and back == len(cells) == len(kept),
    )  # fmt: skip


def test_a_cell_as_it_is_would_be_run() -> None:
    assert sum(is_run(cell) for cell in as_read(str, FORMULAS)) > 20
