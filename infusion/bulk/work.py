"""What is done to one part, wherever: its lines are answered and written, and beside them what there was.

A part is finished when the note beside it is there: both are written under another name first, the note last.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps

from infusion.bulk.parts import Part, lines_of

if TYPE_CHECKING:
    from infusion.answers import Answered, Desk
    from infusion.services.reference import Reference
    from payers.policy import PayerPolicy

COLUMN = "statement"


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What everyone who works on an archive goes by: read once, and sent along with each part.

    They are the same where their digest is.
    """

    digest: str
    policies: tuple[tuple[str, PayerPolicy], ...]
    reference: Reference

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rules) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@lru_cache(maxsize=1)
def desk_of(rules: Rules) -> Desk:
    """One in each process, which remembers what it has answered."""
    if not apps.ready:
        django.setup()
    from infusion.answers import Desk  # once Django is there

    return Desk(dict(rules.policies), rules.reference)


def note_of(folder: Path, part: Part) -> Path:
    return folder / f"part-{part.number:06}.json"


def work_on(part: Part, rules: Rules, folder: str, form: str) -> dict[str, Any]:
    """Answer a part, write it, and tell what it came to."""
    target = Path(folder) / f"part-{part.number:06}.{form}"
    half = target.with_suffix(f".{os.getpid()}.half")
    write = _write_parquet if form == "parquet" else _write_lines
    count, readable = write(half, _answers(part, desk_of(rules)))
    half.replace(target)
    told = {"encounters": count, "readable": readable, "sha256": _checksum(target)}
    half.write_text(json.dumps(told), encoding="utf-8")
    half.replace(note_of(Path(folder), part))
    return told


def _answers(part: Part, desk: Desk) -> Iterator[Answered]:
    from infusion.answers import LINES_AT_ONCE

    lines = lines_of(part)
    while some := list(islice(lines, LINES_AT_ONCE)):
        yield desk.answers(some)


def _write_lines(path: Path, answers: Iterator[Answered]) -> tuple[int, bool]:
    count, readable = 0, True
    with path.open("wb") as stream:
        for each in answers:
            stream.write(each.text.encode() + b"\n")
            count, readable = count + each.many, readable and each.readable
        stream.flush()
        os.fsync(stream.fileno())
    return count, readable


def _write_parquet(path: Path, answers: Iterator[Answered]) -> tuple[int, bool]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, readable, schema = 0, True, pa.schema([(COLUMN, pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for each in answers:
            writer.write_batch(pa.record_batch([each.text.split("\n")], schema=schema))
            count, readable = count + each.many, readable and each.readable
    return count, readable


def _checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
