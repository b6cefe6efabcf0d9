"""R42, R47 and what R40 says of logs and mail: what breaks shows a number, and the log has it once, in one line."""

from __future__ import annotations

import io
import json
import logging
import random
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any
from unittest.mock import patch

import pytest
from django.core import mail
from django.http import HttpRequest
from django.template import smartif
from django.template.base import Node
from django.test import Client
from django.urls import reverse

from infusion.logs import OneLine
from infusion.models import WorkingCopy
from tests.prove.conftest import Prove
from tests.prove.table import share, size
from tests.web.access_table import NURSE, ROLES, TABLE, VISITOR
from tests.web.conftest import House
from tests.web.page import Page
from tests.web.routes import Route, routes

MARK = "Zzcanary"
NUMBER = re.compile(r"""(?:Reference <strong>|"reference":")([A-Z2-9]{4}-[A-Z2-9]{4})(?:</strong>|")""")
TELLING = (MARK, "Surprise", "Traceback", ".py", "line ")
Values = Callable[[Route], dict[str, object]]


class Surprise(Exception):
    """What nobody foresaw."""


class BreaksInTheView:
    """Middleware after all others: every view that may be used breaks."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        raise Surprise(f"{MARK} in {request.POST.dict()}")


@pytest.fixture
def log() -> Iterator[Callable[[], list[str]]]:
    """The lines that the log got since it was last asked, as the program writes them."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLine())
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)

    def lines() -> list[str]:
        found = stream.getvalue().splitlines()
        stream.seek(0)
        stream.truncate()
        return found

    yield lines
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def broken_views(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.{BreaksInTheView.__name__}"]
    settings.ADMINS = [("Admin", "admin@clinic.example")]


def shortfall(reply: Any, lines: list[str]) -> str:
    """What is wrong with the reply to a request that broke, and with its line in the log."""
    body = reply.content.decode()
    told = NUMBER.search(body)
    if reply.status_code != 500 or told is None or reply.headers.get("X-Reference") != told[1]:
        return f"{reply.status_code} without its number"
    if leaked := [each for each in TELLING if each in body]:
        return f"the page tells {leaked}"
    if sum(told[1] in each for each in lines) != 1 or MARK in "".join(lines):
        return f"{sum(told[1] in each for each in lines)} lines, {MARK in ''.join(lines)}"
    return "" if mail.outbox == [] else "a mail"


def who_may(route: Route, method: str) -> str | None:
    return next((role for role in ROLES if role in TABLE[route.name].get(method, ())), None)


def tried(
    as_role: Callable[..., Client], values: Values, log: Callable[[], list[str]], some: Iterable[Route]
) -> tuple[int, list[str]]:
    """The views by every method they take, as a page and as a fragment: how many broke, and what was wrong with it."""
    count, wrong = 0, []
    kinds: list[dict[str, str]] = [{}, {"HX-Request": "true"}]
    for place, route in enumerate(some):
        for method in ("GET", "POST"):
            role = who_may(route, method)
            # Each view breaks in the ordinary suite, and both kinds of each under `make prove`.
            for headers in (kinds if share() >= 1 else kinds[place % 2 :][:1]) if role else ():
                client = as_role(role, raise_request_exception=False)
                log()
                reply = client.generic(method, route.address(values(route)), headers=headers)
                why = shortfall(reply, log())
                count += 1
                wrong += [f"{method} {route.name}: {why}"] if why else []
    return count, wrong


@pytest.mark.proves("R42")
def test_every_view_that_breaks_shows_a_number(
    broken_views: None, as_role: Callable[..., Client], values: Values, log: Callable[[], list[str]], prove: Prove
) -> None:
    count, wrong = tried(as_role, values, log, routes())
    prove(
        "R42", "100% of views and template tags: a plain page with its number, the log has it once, no stack",
        f"{count - len(wrong):,} of {count:,} requests to views that broke, as pages and as fragments"
        + "".join(f"; {each}" for each in wrong[:3]),
        not wrong and count > 100,
    )  # fmt: skip


def test_a_page_without_its_number_is_seen(
    broken_views: None, as_role: Callable[..., Client], values: Values, log: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("infusion.urls.handler500", "django.views.defaults.server_error")
    count, wrong = tried(as_role, values, log, islice(routes(), 24))
    assert len(wrong) == count > 10


def within_a_condition() -> bool:
    """Whether a field is drawn to answer an {% if %}, as in Django's own admin: what breaks there is false to it."""
    return any(frame.f_code.co_filename == smartif.__file__ for frame, _ in traceback.walk_stack(None))


class BreaksAtANode:
    """Breaks where the template's node of a number is drawn: a tag, a variable, a part that is included."""

    def __init__(self, number: int) -> None:
        self.number, self.seen, self.draw, self.broke = number, 0, Node.render_annotated, False

    def __enter__(self) -> BreaksAtANode:
        breaks = self

        def draw(node: Node, context: Any) -> Any:
            breaks.seen += 1
            if breaks.seen == breaks.number and not within_a_condition():
                breaks.broke = True
                raise Surprise(MARK)
            return breaks.draw(node, context)

        self.patch = patch.object(Node, "render_annotated", draw)
        self.patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.patch.stop()


@pytest.mark.proves("R42")
@pytest.mark.usefixtures("no_touch_is_written")
def test_every_template_tag_that_breaks_shows_a_number(
    as_role: Callable[..., Client], values: Values, log: Callable[[], list[str]], prove: Prove
) -> None:
    chance, count, wrong, nodes = random.Random(42), 0, [], 0
    for place, route in enumerate(routes()):
        role = who_may(route, "GET")
        if place % (1 if share() >= 1 else 3) or role is None or (role == VISITOR and not route.named):
            continue
        client, address = as_role(role, raise_request_exception=False), route.address(values(route))
        with BreaksAtANode(0) as counted:
            client.get(address)
        nodes += counted.seen
        for number in chance.sample(range(1, counted.seen + 1), min(counted.seen, size(1, 40))):
            log()
            with BreaksAtANode(number) as broke:
                reply = client.get(address)
            if not broke.broke:
                continue  # within a condition, or the page is shorter the second time, as after its first message
            count += 1
            why = shortfall(reply, log())
            wrong += [f"{route.name}, node {number}: {why}"] if why else []
    prove(
        "R42", "",
        f"{count - len(wrong):,} of {count:,} pages that broke at one of their {nodes:,} tags, variables and parts"
        + "".join(f"; {each}" for each in wrong[:3]),
        not wrong and count > 10,
    )  # fmt: skip


@pytest.mark.proves("R42")
def test_what_was_typed_is_kept_when_its_page_breaks(
    house: House, as_role: Callable[..., Client], settings: Any, prove: Prove
) -> None:
    address = reverse("encounter", args=[house.draft.public_id])
    form = Page(as_role(NURSE).get(address).content).form_to(address)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.{BreaksInTheView.__name__}"]
    reply = as_role(NURSE, raise_request_exception=False).post(
        address, {**form.fields, "act": "save", "d1-ordered": "477"}
    )  # fmt: skip
    [copy] = WorkingCopy.objects.all()
    found = f'href="{address}?' in reply.content.decode()
    kept = copy.entries.get("d1-ordered") == "477"
    prove(
        "R42",
        "",
        "the form of an encounter is kept and led back to" if found and kept else "it is lost",
        found and kept,
    )


# R47 ------------------------------------------------------------------------------------------------------------------

PIECES = (
    "\n", "\r", "\r\n", "\x1b[31m", "\x1b]0;title\x07", "\x00", "\x08", "\x7f", "\x85", "\x9b", "\u2028", "\u2029",
    "\v", "\f", "\u202e", '"}', '{"level": "ERROR", "message": "forged"}', "\\n", "\\u000a", "%0a", "%s",
    "ERROR django.request forged", "2026-03-10 09:00:00,000 ERROR root x",
)  # fmt: skip


def forged(chance: random.Random) -> str:
    return "".join(chance.choice(PIECES) for _ in range(chance.randrange(1, 6))) + str(chance.randrange(10_000))


def written(formatter: logging.Formatter, payloads: list[str], client: Client) -> list[str]:
    """What stands in the log after each payload was logged, and asked for as an address."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    try:
        for payload in payloads:
            logging.getLogger("infusion").warning("Read %s", payload)
            client.generic("GET", "/nowhere/" + payload.replace("?", "").replace("#", ""))
    finally:
        logging.getLogger().removeHandler(handler)
    return re.split(r"\r\n|[\n\r\v\f\x85\u2028\u2029]", stream.getvalue())[:-1]


@pytest.mark.proves("R47")
def test_no_line_of_the_log_is_forged(client: Client, db: None, prove: Prove) -> None:
    chance = random.Random(47)
    payloads = [forged(chance) for _ in range(size(100, 500))]
    lines = written(OneLine(), payloads, client)
    read = [json.loads(line) for line in lines]
    own = [each for each in read if each["logger"] == "infusion"]
    whole = [each["message"] for each in own] == [f"Read {payload}" for payload in payloads]
    printable = all(" " <= letter <= "~" for line in lines for letter in line)
    prove(
        "R47", "lines in = lines out for 500 payloads",
        f"{len(lines):,} lines out of {2 * len(payloads):,} written, {len(own):,} read back as they were written",
        len(lines) == 2 * len(payloads) and whole and printable,
    )  # fmt: skip
    assert len(written(logging.Formatter("%(levelname)s %(message)s"), payloads, client)) > 2 * len(payloads)
