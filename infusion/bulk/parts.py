"""An archive cut into parts, each of which is read by itself: bytes of a JSON Lines file, or a row group of Parquet.

A line belongs to the part that it begins in. In Parquet an encounter is the text in the column `encounter`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

COLUMN = "encounter"
ROWS_READ_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Part:
    """`begin` and `end` are bytes of a JSON Lines file; of a Parquet file `begin` is the row group."""

    number: int
    file: str
    begin: int
    end: int

    @property
    def is_parquet(self) -> bool:
        return self.file.endswith(".parquet")


def files_in(source: Path) -> list[Path]:
    """The file itself, or the archive's files of a folder by name."""
    if source.is_dir():
        return sorted(each for each in source.iterdir() if each.suffix in (".jsonl", ".parquet"))
    return [source]


def cut(files: Iterable[Path], part_bytes: int) -> list[Part]:
    parts: list[Part] = []
    for file in files:
        for begin, end in _pieces(file, part_bytes):
            parts.append(Part(len(parts), str(file), begin, end))
    return parts


def _pieces(file: Path, part_bytes: int) -> Iterator[tuple[int, int]]:
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        yield from ((group, group + 1) for group in range(pq.ParquetFile(file).num_row_groups))
        return
    size = file.stat().st_size
    yield from ((begin, min(begin + part_bytes, size)) for begin in range(0, size, part_bytes))


def lines_of(part: Part) -> Iterator[bytes]:
    return _rows(part) if part.is_parquet else _lines(part)


def _lines(part: Part) -> Iterator[bytes]:
    with Path(part.file).open("rb") as stream:
        if part.begin:
            stream.seek(part.begin - 1)
            stream.readline()  # the rest of a line that began before, or the end of the last one
        while stream.tell() < part.end and (line := stream.readline()):
            yield line


def _rows(part: Part) -> Iterator[bytes]:
    import pyarrow.parquet as pq

    batches = pq.ParquetFile(part.file).iter_batches(ROWS_READ_AT_ONCE, row_groups=[part.begin], columns=[COLUMN])
    for batch in batches:
        # A row without an encounter is answered as the empty line that it would be.
        yield from ((text or "").encode() for text in batch.column(0).to_pylist())
