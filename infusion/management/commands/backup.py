"""`manage.py backup`: a copy of everything, looked at after it was written."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from infusion.operations import archive

KEEP = 30


class Command(BaseCommand):
    help = "Write a backup while people work, look at it, print what it holds, and remove the oldest."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", type=Path, default=settings.INFUSION_BACKUPS, help="the folder of the backups")
        parser.add_argument("--keep", type=int, default=KEEP, help=f"how many are left there (default {KEEP})")
        parser.add_argument("--new-key", type=Path, help="instead: make a key to open backups with, in a new file")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["new_key"]:
                self.stdout.write(
                    f"INFUSION_BACKUP_RECIPIENT={archive.new_key(options['new_key'])}\n"
                    f"Set this on the server, and keep {options['new_key']} elsewhere: nothing else opens the backups."
                )
                return
            if options["keep"] < 1:
                raise CommandError("--keep is below 1. At least the new backup stays.")
            file, record = archive.make(options["to"], settings.INFUSION_BACKUP_RECIPIENT)
        except (archive.Unsound, OSError) as problem:
            raise CommandError(f"There is no new backup. {problem}") from problem
        if record.flaw:
            raise CommandError(
                f"{file} was written, and no older one removed, because the audit is not whole: {record.flaw} "
                "Find out who had access, with manage.py audit_verify."
            )
        removed = archive.forget_all_but(options["to"], options["keep"])
        rows = sum(record.rows.values())
        self.stdout.write(
            f"{file}\n{rows:,} rows in {len(record.rows)} tables, {record.rows.get('infusion_encounter', 0):,} of them "
            f"encounters; looked at and whole. {len(removed)} older ones removed.\nHead of the audit: {record.head}"
        )
