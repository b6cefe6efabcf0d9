"""`manage.py doctor`: what is wrong with this site, and what to do about it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from infusion.operations.doctor import examined


class Command(BaseCommand):
    help = (
        "Look at the database, journal, disk, backups, clock, restores, migrations, audit, encryption, cache and jobs."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        ill = 0
        for name, well, told in examined():
            self.stdout.write(f"{'ok  ' if well else 'ILL '} {name:10} {told}")
            ill += not well
        if ill:
            raise CommandError(f"{ill} of these need you.")
