"""A file that arrives, read piece by piece: hashed and measured on the way, and refused before it fills the memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import IO

LONGEST_LINE = 200_000


class UnreadableFile(ValueError):
    """Why a file as a whole cannot be read, in a sentence."""


class Arriving(io.RawIOBase):
    """Hands a file on piece by piece. `hashed` is the digest of what was read so far, which may be of several files."""

    def __init__(self, file: IO[bytes], hashed: hashlib._Hash, most_bytes: int, empty: str, too_large: str) -> None:
        super().__init__()
        self.file, self.hashed, self.most_bytes = file, hashed, most_bytes
        self.empty, self.too_large, self.size = empty, too_large, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = self.file.read(len(buffer))
        if self.size == 0:
            self._refuse_other_kinds(piece)
        self.size += len(piece)
        if self.size > self.most_bytes:
            raise UnreadableFile(self.too_large)
        if b"\x00" in piece:
            raise UnreadableFile("The file holds a zero byte, so it is not a text. Choose the CSV or the text file.")
        self.hashed.update(piece)
        buffer[: len(piece)] = piece
        return len(piece)

    def _refuse_other_kinds(self, piece: bytes) -> None:
        if not piece:
            raise UnreadableFile(self.empty)
        if piece[:2] == b"PK" or piece[:4] == b"\xd0\xcf\x11\xe0":
            raise UnreadableFile("This is an archive or a workbook. Take the CSV or the text file out of it first.")


def lines_of(text: io.TextIOBase, what: str) -> Iterator[str]:
    """The lines of a text, none of them without an end. `what` says what a line of it would be."""
    while line := text.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise UnreadableFile(f"A line is longer than {LONGEST_LINE:,} characters, which no {what} is.")
        yield line
