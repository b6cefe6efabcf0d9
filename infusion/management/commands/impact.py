"""`manage.py impact ID`: what a draft, or the end of a rule or drug, would have done to past encounters, as JSON."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from infusion.impact import AnyQuestion, DrugQuestion, Forecast, Question, forecast_part
from infusion.models import Clinic, DrugRow
from infusion.reference_now import looked_up_once
from payers.models import PolicyOverride
from payers.whatif import DATED, HELD


class Command(BaseCommand):
    help = "Tell what a draft or the withdrawal of a rule or drug would have changed. Writes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("override", type=UUID, metavar="ID", help="as it stands in the rule's or drug's address")
        parser.add_argument("--since", type=date.fromisoformat, help="first date of service; without it, 90 days ago")
        parser.add_argument("--until", type=date.fromisoformat, help="last date of service; without it, today")
        parser.add_argument("--all", action="store_true", help="every past encounter")
        parser.add_argument("--dated", action="store_true", help="on the change's own days, not as if it always held")
        parser.add_argument("--clinic", help="the name of one clinic; without it, all of them")

    def handle(self, *args: Any, **options: Any) -> None:
        override = PolicyOverride.objects.filter(public_id=options["override"], known_until=None).first()
        row = DrugRow.objects.filter(public_id=options["override"], known_until=None).first()
        if override is None and row is None:
            raise CommandError("No draft, rule or drug has this id now. Its page has it in its address.")
        clinics = Clinic.objects.filter(name=options["clinic"]) if options["clinic"] else Clinic.objects.all()
        until = options["until"] or timezone.localdate()
        since = None if options["all"] else options["since"] or until - timedelta(days=90)
        days = DATED if options["dated"] else HELD
        answers = {}
        for clinic in clinics:
            question: AnyQuestion
            if override is not None:
                question = Question(override, clinic, since, until, days)
            elif row is not None:
                question = DrugQuestion(row, clinic, since, until, days)
            answers[clinic.name] = self.answer(question)
        document = {"drug" if row else "override": str(options["override"]), "days": days, "clinics": answers}
        self.stdout.write(json.dumps(document, indent=2))

    def answer(self, question: AnyQuestion) -> dict[str, Any]:
        found = Forecast(of=len(question.encounters()))
        with looked_up_once(), tqdm(total=found.of, unit=" encounters", disable=None, leave=False) as bar:
            while not found.done:
                found = forecast_part(question, found)
                bar.update(found.looked_at - bar.n)
        return answer_document(found)


def answer_document(found: Forecast) -> dict[str, Any]:
    """A forecast as plain values."""
    return {
        "encounters": found.of,
        "changed": found.changed,
        "units": [
            {"code": code, "modifiers": list(modifiers), "more": more}
            for (code, modifiers), more in sorted(found.lines.items())
        ],
        "more_expected": str(found.more_expected),
        "without_rate": found.without_rate,
    }
