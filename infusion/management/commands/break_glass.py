"""`manage.py break_glass`: a sealed code, once, for an admin who has lost password and second factor."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from infusion.actions import Refused
from infusion.actions.sign_in import make_emergency_code
from infusion.models import User

MOST_HOURS = 366 * 24


class Command(BaseCommand):
    help = "Makes one emergency code for an admin. It is shown once; its use is an alarm to the clinic's admins."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--person", required=True, help="the username of an admin or superuser")
        parser.add_argument("--reason", required=True, help="why, for the audit")
        parser.add_argument("--hours", type=int, default=24, help="how long it can be used, 24 if not said")

    def handle(self, *args: Any, **options: Any) -> None:
        reason = options["reason"].strip()
        if not reason or len(reason) > 300:
            raise CommandError("--reason: say why, in 1 to 300 letters.")
        if not 1 <= options["hours"] <= MOST_HOURS:
            raise CommandError(f"--hours: enter 1 to {MOST_HOURS}.")
        person = User.objects.filter(username__iexact=options["person"]).first()
        if person is None:
            raise CommandError(f"--person: nobody signs in as {options['person']}.")
        try:
            code, ends = make_emergency_code(person=person, reason=reason, lasts=timedelta(hours=options["hours"]))
        except Refused as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(f"Emergency code for {person.username}, for one use until {ends:%B %d, %Y, %H:%M} UTC:")
        self.stdout.write(f"\n    {code}\n")
        self.stdout.write("It is not shown again. It is entered at /accounts/emergency/ and raises an alarm there.")
