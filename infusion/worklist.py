"""Lists of encounters: which ones a person looks at, how ready each is, and which stand before and after one.

How ready an encounter with billing is follows from its record and from the rules known now, so it is calculated and
never stored. All of them are read with one set of queries, however many there are; what was found is remembered under
the encounter's version and the rules it was read under, of which none ever changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import groupby
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from infusion.models import Administration, Clinic, Encounter, Question
from infusion.selectors import Review, encounters_of, facts_of, todays_encounters, with_record
from infusion.services.calculate import calculate, shipped_reference
from payers.models import PolicyOverride
from payers.policy import PayerPolicy, national_baseline
from payers.selectors import layers_of

State = Encounter.State

TODAY, WITH_BILLING, WARNINGS, BLOCKED = "today", "with-billing", "warnings", "blocked"
ASKED, BACK, NO_STOP, APPROVED, ALL = "asked", "back", "no-stop", "approved", "all"
LABELS = {
    TODAY: "Today",
    WITH_BILLING: "With billing",
    WARNINGS: "Warnings",
    BLOCKED: "Blocked",
    ASKED: "Asked the nurse",
    BACK: "Back from nurse",
    NO_STOP: "No stop time",
    APPROVED: "Approved",
    ALL: "All",
}
# The others are work to be done, and work is done from the oldest on.
NEWEST_FIRST = (TODAY, APPROVED, ALL)
FILM_LENGTH = 5


@dataclass(frozen=True, slots=True)
class Item:
    """An encounter in a list. An approved one is not calculated again: `review` is None."""

    encounter: Encounter
    review: Review | None

    @property
    def open_question(self) -> Question | None:
        """What billing asked and nobody has answered yet."""
        return next((each for each in self.encounter.questions.all() if each.answered_at is None), None)


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many findings of each weight an encounter has."""

    errors: int
    warnings: int


