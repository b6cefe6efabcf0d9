"""What the drug's label says to a nurse, beside an order or an encounter. Nothing waits for it."""

from __future__ import annotations

from dataclasses import dataclass

from infusion.models import Encounter, Patient
from infusion.reference_now import current_reference
from infusion.selectors import facts_of, past_doses
from infusion.services import facts
from infusion.services.label import cautions


@dataclass(frozen=True, slots=True)
class CautionView:
    """A caution with the title of where it is written."""

    message: str
    source: str
    source_key: str


def cautions_for(
    recorded: facts.Encounter, patient: Patient | None, except_for: Encounter | None = None
) -> list[CautionView]:
    """The label's cautions about an encounter, given or planned. `except_for` is the encounter itself as stored."""
    sources = current_reference().sources
    found = cautions(recorded, past_doses(patient, except_for))
    return [CautionView(each.message, sources[each.source].title, each.source) for each in found]


def cautions_of(encounter: Encounter) -> list[CautionView]:
    """The same for a stored encounter."""
    return cautions_for(facts_of(encounter), encounter.patient, encounter)
