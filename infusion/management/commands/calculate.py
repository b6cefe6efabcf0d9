"""`manage.py calculate`: encounters as JSON Lines in, statements as JSON Lines out.

Many lines are answered by a process on each core, a few hundred at a time and in their order; a line that stands alone
at the end of a pipe is answered before the next one is waited for. What is held at once does not grow with the input.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import select
import signal
import stat
import sys
from argparse import ArgumentParser
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections
from tqdm import tqdm

from infusion.answers import LINES_AT_ONCE, Answered, Desk, Sheet, stored_reference
from payers.models import Payer
from payers.selectors import policy_for

PIPE_BYTES = 1 << 18
WAITING_PARTS = 2  # for each process, so that none is ever without work


class Command(BaseCommand):
    help = "Turn encounters (JSON Lines, from files or standard input) into service lines, one answer a line."
    requires_system_checks = []  # pages are not its business, and it starts twice as fast

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="*", metavar="FILE", help="JSON Lines; standard input when none is given")

    def handle(self, *args: Any, **options: Any) -> None:
        every_line_readable, done = True, 0
        _look_for(options["files"])
        try:
            with _progress() as progress:
                for many, answers, readable in answered(_parts(options["files"])):
                    self.stdout.write(answers)
                    self.stdout.flush()  # whoever waits for it at the other end of a pipe gets it now
                    every_line_readable &= readable
                    done += many
                    progress.update(many)
        except BrokenProcessPool as problem:
            raise CommandError(
                f"A process ended before it had answered its lines, perhaps because memory ran out. The first {done:,} "
                "lines were answered. Calculate again, with fewer other programs beside it.",
                returncode=2,
            ) from problem
        if not every_line_readable:
            sys.exit(1)


# Many lines -----------------------------------------------------------------------------------------------------------


def answered(parts: Iterable[list[bytes]]) -> Iterator[Answered]:
    """The answers to each part, in their order.

    What is new in a full part is worked out by the next process that is free, so that equal lines are answered once
    however many processes there are. Short parts are answered here.
    """
    desk = Desk({}, stored_reference())
    cores = len(os.sched_getaffinity(0))
    waiting: deque[tuple[Sheet, Future[list[tuple[str, bool]]]]] = deque()

    def first() -> Answered:
        sheet, worked_out = waiting.popleft()
        return desk.told(sheet, worked_out.result())

    with ExitStack() as stack:
        processes: ProcessPoolExecutor | None = None
        for lines in parts:
            if len(lines) < LINES_AT_ONCE or cores == 1:
                while waiting:
                    yield first()
                if lines:
                    yield desk.answers(lines)
                continue
            if processes is None:
                processes = stack.enter_context(_processes(desk, cores))
            sheet = desk.sheet(lines)
            waiting.append((sheet, processes.submit(_worked_out, [reply.line for reply in sheet.new])))
            if len(waiting) > cores * WAITING_PARTS:
                yield first()
        while waiting:
            yield first()


def _processes(desk: Desk, cores: int) -> ProcessPoolExecutor:
    """A process for each core. What they need of the database is read before, so that all of them go by the same."""
    with suppress(DatabaseError):
        desk.known |= {payer.slug: policy_for(payer) for payer in Payer.objects.exclude(slug__in=desk.known)}
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()  # two processes cannot share one
    return ProcessPoolExecutor(cores, multiprocessing.get_context("fork"), _sit_down, (desk,))


_desk: Desk


def _sit_down(desk: Desk) -> None:
    global _desk
    _desk = desk
    gc.freeze()  # what is there by now stays
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that was started says when it is over


def _worked_out(lines: list[bytes]) -> list[tuple[str, bool]]:
    return [_desk.worked_out(line) for line in lines]


# Reading --------------------------------------------------------------------------------------------------------------


def _parts(files: list[str]) -> Iterator[list[bytes]]:
    """The lines of all files, or of standard input, in parts. An empty one says that nothing is there at the moment."""
    if not files:
        yield from _as_they_come(sys.stdin.buffer)
        return
    lines = _lines(files)
    while part := list(islice(lines, LINES_AT_ONCE)):
        yield part


def _look_for(files: list[str]) -> None:
    """Raises CommandError for a file that cannot be read, before anything is answered."""
    for name in files:
        try:
            if stat.S_ISFIFO(os.stat(name).st_mode):
                continue  # whoever writes into a pipe would take a look for the end of it
            Path(name).open("rb").close()
        except OSError as problem:
            raise CommandError(f"{name} cannot be read: {problem.strerror}. Nothing was calculated.") from None


def _lines(files: list[str]) -> Iterator[bytes]:
    """One file open at a time."""
    for name in files:
        try:
            with Path(name).open("rb") as stream:
                yield from stream
        except OSError as problem:
            raise CommandError(f"{name} cannot be read: {problem.strerror}.") from None


def _as_they_come(stream: BinaryIO) -> Iterator[list[bytes]]:
    """As many lines as are there, and never one kept back while more are waited for."""
    try:
        source = stream.fileno()
    except (AttributeError, OSError):
        yield from ([line] for line in stream)
        return
    lines: list[bytes] = []
    begun: list[bytes] = []
    while True:
        if not select.select([source], [], [], 0)[0]:
            yield lines
            lines = []
        data = os.read(source, PIPE_BYTES)
        begun.append(data)
        if data and b"\n" not in data:
            continue
        *whole, last = b"".join(begun).split(b"\n")
        lines += [line + b"\n" for line in whole]
        begun = [last]
        while len(lines) >= LINES_AT_ONCE:
            yield lines[:LINES_AT_ONCE]
            lines = lines[LINES_AT_ONCE:]
        if not data:
            yield [*lines, last] if last else lines
            return


def _progress() -> Any:
    """A progress bar on standard error, only when that is a terminal."""
    return tqdm(unit=" encounters", disable=None, file=sys.stderr)
