"""What a program sends: bounded before it is read, and JSON with exact numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from django.http import HttpRequest

from infusion.api.errors import CODES, Problem, unlike
from infusion.exchange.incoming import Unmapped, shown
from infusion.services.wire import Unreadable, decode

MOST_OF_ONE = 32_000
"""Bytes of one encounter: more than the largest that a form can hold."""
MOST_OF_MANY = 4_000_000
MOST_ENCOUNTERS = 1_000
SPACE = " \t\r\n"
# Finds where an element ends, and nothing else: what is in it is read by itself.
OUTLINE = json.JSONDecoder(parse_float=str, parse_int=str)


def body_of(request: HttpRequest, most: int) -> bytes:
    """The body, refused by its length before it is read."""
    size = request.META.get("CONTENT_LENGTH") or "0"
    body = request.read(most + 1) if size.isdecimal() and int(size) <= most else None
    if body is None or len(body) > most:
        words = f"{CODES[413][1]} This address takes {most:,} bytes."
        raise Problem(413, CODES[413][0], words, headers={"Connection": "close"})
    return body


def document_of(body: bytes) -> object:
    """One document. Raises Problem for what is not JSON."""
    try:
        return decode(body)
    except Unreadable as problem:
        raise Problem(422, *CODES[422], [Unmapped(path, "", words) for path, words in problem.problems]) from None


def not_understood(document: object, problems: Iterator[tuple[str, str]]) -> Problem:
    """Every path of a document that cannot be read, with what stands there."""
    return Problem(422, *CODES[422], [Unmapped(path, shown(document, path), words) for path, words in problems])


def elements_of(body: bytes) -> list[bytes]:
    """The elements of a list as they were sent, so that what is wrong in one concerns no other."""
    try:
        text = body.decode(json.detect_encoding(body))
        found = list(islice(_elements(text), MOST_ENCOUNTERS + 1))
    except (ValueError, RecursionError):
        raise unlike("", "", "A list of encounters is expected, as JSON: [{…}, {…}].") from None
    if len(found) > MOST_ENCOUNTERS:
        words = f"More than {MOST_ENCOUNTERS:,} encounters are too many for one request. Split them."
        raise Problem(413, CODES[413][0], words)
    return [each.encode() for each in found]


def _elements(text: str) -> Iterator[str]:
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise ValueError
    at = _skip(text, at + 1)
    if text[at : at + 1] != "]":
        while True:
            begin = at
            at = OUTLINE.raw_decode(text, begin)[1]
            yield text[begin:at]
            at = _skip(text, at)
            if text[at : at + 1] == "]":
                break
            if text[at : at + 1] != ",":
                raise ValueError
            at = _skip(text, at + 1)
    if text[at + 1 :].strip(SPACE):
        raise ValueError


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in SPACE:
        at += 1
    return at


def table_of(document: object) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise unlike("", "", "An object with named fields is expected.")
    return document
