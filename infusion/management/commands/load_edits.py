"""`manage.py load_edits`: a quarter of CMS's unlikely units (MUE) or code pairs (NCCI), looked at and then loaded."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from infusion.actions import NewEdits, Refused, load_edits
from infusion.actions.tables import before, changes_of, check_edits
from infusion.arriving import UnreadableFile
from infusion.edit_file import EditFile, EditRow, name_of, quarter_named, read_edit_files, value_of
from infusion.models import EditTable
from infusion.services.words import counted

MOST_TOLD = 20


class Command(BaseCommand):
    help = (
        "Read the public quarterly file of CMS's unlikely units (MUE) or code pairs (NCCI) and show what it changes. "
        "Nothing is written without --load. Approved encounters stay as they are."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="CSV or tab-separated text; every part")
        parser.add_argument("--kind", required=True, choices=EditTable.Kind.values)
        parser.add_argument("--claims", required=True, choices=EditTable.Claims.values)
        parser.add_argument("--quarter", required=True, help="for example 2026Q4")
        parser.add_argument("--source", required=True, help="where the file comes from, to look it up again")
        parser.add_argument("--load", action="store_true", help="put it in force for the quarter")
        parser.add_argument("--all", action="store_true", help=f"tell every change, not only {MOST_TOLD}")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            new = self._new(options)
            replaced = check_edits(new)
            self._tell(new, most=None if options["all"] else MOST_TOLD)
            if replaced is not None:
                self.stdout.write(f"It takes the place of the load of {replaced.loaded_at:%Y-%m-%d}, which is kept.")
            if not options["load"]:
                self.stdout.write("Nothing is written. Add --load to put it in force.")
                return
            table = load_edits(by=None, new=new)
        except (UnreadableFile, Refused, ValueError) as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"Loaded: {table}, in force from {table.effective_from} to {table.effective_until}.")

    def _new(self, options: dict[str, Any]) -> NewEdits:
        quarter = quarter_named(options["quarter"])
        file = read_all(options["kind"], options["claims"], quarter, options["files"])
        return NewEdits(
            kind=options["kind"], claims=options["claims"], quarter=quarter, source=options["source"],
            checksum=file.checksum, rows=tuple(file.rows.values()), rows_read=file.rows_read,
        )  # fmt: skip

    def _tell(self, new: NewEdits, most: int | None) -> None:
        earlier, changes = before(new), changes_of(new)
        self.stdout.write(f"{counted(new.rows_read, 'row')} read, {len(new.rows)} about codes of infusion claims.")
        self.stdout.write(f"Against {earlier or 'no table before it'}:")
        changed = [f"{in_words(was)} -> {value_of(now)}" for was, now in changes.changed]
        for name, told in (
            ("added", [in_words(row) for row in changes.added]),
            ("removed", [in_words(row) for row in changes.removed]),
            ("changed", changed),
        ):
            self.stdout.write(f"{len(told)} {name}")
            self._list(told, most)

    def _list(self, told: list[str], most: int | None) -> None:
        for each in told[:most]:
            self.stdout.write(f"  {each}")
        if most is not None and len(told) > most:
            self.stdout.write(f"  and {len(told) - most} more")


def read_all(kind: str, claims: str, quarter: str, names: Iterable[str]) -> EditFile:
    """The table out of all of its files. Raises CommandError for one that cannot be opened."""
    with ExitStack() as open_files:

        def parts() -> Iterator[Any]:
            for name in names:
                try:
                    yield open_files.enter_context(Path(name).open("rb"))
                except OSError as problem:
                    raise CommandError(f"{name} cannot be read: {problem.strerror}.") from None

        return read_edit_files(kind, claims, quarter, parts())


def in_words(row: EditRow) -> str:
    return f"{name_of(row)}: {value_of(row)}"
