"""What billing asks, as the encounter form shows it: beside the administration it is about, with room for the answer.

An answer is a late entry. It is kept with the draft, and stands once someone who was there has attested it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from infusion.forms.encounter import Issue
from infusion.models import Encounter, Question
from infusion.views.record_words import Difference
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


def answer_names(stored: Encounter | None) -> dict[str, Question]:
    """The questions by the fields of their answers. A field goes by its question, not by its place among the open ones:
    a form that was opened before another question was asked answers the one that it shows."""
    return {f"answer-{each.pk}": each for each in stored.questions.all()} if stored else {}


def asked(stored: Encounter | None, entries: Mapping[str, str], drugs: frozenset[str]) -> list[Asked]:
    """The open questions with what is typed as their answers. Where nothing was sent, what is stored stays."""
    if stored is None:
        return []
    zone = ZoneInfo(stored.clinic.time_zone)
    found = []
    names = {each: name for name, each in answer_names(stored).items()}
    for each in open_questions(stored):
        name = names[each]
        drug = "" if each.administration is None else f"d{each.administration + 1}"
        at = each.asked_at.astimezone(zone)
        when = f"{day_in_words(at.date())} at {at:%H:%M}"
        answer = typed_answer(entries.get(name, each.answer))
        who = each.asked_by.signature
        found.append(Asked(each.pk, name, each.text, who, when, drug if drug in drugs else "", answer))
    return found


def typed_answer(text: str) -> str:
    return " ".join(text.split())[:LONGEST_ANSWER]


def answer_differences(stored: Encounter, entries: Mapping[str, str]) -> list[Difference]:
    """The answers that were sent and are not what is stored; also one to a question that was closed meanwhile."""
    found = []
    for name, each in answer_names(stored).items():
        mine = typed_answer(entries.get(name, each.answer))
        if mine != each.answer:
            label = "Answer to billing, closed meanwhile" if each.answered_at else "Answer to billing"
            found.append(Difference(name, f"{label}: {each.text}", mine, each.answer))
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
