"""What billing asks, as the encounter form shows it: beside the administration it is about, with room for the answer.

An answer is a late entry. It is kept with the draft, and stands once someone who was there has attested it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_lowercase
from zoneinfo import ZoneInfo

from infusion.forms.encounter import Issue
from infusion.models import Encounter, Question
from payers.selectors import day_in_words

ATTEST = "attest"
LONGEST_ANSWER = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """One open question. `drug` is the id of the part of the form it is about, `name` the field of its answer."""

    pk: int
    name: str
    text: str
    who: str
    when: str
    drug: str
    answer: str


def open_questions(stored: Encounter) -> list[Question]:
    """What nobody has answered yet, in the order in which it was asked."""
    return [each for each in stored.questions.all() if each.answered_at is None]


def answer_entries(stored: Encounter) -> dict[str, str]:
    """The answers that are kept with a draft, by the names of their fields."""
    return {name: each.answer for name, each in _named(stored) if each.answer}


def asked(stored: Encounter | None, entries: Mapping[str, str], drugs: frozenset[str]) -> list[Asked]:
    """The open questions with what is typed as their answers."""
    if stored is None:
        return []
    zone = ZoneInfo(stored.clinic.time_zone)
    found = []
    for name, each in _named(stored):
        drug = "" if each.administration is None else f"d{each.administration + 1}"
        at = each.asked_at.astimezone(zone)
        when = f"{day_in_words(at.date())} at {at:%H:%M}"
        answer = " ".join(entries.get(name, "").split())[:LONGEST_ANSWER]
        who = each.asked_by.signature
        found.append(Asked(each.pk, name, each.text, who, when, drug if drug in drugs else "", answer))
    return found


def unanswered(questions: list[Asked], *, may_answer: bool, attested: bool) -> list[Issue]:
    """What keeps a draft from being handed over as long as a question is open."""
    if not questions:
        return []
    if not may_answer:
        return [Issue("hand-over", "The nurse has not answered yet, and only someone who was there can.")]
    issues = [
        Issue(each.name, "Answer to billing: say what you changed, or why the record stands as it is.")
        for each in questions
        if not each.answer
    ]
    return issues if attested else [*issues, Issue(ATTEST, "Attest the answer: tick the sentence with your name.")]


def _named(stored: Encounter) -> list[tuple[str, Question]]:
    questions = open_questions(stored)[: len(ascii_lowercase)]
    return [(f"answer-{letter}", each) for letter, each in zip(ascii_lowercase, questions, strict=False)]
