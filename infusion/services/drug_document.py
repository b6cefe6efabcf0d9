"""A drug as a site writes it down: the columns of drugs.toml as plain values, checked before a row is made of them.

What the shipped file could not hold is refused here, each with a sentence and the name of its field. Amounts are
texts, so that no figure goes through a binary fraction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from infusion.services.drug import DOSINGS
from infusion.services.facts import ROUTES
from infusion.services.reference import Drug, drug_row, eleven_digits

Document = Mapping[str, Any]

CODE = re.compile(r"[A-Z][0-9]{4}")
AMOUNT = re.compile(r"[0-9]{1,5}(\.[0-9]{1,4})?")
LINE_ROUTES = {key: words for key, words in ROUTES.items() if key not in ("hydration", "oral")}
FORMS = {"liquid": "Liquid", "powder": "Powder"}
MINUTES_OF_A_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps a document from being a drug. `field` is a key of it; that of a container is containers.0.amount."""

    field: str
    message: str


def drug_of(document: Document) -> Drug:
    """The row that a sound document describes. Raises ValueError with the first problem of one that is not."""
    for problem in _problems(document):
        raise ValueError(problem.message)
    return drug_row(document)


def problems_of(document: Document) -> list[Problem]:
    """Everything that is wrong with a document, in the order of its fields; nothing where it is sound."""
    return list(_problems(document))


def amount_of(text: object) -> Decimal | None:
    """A number above zero with at most four places, or None.

    >>> amount_of("0.5"), amount_of("1e3"), amount_of("0")
    (Decimal('0.5'), None, None)
    """
    if not isinstance(text, str) or not AMOUNT.fullmatch(text):
        return None
    return Decimal(text) or None


def _problems(document: Document) -> Iterator[Problem]:
    yield from _naming_problems(document)
    yield from _billing_problems(document)
    yield from _day_problems(document)
    yield from _concentration_problems(document)
    yield from _container_problems(document)


def _naming_problems(document: Document) -> Iterator[Problem]:
    if not CODE.fullmatch(document["code"]):
        yield Problem("code", "Code: write a letter and four digits, as on a claim: J2350.")
    if not document["name"]:
        yield Problem("name", "Name: enter what the drug is called, without its brand.")
    if not document["brands"] or not all(document["brands"]):
        yield Problem("brands", "Brands: enter at least one, because people look for a drug by it.")


def _billing_problems(document: Document) -> Iterator[Problem]:
    if amount_of(document["billing_unit"]) is None:
        yield Problem("billing_unit", "Billing unit: enter the milligrams of one unit, for example 10 or 0.5.")
    if not document["routes"] or not set(document["routes"]) <= LINE_ROUTES.keys():
        yield Problem("routes", "Routes: tick each way in which the drug is given under this code.")
    if document.get("dosing", "") not in ("", *DOSINGS):
        yield Problem("dosing", "Dosing: choose one of the list.")
    minutes = document.get("usual_minutes")
    if minutes is not None and not 0 < minutes < MINUTES_OF_A_DAY:
        yield Problem("usual_minutes", f"Usual minutes: enter a number from 1 to {MINUTES_OF_A_DAY - 1}.")


def _day_problems(document: Document) -> Iterator[Problem]:
    first: date | None = document.get("first_day")
    last: date | None = document.get("last_day")
    if first is None:
        yield Problem("first_day", "First day: enter the first date of service on which it can be billed so.")
    elif last is not None and last < first:
        yield Problem("last_day", "Last day: it lies before the first. Correct one of them.")
    successor = document.get("replaced_by", "")
    if successor and (not CODE.fullmatch(successor) or successor == document["code"]):
        yield Problem("replaced_by", "Replaced by: write the code that follows this one, such as J2919.")
    elif successor and last is None:
        yield Problem("last_day", "Last day: a code that another one replaces ends the day before that one begins.")


def _concentration_problems(document: Document) -> Iterator[Problem]:
    concentration = document.get("concentration")
    if document["form"] not in FORMS:
        yield Problem("form", "Form: choose liquid or powder, because only a liquid has a volume in its vial.")
    elif document["form"] == "powder" and concentration is not None:
        yield Problem("concentration", "Concentration: a powder has none until it is mixed. Leave it blank.")
    elif document["form"] == "liquid" and amount_of(concentration) is None:
        yield Problem("concentration", "Concentration: enter the milligrams in one mL of the liquid.")


def _container_problems(document: Document) -> Iterator[Problem]:
    containers: Sequence[Document] = document["containers"]
    if not containers:
        yield Problem("containers", "Containers: enter at least one size, because vials are recorded by it.")
    seen: set[str] = set()
    for position, container in enumerate(containers):
        if amount_of(container["amount"]) is None:
            yield Problem(f"containers.{position}.amount", "Milligrams: enter what the label of the container says.")
        yield from _volume_problems(document, container, f"containers.{position}.volume")
        if ndc := container.get("ndc", ""):
            field = f"containers.{position}.ndc"
            try:
                digits = eleven_digits(ndc)
            except ValueError:
                yield Problem(field, f"NDC: write {ndc} with its hyphens, 5-4-2, or as 11 digits.")
                continue
            if digits in seen:
                yield Problem(field, f"NDC: {ndc} stands at another size already. Each size has its own.")
            seen.add(digits)


def _volume_problems(document: Document, container: Document, field: str) -> Iterator[Problem]:
    text = container.get("volume")
    if document["form"] == "powder":
        if text is not None:
            yield Problem(field, "Volume: a powder has none. Leave it blank.")
        return
    volume, amount = amount_of(text), amount_of(container["amount"])
    concentration = amount_of(document.get("concentration"))
    if volume is None:
        yield Problem(field, "Volume: enter the mL in the container, because the label says both.")
    elif amount is not None and concentration is not None and amount != volume * concentration:
        yield Problem(
            field,
            f"Volume: {amount} mg in {volume} mL is not {concentration} mg in one mL. Correct the one that is wrong.",
        )