Known = tuple[UUID, int, tuple[str, ...]]
_judgements: dict[Known, Judgement] = {}
MOST_REMEMBERED = 50_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where an encounter stands in a list: `number` of `total`, None when it is no longer in it."""

    number: int | None
    total: int
    previous: UUID | None
    next: UUID | None
    film: tuple[UUID, ...]


class Worklist:
    """The lists of one clinic on one day."""

    def __init__(self, clinic: Clinic, today: date) -> None:
        self.clinic = clinic
        self.today = today

    @cached_property
    def policies(self) -> Mapping[int, PayerPolicy]:
        """The published rules of every payer that departs from the baseline, in one query."""
        rows = (
            PolicyOverride.objects.filter(known_until__isnull=True)
            .exclude(status=PolicyOverride.Status.DRAFT)
            .select_related("payer")
            .order_by("payer", *(PolicyOverride._meta.ordering or ()))
        )
        return {
            payer.pk: national_baseline().with_layers(layers_of(payer, group))
            for payer, group in groupby(rows, key=lambda row: row.payer)
        }

    def items(self, encounters: Iterable[Encounter]) -> list[Item]:
        """Encounters that were read `with_record`, each with its lines and findings."""
        return [Item(each, None if each.state == State.APPROVED else self._review(each)) for each in encounters]

    def _review(self, encounter: Encounter) -> Review:
        recorded = facts_of(encounter)
        policy = self._policy(encounter)
        return Review(recorded, policy, calculate(recorded, policy, shipped_reference()))

    def _policy(self, encounter: Encounter) -> PayerPolicy:
        return self.policies.get(encounter.payer_id) or national_baseline()

    @cached_property
    def judgements(self) -> dict[int, Judgement]:
        """Each encounter with billing, by its row: only those that nobody has looked at since are read in full."""
        rows = {self._known(each): each.pk for each in encounters_of(self.clinic).filter(state=State.WITH_BILLING)}
        new = [pk for known, pk in rows.items() if known not in _judgements]
        if len(_judgements) > MOST_REMEMBERED:
            _judgements.clear()
            new = list(rows.values())
        for item in self.items(with_record(encounters_of(self.clinic).filter(pk__in=new))) if new else []:
            if item.review is not None:
                statement = item.review.statement
                judgement = Judgement(len(statement.errors), len(statement.warnings))
                _judgements[self._known(item.encounter)] = judgement
        return {pk: _judgements[known] for known, pk in rows.items() if known in _judgements}

    def _known(self, encounter: Encounter) -> Known:
        rules = tuple(layer.override_id for layer in self._policy(encounter).layers)
        return encounter.public_id, encounter.version, rules

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many encounters each list has."""
        stored = encounters_of(self.clinic).aggregate(
            **{
                name.replace("-", "_"): Count("pk", filter=condition)
                for name, condition in self._conditions.items()
                if name != TODAY
            }
        )
        counts = {name.replace("_", "-"): count for name, count in stored.items()}
        return {**counts, WARNINGS: len(self._judged(WARNINGS)), BLOCKED: len(self._judged(BLOCKED))}

    @property
    def without_stop(self) -> int:
        """How many infusions have started, and nobody has said when they stopped."""
        started = Administration.objects.filter(
            encounter=OuterRef("pk"), route__in=("iv_infusion", "hydration"),
            started_at__isnull=False, stopped_at__isnull=True,
        )  # fmt: skip
        return encounters_of(self.clinic).filter(Q(Exists(started)), state=State.DRAFT).count()

    @cached_property
    def _conditions(self) -> dict[str, Q]:
        """The lists that the database can tell by itself."""
        unstopped = Administration.objects.filter(
            encounter=OuterRef("pk"), route__in=("iv_infusion", "hydration"), stopped_at__isnull=True
        )
        questions = Question.objects.filter(encounter=OuterRef("pk"))
        return {
            WITH_BILLING: Q(state=State.WITH_BILLING),
            ASKED: Q(state=State.DRAFT) & Q(Exists(questions.filter(answered_at__isnull=True))),
            BACK: Q(state=State.WITH_BILLING) & Q(Exists(questions)),
            NO_STOP: ~Q(state=State.APPROVED) & Q(Exists(unstopped)),
            APPROVED: Q(state=State.APPROVED),
            ALL: Q(),
        }

    def _judged(self, name: str) -> list[int]:
        """Those that only a calculation can tell: with billing and warned about, or blocked."""
        found = self.judgements.items()
        return [pk for pk, judgement in found if (judgement.errors if name == BLOCKED else judgement.warnings)]

    def encounters(self, name: str) -> QuerySet[Encounter]:
        """The encounters of a list in its order."""
        mine = encounters_of(self.clinic)
        if name == TODAY:
            mine = todays_encounters(self.clinic, self.today)
        elif name in (WARNINGS, BLOCKED):
            mine = mine.filter(pk__in=self._judged(name))
        else:
            mine = mine.filter(self._conditions[name])
        if name in NEWEST_FIRST:
            return mine.order_by("-date_of_service", "-pk")
        return mine.order_by("date_of_service", "pk")

    def place(self, encounter: Encounter, name: str) -> Place:
        """The neighbours of an encounter, also when it has just left the list."""
        newest_first = name in NEWEST_FIRST
        rows = list(self.encounters(name).values_list("date_of_service", "pk", "public_id"))
        mine = (encounter.date_of_service, encounter.pk)
        before = [row[2] for row in rows if (row[:2] > mine if newest_first else row[:2] < mine)]
        after = [row[2] for row in rows if (row[:2] < mine if newest_first else row[:2] > mine)]
        inside = len(before) + len(after) < len(rows)
        first = max(0, min(len(before) - FILM_LENGTH // 2, len(rows) - FILM_LENGTH))
        return Place(
            number=len(before) + 1 if inside else None,
            total=len(rows),
            previous=before[-1] if before else None,
            next=after[0] if after else None,
            film=tuple(row[2] for row in rows[first : first + FILM_LENGTH]),
        )

    def with_record(self, encounters: Iterable[Encounter]) -> list[Encounter]:
        """The same encounters, in their order, with all that a calculation reads."""
        order = {encounter.pk: position for position, encounter in enumerate(encounters)}
        found = with_record(encounters_of(self.clinic).filter(pk__in=order))
        return sorted(found, key=lambda encounter: order[encounter.pk])

    def named(self, ids: Iterable[UUID]) -> list[Item]:
        """The encounters of these ids, in their order."""
        order = {public_id: position for position, public_id in enumerate(ids)}
        found = self.items(with_record(encounters_of(self.clinic).filter(public_id__in=order)))
        return sorted(found, key=lambda item: order[item.encounter.public_id])
