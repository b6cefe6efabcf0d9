"""What was recorded of an encounter, in words, and who did what with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from infusion.audit import AuditEvent
from infusion.late import late_words
from infusion.models import Encounter
from infusion.services import facts
from infusion.services.clock import zone_named
from infusion.services.facts import ROUTES
from infusion.services.words import plain
from infusion.views.home import drug_label
from payers.policy import DISCARD_REASONS

DONE = {
    "encounter.add": "recorded the encounter",
    "encounter.save": "changed the record",
    "encounter.hand_over": "handed it to billing",
    "encounter.return": "returned it to the nurse with a question",
    "encounter.approve": "approved it",
    "encounter.claim": "said what its claim carries",
    "encounter.correct": "took it up again to correct it",
    "encounter.void": "made it void",
    "hold.place": "put it on hold",
    "hold.release": "released it",
    "skip.add": "set a check aside",
    "skip.end": "let a check count again",
}
WITH_REASON = ("encounter.correct", "encounter.void", "hold.", "skip.")


@dataclass(frozen=True, slots=True)
class Given:
    """One administration as it was recorded, in words."""

    id: str
    name: str
    facts: tuple[tuple[str, str], ...]


def given_of(each: facts.Administration, encounter: Encounter) -> Given:
    """What was recorded of one administration, as rows of name and value."""
    zone = zone_named(encounter.clinic.time_zone)

    def clock(moment: datetime | None) -> str:
        if moment is None:
            return "not recorded"
        local = moment.astimezone(zone)
        day = "" if local.date() == encounter.date_of_service else f"{local:%B} {local.day}, "
        return f"{day}{local:%H:%M}"

    rows = [("Given as", ROUTES[each.route] + (f", access {each.access}" if each.access != "1" else ""))]
    if each.start or each.stop:
        rows.append(("Time", f"{clock(each.start)} to {clock(each.stop)}"))
    rows += [("Paused", f"{clock(pause.start)} to {clock(pause.stop)}") for pause in each.pauses]
    amounts = (("Ordered", each.ordered), ("Given", each.administered))
    rows += [(name, f"{plain(amount)} mg") for name, amount in amounts if amount is not None]
    rows += [("Vials", vial_words(vial)) for vial in each.vials]
    rows += [
        ("Discarded", f"{plain(discard.amount)} mg: {DISCARD_REASONS[discard.reason].lower()}")
        for discard in each.discards
    ]
    late = {f"a{row.position + 1}": late_words(row, zone) for row in encounter.administrations.all()}.get(each.id)
    if late:
        rows.append(("Entered late", late))
    return Given(each.id, drug_label(each.route, each.drug, encounter), tuple(rows))


def vial_words(vial: facts.Vial) -> str:
    """Opened vials with what is known of them: "2 of 300 mg, NDC 50242-150-01, lot L7"."""
    parts = [f"{vial.count} of {plain(vial.amount)} mg"]
    parts += [f"NDC {vial.ndc}"] if vial.ndc else []
    parts += [f"lot {vial.lot}"] if vial.lot else []
    parts += [f"expires {vial.expires:%Y-%m-%d}"] if vial.expires else []
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Deed:
    """One row of the story: who did what, when, and why where that was asked."""

    at: datetime
    who: str
    what: str
    why: str = ""


def history_of(encounter: Encounter) -> list[Deed]:
    """Who did what, from the audit, without the documents it keeps."""
    events = (
        AuditEvent.objects.filter(subject__in=("encounter", "hold", "skip"), subject_id=str(encounter.public_id))
        .select_related("by")
        .defer("before", "after")
    )
    return [
        Deed(
            event.at, event.by.signature if event.by else "The program", DONE.get(event.action, event.action),
            event.reason if event.action.startswith(WITH_REASON) else "",
        )
        for event in events
    ]  # fmt: skip
