"""`manage.py restore`: a backup in the place of the database."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from infusion.operations.archive import Unsound
from infusion.operations.restoring import restore


class Command(BaseCommand):
    help = "Look at a backup and put it where DATABASE_URL points. Stop the server and the workers first."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--key-file", type=Path, help="the key that opens an encrypted backup")
        parser.add_argument(
            "--replace",
            action="store_true",
            help="put it in the place of what is there, which is kept under another name",
        )

        parser.add_argument("--flawed", action="store_true", help="even where its audit was not whole when it was made")

    def handle(self, *args: Any, **options: Any) -> None:
        file = options["file"]
        try:
            head, rows, kept = restore(
                file, key_file=options["key_file"], replace=options["replace"], flawed=options["flawed"]
            )  # fmt: skip
        except (Unsound, OSError) as problem:
            raise CommandError(f"Nothing was restored, and what was there is still there. {problem}") from problem
        self.stdout.write(
            f"{sum(rows.values()):,} rows in {len(rows)} tables restored from {file.name} and looked at.\n"
            f"Head of the audit: {head}"
        )
        if kept:
            self.stdout.write(f"What was there before is kept as {kept}. Remove it once you no longer need it.")
        self.stdout.write(
            "Everyone signs in again. Whoever was switched off after this backup can sign in: look at /admin/.\n"
            "No emergency code and no PIN counts any more. Make new sealed codes with manage.py break_glass.\n"
            "Batches made after this backup are unknown here: their claims would leave a second time, and under "
            "numbers that were given before. Hold them first (docs/operations.md)."
        )
