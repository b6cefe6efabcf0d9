"""What the record says beside times and amounts: the checklist of documentation that a clinic asks for.

Payers that review an infusion ask for more than the claim holds: the order, who gave it, where the line was, which
vials, why. An item that is missing is named and never keeps a line from being billed: it is a matter of proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Q

from infusion.models import Clinic, Encounter, Patient, User
from infusion.services import facts

FIELD_PREFIX = "doc_"
HEPATITIS_B = "hepatitis_b"
OCRELIZUMAB = ("J2350", "J2351")
"""Infused, and injected together with hyaluronidase: both labels ask for the screening before the first dose."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to document. A derived one is read from the record and has no field of its own."""

    key: str
    label: str
    meaning: str
    derived: bool = False
    mended_at: str = ""

    @property
    def form_name(self) -> str:
        """Its field in the encounter form."""
        return f"{FIELD_PREFIX}{self.key}"


_ITEMS = (
    Item("order", "Order on file", "Who ordered it, and when. A line without an order is taken back in a review."),
    Item("given_by", "Given by", "Name and credentials of whoever gave it."),
    Item("access_site", "Access site", "Where the line was, such as left forearm, 22 gauge."),
    Item("vials", "NDC and lot of each vial", "Read from the vials above.", derived=True, mended_at="d1-v1-size"),
    Item("diagnosis", "Diagnosis", "Read from the visit above.", derived=True, mended_at="diagnosis"),
    Item(
        HEPATITIS_B, "Hepatitis B screening",
        "Result and date. The label of ocrelizumab asks for it before the first dose.",
    ),
    Item("reaction", "Reaction, and what was done", "Say none when there was none."),
    Item("observation", "Observation after the infusion", "How long, and how the patient left."),
)  # fmt: skip
ITEMS: dict[str, Item] = {item.key: item for item in _ITEMS}
CHOICES = [(item.key, item.label) for item in _ITEMS]
LONGEST_ANSWER = 200


@dataclass(frozen=True, slots=True)
class Row:
    """One item with what the record says of it."""

    item: Item
    words: str
    read: bool = False
    """Whether the words were read from the record, and nobody has to answer."""
    asked: bool = True
    """Whether this record calls for it."""

    @property
    def done(self) -> bool:
        return bool(self.words)

    @property
    def state(self) -> str:
        return "Done" if self.done else "To do"


@dataclass(frozen=True, slots=True)
class Checklist:
    """The items that are asked for here; `every` also holds those that another drug would call for."""

    every: tuple[Row, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for row in self.every if row.asked)

    @property
    def missing(self) -> list[str]:
        return [row.item.label for row in self.rows if not row.done]

    @property
    def count(self) -> str:
        return f"{sum(row.done for row in self.rows)} of {len(self.rows)} documented"

    @property
    def still_missing(self) -> str:
        """The missing items in one sentence, or nothing."""
        names = [name[:1].lower() + name[1:] if name[1:2].islower() else name for name in self.missing]
        return f"Not documented: {', '.join(names)}." if names else ""


def asked_of(clinic: Clinic) -> list[Item]:
    """The items that a clinic asks for, in their own order; all of them when it chose none."""
    chosen = [item for item in _ITEMS if item.key in clinic.checklist]
    return chosen or list(_ITEMS)


def checklist(
    clinic: Clinic, recorded: facts.Encounter, answers: Mapping[str, str], *,
    patient: Patient | None = None, nurse: User | None = None, prescriber: str = "",
) -> Checklist:  # fmt: skip
    """What is documented of a record: as it was answered, or as it can be read."""
    derived = {
        "order": f"Order of {prescriber}" if prescriber else "",
        "given_by": nurse.signature if nurse is not None and nurse.credentials else "",
        "vials": vials_in_words(recorded),
        "diagnosis": ", ".join(recorded.diagnoses),
    }
    rows = []
    for item in asked_of(clinic):
        asked = item.key != HEPATITIS_B or is_first_ocrelizumab(patient, recorded)
        answer = "" if item.derived else " ".join(str(answers.get(item.key, "")).split())
        found = derived.get(item.key, "")
        rows.append(Row(item, answer or found, read=not answer and bool(found), asked=asked))
    return Checklist(tuple(rows))


def checklist_of(encounter: Encounter, recorded: facts.Encounter) -> Checklist:
    """The checklist of a stored encounter, over the facts that are shown of it."""
    return checklist(
        encounter.clinic, recorded, encounter.documentation,
        patient=encounter.patient, nurse=encounter.recorded_by, prescriber=prescriber_of(encounter),
    )  # fmt: skip


def prescriber_of(encounter: Encounter) -> str:
    """Who ordered what an encounter carries out, where it began from an order."""
    order = getattr(encounter, "order", None)
    return str(order.prescriber) if order is not None else ""


def vials_in_words(recorded: facts.Encounter) -> str:
    """How many kinds of vials carry both NDC and lot; nothing while one of them does not."""
    vials = [vial for each in recorded.administrations for vial in each.vials]
    if not vials or not all(vial.ndc and vial.lot for vial in vials):
        return ""
    return ", ".join(dict.fromkeys(f"{vial.ndc} lot {vial.lot}" for vial in vials))


def is_first_ocrelizumab(patient: Patient | None, recorded: facts.Encounter) -> bool:
    """Whether the record gives ocrelizumab to someone for whom none is recorded before that day."""
    if not any(each.drug in OCRELIZUMAB for each in recorded.administrations):
        return False
    if patient is None or patient.pk is None or recorded.date_of_service is None:
        return True
    earlier = Q(date_of_service__lt=recorded.date_of_service, administrations__drug__in=OCRELIZUMAB)
    others = Encounter.objects.filter(earlier, patient=patient)
    return not (others.exclude(public_id=recorded.id) if recorded.id else others).exists()
