"""`manage.py move_to_postgres`: everything an SQLite file holds, in the empty PostgreSQL that DATABASE_URL names."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from infusion.operations.archive import Unsound
from infusion.operations.moving import Unfinished, move


class Command(BaseCommand):
    help = (
        "Copy an SQLite file into the empty PostgreSQL of DATABASE_URL, and compare every table. "
        "Stop the server and the workers first."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the SQLite file, which stays as it is")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tables, head = move(options["file"])
        except Unfinished as problem:
            raise CommandError(f"No record was moved. {problem}") from problem
        except (Unsound, OSError) as problem:
            raise CommandError(f"Nothing was moved. {problem}") from problem
        rows = sum(count for count, _ in tables.values())
        self.stdout.write(
            f"{rows:,} rows in {len(tables)} tables moved, read back and found the same.\nHead of the audit: {head}\n"
            f"Start the server with this DATABASE_URL: what is written to {options['file'].name} now would stay there."
        )
