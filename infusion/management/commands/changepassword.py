"""`manage.py changepassword` is Django's, and would leave nothing in the audit of who set what."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Sets no password: says where that is done, so that the audit tells of it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", nargs="?", default="NAME")

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(
            "No password is set from here, because the audit would not tell of it. A superuser sets one at /admin/. "
            f"Who is locked out of that: manage.py break_glass --person {options['username']} --reason WHY."
        )
