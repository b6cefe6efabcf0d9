"""One encounter of the contract in, one statement out: what the command line and programs are answered alike."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError
from pydantic_core import to_json

from infusion.reference_now import current_reference
from infusion.services.calculate import calculate, shipped_reference
from infusion.services.reference import Reference
from infusion.services.wire import (
    Asked,
    Unreadable,
    decode,
    parse_encounter,
    statement_document,
    unreadable_document,
)
from payers.models import Payer
from payers.policy import PayerPolicy, national_baseline
from payers.selectors import policy_for

ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
LINES_AT_ONCE = 400
SHAPES_KEPT = 8_192
LONGEST_KEPT = 8_192  # bytes of a line, so that what is kept stays small whatever comes in
# A line that begins with its id, and the id is written as it would be in the answer.
WITH_ID = re.compile(rb'\{[ \t]*"id"[ \t]*:[ \t]*("[ !#-\[\]-~]*"|[1-9][0-9]{0,17})(?=[ \t]*,)')


def answer(
    line: bytes, known: dict[str, PayerPolicy] | None = None, reference: Reference | None = None, time_zone: str = ""
) -> dict[str, object]:
    """The statement of one JSON line as a document; `invalid` with field paths when it is not an encounter.

    `known` keeps the policies of payers that were looked up, by slug, for the lines to come. Without a
    `reference` the shipped tables hold, and without a `time_zone` the site's.
    """
    identity: object = None
    try:
        document = decode(line)
        identity = document.get("id") if isinstance(document, dict) else None
        asked = parse_encounter(document, time_zone or settings.INFUSION_DEFAULT_TIME_ZONE)
        policy = policy_of(asked, {} if known is None else known).with_inline(asked.policy)
    except Unreadable as problem:
        return unreadable_document(identity, problem)
    tables = reference or shipped_reference()
    return statement_document(calculate(asked.encounter, policy, tables)) | {"id": identity}


def encoded(document: dict[str, object]) -> str:
    """As `ENCODE` writes it, in a third of the time; what is nested too deep for that is left to `ENCODE`."""
    try:
        return to_json(document).decode()
    except ValueError:
        return ENCODE(document)


def stored_reference() -> Reference:
    """The site's own drugs over the shipped tables; these alone where there is no database."""
    try:
        return current_reference()
    except DatabaseError:
        return shipped_reference()


def policy_of(asked: Asked, known: dict[str, PayerPolicy]) -> PayerPolicy:
    """The policy of the payer named in the document. Raises Unreadable for a payer that is not there."""
    if not asked.payer:
        return national_baseline()
    if asked.payer not in known:
        known[asked.payer] = stored_policy(asked.payer)
    return known[asked.payer]


def stored_policy(slug: str) -> PayerPolicy:
    """The one place here that asks the database for one payer."""
    try:
        payer = Payer.objects.filter(slug=slug).first()
        if payer is not None:
            return policy_for(payer)
    except DatabaseError:
        reason = "The payers cannot be read, because there is no database with them. Run manage.py migrate first."
        raise Unreadable((("payer", reason),)) from None
    raise Unreadable((("payer", f"There is no payer {slug} here. The end of its page's address is what is expected."),))


# Many lines -----------------------------------------------------------------------------------------------------------


class Answered(NamedTuple):
    """The answers to some lines, as lines; whether each was an encounter."""

    many: int
    text: str
    readable: bool


@dataclass(slots=True)
class Reply:
    """What a line is answered, which may be another line's answer too, where `shape`, all behind the id, is its own.

    `text` is the whole answer; of an encounter that begins with its id, what stands behind that.
    """

    line: bytes
    identity: str
    shape: bytes
    text: str = ""
    readable: bool = True


class Sheet(NamedTuple):
    """Lines in their order, each with its id as written, and its reply; `new` are the replies not worked out yet."""

    places: list[tuple[bytes, str, Reply]]
    new: list[Reply]


class Desk:
    """Answers lines under rules and tables that do not change while it does, so that equal ones are answered once.

    Lines are equal when they are so to the letter but for the id that they begin with. Only encounters are remembered,
    since what is wrong with a line that is none may be told by its column; and no long ones.
    """

    def __init__(self, known: dict[str, PayerPolicy], reference: Reference) -> None:
        self.known = known
        self.reference = reference
        self.replies: OrderedDict[bytes, Reply] = OrderedDict()

    def answers(self, lines: Iterable[bytes]) -> Answered:
        sheet = self.sheet(lines)
        return self.told(sheet, [self.worked_out(reply.line) for reply in sheet.new])

    def sheet(self, lines: Iterable[bytes]) -> Sheet:
        """The lines sorted out. Of several sheets each is told after the ones made before it."""
        places, new = [], []
        for line in lines:
            text = line.rstrip(b"\r\n")
            begin = WITH_ID.match(text) if len(text) <= LONGEST_KEPT else None
            identity, shape = (begin[1].decode(), text[begin.end() :]) if begin else ("", b"")
            reply = self.replies.get(shape)
            if reply is None:
                reply = Reply(line, identity, shape)
                new.append(reply)
                self._keep(reply)
            else:
                self.replies.move_to_end(shape)
            places.append((line, identity, reply))
        return Sheet(places, new)

    def _keep(self, reply: Reply) -> None:
        if reply.shape:
            self.replies[reply.shape] = reply
            if len(self.replies) > SHAPES_KEPT:
                self.replies.popitem(last=False)

    def worked_out(self, line: bytes) -> tuple[str, bool]:
        """The answer to one line, and whether it is an encounter."""
        document = answer(line, self.known, self.reference)
        return encoded(document), document["status"] != "invalid"

    def told(self, sheet: Sheet, worked_out: Iterable[tuple[str, bool]]) -> Answered:
        """The answers to a sheet, from what its new lines came to."""
        for reply, (text, readable) in zip(sheet.new, worked_out, strict=True):
            reply.readable = readable
            reply.text = text.removeprefix(f'{{"id":{reply.identity}') if reply.shape and readable else text
            if not readable:
                self.replies.pop(reply.shape, None)
        texts, every_line_readable = [], True
        for line, identity, reply in sheet.places:
            every_line_readable &= reply.readable
            if not reply.readable:
                texts.append(reply.text if line == reply.line else self.worked_out(line)[0])
            else:
                texts.append(f'{{"id":{identity}{reply.text}' if reply.shape else reply.text)
        return Answered(len(texts), "\n".join(texts), every_line_readable)
