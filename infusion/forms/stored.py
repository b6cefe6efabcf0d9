"""What is stored, as entries of the form: reading them gives the same facts again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from infusion.forms.parts import ACCESS_REASONS
from infusion.forms.record import CONTAINER
from infusion.forms.recorded_vials import stamp
from infusion.forms.structure import Entries
from infusion.services import facts
from infusion.services.clock import ClockChange, instant, zone_named
from infusion.services.reference import Reference
from infusion.services.words import plain


@dataclass(slots=True)
class Writer:
    """Fills the form's mapping. `day` is the date of service, on which a time stands unless the form says otherwise."""

    recorded: facts.Encounter
    reference: Reference
    entries: Entries

    @property
    def day(self) -> date:
        return self.recorded.date_of_service or date.min

    def put(self, name: str, value: object) -> None:
        if value not in ("", None):
            self.entries[name] = str(value)

    def time(self, name: str, moment: datetime | None, base: date) -> date | None:
        """The wall clock of an instant, with its answers: the next day, and which of two on a clock-change night."""
        if moment is None:
            return None
        local = instant(moment, zone_named(self.recorded.time_zone)).astimezone(zone_named(self.recorded.time_zone))
        self.put(name, f"{local:%H%M}")
        if local.date() > base:
            self.put(f"{name}-day", "next")
            self.put("date-day", self.day.isoformat())
        if local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset():
            self.put(f"{name}-turn", "second" if local.fold else "first")
        return local.date()

    def administration(self, d: str, each: facts.Administration) -> None:
        self.put(f"{d}-route", each.route)
        self.entries[f"{d}-drug"] = drug_text(each.drug, self.reference, self.day)
        start = self.time(f"{d}-start", each.start, self.day)
        self.time(f"{d}-stop", each.stop, start or self.day)
        for n, pause in enumerate(each.pauses, 1):
            name = f"{d}-p{n}"
            self.entries[f"{name}-start"] = ""
            begin = self.time(f"{name}-start", pause.start, start or self.day)
            self.time(f"{name}-stop", pause.stop, begin or start or self.day)
            if pause.start and pause.stop and pause.stop.replace(second=0, microsecond=0) <= pause.start < pause.stop:
                self.put(f"{name}-within", self.entries[f"{name}-stop"])
        for name in ("ordered", "administered"):
            amount = getattr(each, name)
            self.put(f"{d}-{name}", None if amount is None else plain(amount))
        keys = {words: key for key, words in ACCESS_REASONS.items() if key}
        self.put(f"{d}-access_reason", keys.get(each.access_reason, each.access_reason))
        for name in ("purpose", "order", "access", "acquired"):
            self.put(f"{d}-{name}", getattr(each, name))
        self.put(f"{d}-primary", "yes" if each.primary else "")
        self.vials(d, each)
        for n, discard in enumerate(each.discards, 1):
            self.put(f"{d}-w{n}-amount", plain(discard.amount))
            self.put(f"{d}-w{n}-reason", discard.reason)

    def vials(self, d: str, each: facts.Administration) -> None:
        kinds = {vial.single_dose for vial in each.vials}
        if len(kinds) == 1:
            self.put(f"{d}-container", CONTAINER[next(iter(kinds))])
        for n, vial in enumerate(each.vials, 1):
            name = f"{d}-v{n}"
            self.put(f"{name}-size", plain(vial.amount))
            self.put(f"{name}-count", vial.count)
            if len(kinds) > 1:
                self.put(f"{name}-container", CONTAINER[vial.single_dose])
            expires = vial.expires.isoformat() if vial.expires else ""
            if vial.ndc or vial.lot or expires:
                self.put(f"{name}-ndc", vial.ndc)
                self.put(f"{name}-lot", vial.lot)
                self.put(f"{name}-expires", expires)
                self.entries[f"{name}-belongs"] = stamp(each.drug, vial.amount, vial.ndc, vial.lot, expires)


def entries_of(
    recorded: facts.Encounter, reference: Reference, late_reasons: Mapping[str, str] | None = None
) -> Entries:
    """The form's mapping of a stored encounter: reading it gives the same facts again."""
    writer = Writer(recorded, reference, {})
    writer.put("setting", recorded.setting)
    writer.put("date", recorded.date_of_service and recorded.date_of_service.isoformat())
    writer.put("diagnosis", ", ".join(recorded.diagnoses))
    visit = recorded.visit or facts.Visit()
    start = writer.time("visit_start", visit.start, writer.day)
    writer.time("visit_stop", visit.stop, start or writer.day)
    for number, each in enumerate(recorded.administrations, 1):
        writer.administration(f"d{number}", each)
        writer.put(f"d{number}-late_reason", (late_reasons or {}).get(each.id, ""))
    return writer.entries


def drug_text(code: str, reference: Reference, on: date) -> str:
    """The name that leads back to a drug's code on that day, or the code where no name does."""
    rows = reference.drugs.get(code, ())
    for row in rows:
        found = reference.find_drug(row.label, on)
        if found and found.code == code:
            return row.label
    return code


def normal(recorded: facts.Encounter) -> facts.Encounter:
    """The same facts with every time an instant and without names, so that two readings compare.

    To the minute, which is what a form can say: a tap's seconds survive a save, so they are no difference.
    """
    zone = zone_named(recorded.time_zone)

    def at(moment: datetime | None) -> datetime | None:
        return None if moment is None else instant(moment, zone).astimezone(UTC).replace(second=0, microsecond=0)

    def pause(each: facts.Pause) -> facts.Pause:
        return facts.Pause(start=at(each.start), stop=at(each.stop))

    visit = recorded.visit and facts.Visit(start=at(recorded.visit.start), stop=at(recorded.visit.stop))
    return replace(
        recorded,
        id="",
        visit=visit if visit and (visit.start or visit.stop) else None,
        administrations=tuple(
            replace(each, id=str(n), start=at(each.start), stop=at(each.stop), pauses=tuple(map(pause, each.pauses)))
            for n, each in enumerate(recorded.administrations)
        ),
    )


def to_the_second(typed: facts.Encounter, stored: facts.Encounter) -> facts.Encounter:
    """What is typed, with the seconds that a tap recorded wherever the minute is still the same, as a save keeps it."""
    zone = zone_named(typed.time_zone)

    def minute(moment: datetime) -> datetime:
        return instant(moment, zone).replace(second=0, microsecond=0)

    def exact(moment: datetime | None, *known: datetime | None) -> datetime | None:
        try:
            return next((each for each in known if moment and each and minute(each) == instant(moment, zone)), moment)
        except ClockChange:
            return moment

    def drug(each: facts.Administration) -> facts.Administration:
        same = [row for row in stored.administrations if each.start and exact(each.start, row.start) == row.start]
        same = [row for row in same if row.drug == each.drug] or same
        if len(same) != 1:
            return each
        [row] = same
        starts, stops = [pause.start for pause in row.pauses], [pause.stop for pause in row.pauses]
        pauses = (replace(one, start=exact(one.start, *starts), stop=exact(one.stop, *stops)) for one in each.pauses)
        return replace(
            each, start=exact(each.start, row.start), stop=exact(each.stop, row.stop), pauses=tuple(pauses)
        )  # fmt: skip

    visit, known = typed.visit, stored.visit
    if visit and known:
        visit = facts.Visit(start=exact(visit.start, known.start), stop=exact(visit.stop, known.stop))
    return replace(typed, visit=visit, administrations=tuple(map(drug, typed.administrations)))
