"""Whether what is sent is stored already: a second press, or a request whose answer was lost on its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from infusion.actions import Recorded
from infusion.forms.stored import normal
from infusion.models import Encounter
from infusion.selectors import facts_of
from infusion.services import facts


def is_same(stored: Encounter, recorded: Recorded) -> bool:
    """Whether a stored encounter already says all that was to be saved."""
    patient = stored.patient
    return (
        patient.reference == recorded.patient_reference
        and stored.payer_id == recorded.payer.pk
        and recorded.patient_name in ("", patient.name)
        and recorded.birth_date in (None, patient.birth_date)
        and recorded.sex in ("", patient.sex)
        and recorded.bought_340b in (None, stored.bought_340b)
        and said_by_itself(facts_of(stored)) == said_by_itself(recorded.facts)
        and recorded.witnesses in (None, witnesses_in(stored))
        and (recorded.documentation is None or answered(recorded.documentation) == answered(stored.documentation))
        and [row.late_reason for row in stored.administrations.all()] == late_reasons_of(recorded)
        and all(each.answer == (recorded.answers or {}).get(each.pk, each.answer) for each in stored.questions.all())
    )


def said_by_itself(recorded: facts.Encounter) -> facts.Encounter:
    """What one encounter says by itself: the rest of it is the clinic's, the patient's or billing's."""
    given = tuple(replace(each, bought_340b=False) for each in recorded.administrations)
    return normal(replace(recorded, id="", past_doses=None, hospital_department="", administrations=given))


def answered(answers: Mapping[str, str]) -> dict[str, str]:
    return {item: text for item, text in answers.items() if text}


def late_reasons_of(recorded: Recorded) -> list[str]:
    reasons = recorded.late_reasons or {}
    return [reasons.get(each.id, "") for each in recorded.facts.administrations]


def witnesses_in(stored: Encounter) -> dict[tuple[str, int], int]:
    """Who saw which discard, by the form's name of the drug."""
    return {
        (f"d{row.position + 1}", discard.position): discard.witness_id
        for row in stored.administrations.all()
        for discard in row.discards.all()
        if discard.witness_id is not None
    }
