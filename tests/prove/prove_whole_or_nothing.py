"""R10: each operation is done whole or not at all, whichever of its statements the database refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test import Client
from django.urls import reverse

from infusion.actions import Recorded, Refused
from infusion.audit import AuditChange
from infusion.models import Clinic
from payers.actions import Refused as RuleRefused
from payers.models import PolicyOverride
from tests.prove.conftest import Prove
from tests.prove.stored import changed, stored
from tests.prove.table import share
from tests.web import test_audit
from tests.web.access_table import ADMIN, BILLING, NURSE
from tests.web.conftest import House
from tests.web.page import Page
from tests.web.test_audit import WRITES, flaw, set_the_scene

FAILURES = (OperationalError, IntegrityError)
# In the ordinary suite a request is made to fail at one in so many of its statements, an action at each.
EVERY = 1 if share() >= 1 else max(1, round(10 / share())) if share() else 60
CLOSING = ("ROLLBACK", "RELEASE")
# Done, or refused in words: what the first request did is there already, such as a hold or a payer of that name.
ANSWERED = (200, 302, 303, 409, 422)


class Broken:
    """Counts the statements of a connection and refuses the one with a number."""

    def __init__(self, number: int, failure: type[Exception] = OperationalError) -> None:
        self.number, self.failure, self.seen, self.statement = number, failure, 0, ""

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("ROLLBACK"):
            return execute(sql, params, many, context)  # how it is taken back is not what fails here
        self.seen += 1
        if self.seen == self.number:
            self.statement = sql
            raise self.failure(f"the database refused statement {self.number}")
        return execute(sql, params, many, context)


@contextmanager
def taken_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def statements_of(act: Callable[[], object]) -> int:
    counted = Broken(0)
    with taken_back(), connection.execute_wrapper(counted):
        act()
    return counted.seen


def left_over(
    before: dict[str, str], act: Callable[[], object], number: int, failure: type[Exception]
) -> tuple[list[str], bool]:
    """The tables that differ after statement `number` was refused, and whether whoever asked was told."""
    told, broken = False, Broken(number, failure)
    with taken_back():
        try:
            with connection.execute_wrapper(broken):
                act()
        except (*FAILURES, Refused, RuleRefused):
            told = True
        assert broken.statement, "no statement failed"
        connection.set_rollback(False)  # set where the very beginning failed, and nothing was written yet
        return changed(before, stored()) if told else [], told


@pytest.mark.both
@pytest.mark.proves("R10")
def test_an_action_leaves_all_or_nothing(
    house: House, rules: dict[str, PolicyOverride], sarah: Recorded, prove: Prove
) -> None:
    set_the_scene(house)
    house.clinic.refresh_from_db()
    before = stored()
    tried, wrong, quiet = 0, [], []
    for place, (name, (write, _)) in enumerate(WRITES.items()):

        def act(write: Any = write) -> object:
            return write(deepcopy(house), deepcopy(rules), deepcopy(sarah))

        for number in range(1, statements_of(act) + 1):
            failure = FAILURES[(place + number) % 2]
            tables, told = left_over(before, act, number, failure)
            tried += 1
            if tables:
                wrong.append(f"{name}, statement {number}: {tables}")
            if not told:
                quiet.append(f"{name}, statement {number}")
    chain = flaw()
    prove(
        "R10", "state as before in 100% of (operation, statement), audit chain unbroken",
        f"{tried - len(wrong)} of {tried} failures in {len(WRITES)} actions left all as before, "
        f"{'chain unbroken' if chain is None else f'chain broken at {chain}'}"
        + f"{'; ' + '; '.join(wrong[:3]) if wrong else ''}",
        not wrong and chain is None,
    )  # fmt: skip
    assert quiet == [], "a refusal that nobody is told of"


Post = tuple[str, str, dict[str, str]]
POSTS: dict[str, Post] = {
    "save a draft": (NURSE, "encounter", {"act": "save", "d1-ordered": "601"}),
    "hand over": (NURSE, "encounter", {"act": "hand-over"}),
    "save a new one": (
        NURSE, "encounter-new", {"act": "save", "patient_reference": "N-1", "payer": "medicare", "date": "2026-03-10"},
    ),
    "approve": (BILLING, "approve", {}),
    "return": (BILLING, "return", {"question": "Why?"}),
    "hold": (BILLING, "hold", {"reason": "The payer changes its number."}),
    "make a batch": (BILLING, "batches", {}),
    "add a payer": (ADMIN, "payers:add", {"name": "New Plan"}),
}  # fmt: skip
PAGES = {"approve": "review", "return": "review", "hold": "review"}


def sender(house: House, name: str) -> Callable[[], Any]:
    role, route, chosen = POSTS[name]
    encounter = house.draft if role == NURSE else house.with_billing
    of_one = route in ("encounter", "approve", "return", "hold")

    def address(name: str) -> str:
        return reverse(name, args=[encounter.public_id] if of_one else [])

    client = Client(raise_request_exception=False)
    client.force_login(house.people[role])
    page = Page(client.get(address(PAGES.get(route, route))).content)
    form = page.form_to(address(route))
    fields = {**form.fields, **chosen}
    if route == "batches":
        fields["encounter"] = str(house.approved.public_id)
    return lambda: client.post(address(route), fields)


@pytest.mark.both
@pytest.mark.proves("R10")
@pytest.mark.usefixtures("no_touch_is_written")
def test_a_request_leaves_all_or_nothing_and_a_page_says_so(house: House, prove: Prove) -> None:
    Clinic.objects.filter(pk=house.clinic.pk).update(sends_claims=False)
    tried, wrong, unfriendly = 0, [], []
    whole: dict[str, list[str]] = {}
    for place, name in enumerate(POSTS):
        send, before = sender(house, name), stored()
        with taken_back():
            counted = Broken(0)
            with connection.execute_wrapper(counted):
                assert send().status_code in (302, 303), name
            whole[name] = changed(before, stored())
            assert whole[name]
        # What was typed is saved before it is handed over: a draft that stays is whole by itself.
        wholes = [[], whole[name], *([whole["save a draft"]] if name == "hand over" else [])]
        for number in range(1 + place % EVERY, counted.seen + 1, EVERY):
            with taken_back():
                with connection.execute_wrapper(Broken(number)):
                    reply = send()
                tried += 1
                if reply.status_code == 500 and b"Something broke on our side" not in reply.content:
                    unfriendly.append(f"{name}, statement {number}")
                left = changed(before, stored())
                if left not in wholes or send().status_code not in ANSWERED or flaw() is not None:
                    wrong.append(f"{name}, statement {number}: {left}")
    prove(
        "R10", "",
        f"{tried - len(wrong)} of {tried} failures in {len(POSTS)} requests left the whole or nothing, and the same "
        f"request sent again was answered; {len(unfriendly)} without the page for it"
        + f"{'; ' + '; '.join(wrong[:3]) if wrong else ''}",
        not wrong and not unfriendly,
    )  # fmt: skip


def test_an_operation_in_two_transactions_would_be_seen(
    house: House, rules: dict[str, PolicyOverride], sarah: Recorded
) -> None:
    write, _ = WRITES["hold"]

    def act() -> object:
        with connection.execute_wrapper(lambda execute, *rest: execute(*rest)):
            Clinic.objects.filter(pk=house.clinic.pk).update(name="Half done")
        return write(house, rules, sarah)

    last = statements_of(act)
    # The row itself, and what the database kept of its writing.
    assert left_over(stored(), act, last, OperationalError)[0] == [AuditChange._meta.db_table, Clinic._meta.db_table]
    assert test_audit.flaw() is None
