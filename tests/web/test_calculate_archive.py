"""`manage.py calculate_archive`: the same answers as `calculate`, in parts that are done once.

A cluster is measured, and compared byte for byte, in `tests/bench/bench_scale.py`; it does to a part what is done here.
"""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from infusion.answers import Desk
from infusion.bulk import archive
from infusion.bulk.parts import cut, lines_of
from infusion.services.reference import shipped_reference
from payers.actions import publish_override
from payers.models import Payer
from tests.rules.shorthand import encounter, infused
from tests.web.test_impact import departure

READY = [encounter(infused("J2350", 0, minutes), id=f"e{minutes}") for minutes in range(16, 216)]


def written(path: Path, documents: list[Any], end: str = "\n") -> Path:
    path.write_text("\n".join(map(json.dumps, documents)) + end, encoding="utf-8")
    return path


def calculated(source: Path, folder: Path, **options: Any) -> str:
    out = io.StringIO()
    call_command("calculate_archive", str(source), str(folder), part_mb=0.005, stdout=out, **options)
    return out.getvalue()


def parts_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("part-*.jsonl")))


def alone(source: Path) -> bytes:
    return Desk({}, shipped_reference()).answers(list(source.open("rb"))).text.encode() + b"\n"


@pytest.mark.parametrize("end", ["\n", ""])
def test_every_line_is_in_one_part_however_it_is_cut(tmp_path: Path, end: str) -> None:
    source = tmp_path / "lines.jsonl"
    source.write_bytes("\n".join(["a", "", "bb", "é" * 3, "c" * 9, ""]).encode() + end.encode())
    whole = list(source.open("rb"))
    for size in range(1, source.stat().st_size + 2):
        assert [line for part in cut([source], size) for line in lines_of(part)] == whole, size


@pytest.mark.django_db
def test_parts_are_what_calculate_answers_byte_for_byte(tmp_path: Path) -> None:
    source, folder = written(tmp_path / "lines.jsonl", READY), tmp_path / "out"
    told = calculated(source, folder)
    assert len(list(folder.glob("part-*.jsonl"))) > 5
    assert parts_of(folder) == alone(source)
    assert told.startswith("200 encounters are answered")


@pytest.mark.django_db
def test_what_is_finished_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, folder = written(tmp_path / "lines.jsonl", READY), tmp_path / "out"
    work, done = archive.work_on, []

    def three_and_no_more(part: Any, *rest: Any) -> Any:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(part.number)
        return work(part, *rest)

    monkeypatch.setattr(archive, "work_on", three_and_no_more)
    with pytest.raises(KeyboardInterrupt):
        calculated(source, folder)
    (folder / "part-000003.jsonl").write_text("half a part, without its note")
    monkeypatch.setattr(archive, "work_on", lambda part, *rest: done.append(part.number) or work(part, *rest))
    calculated(source, folder)
    assert done == sorted(set(done)), "a part was done twice"
    assert parts_of(folder) == alone(source)
    assert "0 parts of them now" in calculated(source, folder)


@pytest.mark.django_db
def test_parts_of_other_rules_are_not_mixed(tmp_path: Path, medicare: Payer, admin_user: Any) -> None:
    source, folder = written(tmp_path / "lines.jsonl", READY[:3]), tmp_path / "out"
    calculated(source, folder)
    with pytest.raises(CommandError, match="answered with other form"):
        calculated(source, folder, format="parquet")
    written(source, READY[:4])
    with pytest.raises(CommandError, match="answered with other files"):
        calculated(source, folder)
    written(source, READY[:3])
    other = tmp_path / "other"
    calculated(source, other)
    publish_override(by=admin_user, payer=medicare, departure=departure(date(2027, 1, 1)), status="unverified")
    with pytest.raises(CommandError, match="answered with other rules"):
        calculated(source, other)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(CommandError, match="is not empty"):
        calculated(source, tmp_path / "full")


@pytest.mark.django_db
def test_a_line_that_is_no_encounter_makes_the_status_1(tmp_path: Path) -> None:
    source = written(tmp_path / "lines.jsonl", [READY[0], {"setting": "moon"}])
    for _ in range(2):  # also where its part was finished before
        with pytest.raises(SystemExit, match="1"):
            calculated(source, tmp_path / "out")


@pytest.mark.django_db
def test_parquet_goes_in_and_out(tmp_path: Path) -> None:
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    source, folder = tmp_path / "archive", tmp_path / "out"
    source.mkdir()
    texts = [json.dumps(document) for document in READY[:25]]
    table = arrow.table({"clinic": ["7"] * 26, "encounter": [*texts, None]})
    parquet.write_table(table, source / "2025.parquet", row_group_size=10)
    with pytest.raises(SystemExit):  # the last row holds no encounter
        calculated(source, folder, format="parquet")
    found = [parquet.read_table(path).column("statement").to_pylist() for path in sorted(folder.glob("*.parquet"))]
    assert [len(each) for each in found] == [10, 10, 6]
    lines = written(tmp_path / "lines.jsonl", READY[:25])
    assert json.loads(found[-1].pop())["status"] == "invalid"
    assert "\n".join(text for each in found for text in each).encode() + b"\n" == alone(lines)
