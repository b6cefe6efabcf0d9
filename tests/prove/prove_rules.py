"""R12, R13, R14: exact numbers, the same lines everywhere, and one answer of the rules for each payer and day."""

from __future__ import annotations

import ast
import json
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models, transaction

from infusion import audit
from infusion.actions import Recorded
from infusion.approved import recorded_in
from infusion.models import Approval, Encounter, User
from infusion.reference_now import current_reference
from infusion.services.calculate import calculate
from infusion.services.payment import amount_of
from infusion.services.wire import statement_document
from payers.actions import Departure, Refused, publish_override, withdraw_override
from payers.models import Payer, PolicyOverride
from payers.policy import PayerPolicy, national_baseline
from payers.selectors import policy_for
from tests.prove.conftest import Prove
from tests.prove.hashes import ROOT, SETTINGS, hash_under
from tests.prove.table import size

PARTS = sorted(each for room in ("infusion", "payers") for each in (ROOT / room).rglob("*.py"))
# Seconds that pass, shares of a bar and places on paper: nothing that is billed.
NOT_BILLED = {"idle.py", "demo.py", "demo_years.py", "settings.py", "wsgi.py"}

# R12 ------------------------------------------------------------------------------------------------------------------


def floats(source: str) -> list[str]:
    """Where a dose or an amount of money could become a float."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr="FloatField") | ast.Name(id="FloatField"):
                found.append(f"{node.lineno}: FloatField")
            case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=float())]):
                found.append(f"{node.lineno}: a Decimal out of a float")
            case ast.Call(func=ast.Name(id="float"), args=[ast.Name(id=name)]) if any(
                word in name for word in ("charge", "amount", "rate", "dose", "units")
            ):
                found.append(f"{node.lineno}: float of {name}")
    return found


def stored_as_real() -> list[str]:
    """Columns that SQLite keeps as REAL, although they hold what is billed."""
    return [
        f"{model._meta.label}.{column.name}"
        for model in apps.get_models()
        for column in model._meta.fields
        if model._meta.app_label in ("infusion", "payers")
        and isinstance(column, models.FloatField | models.DecimalField)
        and column.db_type(connection) in ("real", "decimal")
    ]


def billed_twice(dice: random.Random) -> tuple[Any, Any]:
    """An amount of money by the program, and by fractions."""
    rate = Decimal(dice.randrange(10**9)).scaleb(-dice.randint(0, 4))
    units = dice.choice([dice.randint(0, 9), dice.randint(0, 99_999)])
    exact = Fraction(rate) * units
    cents = (exact * 100 + Fraction(1, 2)).__floor__()
    return amount_of(rate, units), Decimal(cents).scaleb(-2)


@pytest.mark.proves("R12")
def test_numbers_are_exact(prove: Prove) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{each}"
        for path in PARTS
        if path.name not in NOT_BILLED and "migrations" not in path.parts
        for each in floats(path.read_text(encoding="utf-8"))
    ]
    columns = stored_as_real()
    dice, count = random.Random(12), size(20_000, 1_000_000)
    different = sum(mine != theirs for mine, theirs in (billed_twice(dice) for _ in range(count)))
    prove(
        "R12", "0 differences from fractions in 1,000,000 cases, 0 floats in what is billed",
        f"{different} differences in {count:,} cases; {len(found)} floats{': ' + ', '.join(found) if found else ''}; "
        f"{len(columns)} columns as REAL{': ' + ', '.join(columns) if columns else ''}",
        not different and not found and not columns,
    )  # fmt: skip


@pytest.mark.parametrize(
    "source",
    ["x = models.FloatField()", "x = Decimal(0.1)", "x = float(rate)"],
)
def test_a_float_would_be_seen(source: str) -> None:
    assert len(floats(source)) == 1


def test_a_float_s_cents_would_be_seen() -> None:
    wrong = Decimal(str(round(float(Decimal("1.005")) * 1, 2)))
    assert wrong != Decimal("1.005").quantize(Decimal("0.01"), ROUND_HALF_UP) == amount_of(Decimal("1.005"), 1)


# R13 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("R13")
def test_the_same_record_gives_the_same_lines_on_any_machine(prove: Prove) -> None:
    count, settings = size(100, 100_000), SETTINGS if size(0, 1) else SETTINGS[1:4:2]
    with ThreadPoolExecutor(os.cpu_count()) as processes:
        hashes = set(processes.map(lambda each: hash_under(each, count), settings))
    prove(
        "R13", "1 distinct hash of 100,000 encounters under 8 settings",
        f"{len(hashes)} of {count:,} encounters under {len(settings)} time zones, seeds and orders", len(hashes) == 1,
    )  # fmt: skip
    assert hash_under(settings[0], count - 1) not in hashes


@pytest.mark.both
@pytest.mark.proves("R13")
def test_what_was_stored_and_read_back_gives_the_same_lines(
    visited: Callable[..., Encounter], medicare: Payer, sarah: Recorded, prove: Prove
) -> None:
    count, different = size(4, 300), 0
    for minutes in range(10, 10 + count):
        stored = visited(minutes, medicare)
        lines = json.loads(Approval.objects.get(encounter=stored).statement)["lines"]
        begin = datetime(2026, 3, 9, 9, 0)
        [given] = sarah.facts.administrations
        given = replace(given, start=begin, stop=begin + timedelta(minutes=minutes))
        typed = replace(sarah.facts, administrations=(given,), date_of_service=begin.date())
        expected = statement_document(calculate(typed, national_baseline(), current_reference()))["lines"]
        different += lines != json.loads(audit.canonical(expected))
    prove(
        "R13", "stored and read back the same as never stored",
        f"{different} of {count:,} stored encounters differ", different == 0,
    )  # fmt: skip


# R14 ------------------------------------------------------------------------------------------------------------------

SPOKEN = ("additional_hour_minimum_minutes", "infusion_minimum_minutes")
PLACES = [("", ""), ("office", ""), ("", "J2350"), ("office", "J2350"), ("home", "")]
FIRST = date(2025, 1, 1)


def a_departure(dice: random.Random) -> Departure:
    begins = FIRST + timedelta(days=dice.randrange(1200))
    setting, drug = dice.choice(PLACES)
    return Departure(
        parameter=dice.choice(SPOKEN), value=dice.randint(16, 59), setting=setting, drug=drug, effective_from=begins,
        effective_until=begins + timedelta(days=dice.randrange(90)) if dice.random() < 0.9 else None,
        source_document="Handbook", source_read_on=date(2026, 1, 1),
    )  # fmt: skip


def publish_many(by: User, payer: Payer, dice: random.Random, count: int) -> int:
    """Rules at random, some withdrawn again. How many were refused because they overlap."""
    refused = 0
    for _ in range(count):
        try:
            with transaction.atomic():
                row = publish_override(by=by, payer=payer, departure=a_departure(dice), status="verified")
            if dice.random() < 0.3:
                withdraw_override(by=by, override=row, reason="Wrong plan.")
        except Refused:
            refused += 1
    return refused


def answers_of(rows: list[PolicyOverride], name: str, day: date, setting: str, drug: str) -> list[PolicyOverride]:
    """The rows that answer, by the words of the rule: in force that day, for that place, the narrowest of them."""
    fitting = [
        row
        for row in rows
        if row.parameter == name
        and row.effective_from <= day <= (row.effective_until or date.max)
        and row.setting in ("", setting)
        and row.drug in ("", drug)
    ]
    narrowest = max(((bool(row.drug), bool(row.setting)) for row in fitting), default=None)
    return [row for row in fitting if (bool(row.drug), bool(row.setting)) == narrowest]


@pytest.mark.both
@pytest.mark.proves("R14")
def test_one_rule_answers_for_each_payer_and_day(medicare: Payer, admin_user: User, prove: Prove) -> None:
    dice, count = random.Random(14), size(4_000, 1_000_000)
    overlapping = publish_many(admin_user, medicare, dice, size(40, 400))
    rows = list(PolicyOverride.objects.filter(payer=medicare, known_until__isnull=True))
    ends = {day for row in rows for day in (row.effective_from, row.effective_until or row.effective_from)}
    days = sorted({day + timedelta(days=by) for day in ends for by in (-1, 0, 1)})
    policy, wrong, several, asked = policy_for(medicare), 0, 0, 0
    while asked < count:
        for day in days:
            rules = {setting: policy.on(day, setting) for setting in ("office", "home")}
            for name in SPOKEN:
                setting, drug = dice.choice(["office", "home"]), dice.choice(["J2350", "J1745", ""])
                found = answers_of(rows, name, day, setting, drug)
                reading = rules[setting].look_up(name, drug)
                several += len(found) > 1
                expected = str(found[0].public_id) if found else ""
                wrong += (reading.layer.override_id or "") != expected
                asked += 1
    blocked = twins_refused(rows[: size(3, 50)])
    prove(
        "R14", "1,000,000 look-ups, both ends of every interval: one answer each; the database refuses an overlap",
        f"{wrong} wrong and {several} with two answers of {asked:,}, {len(rows)} rules, "
        f"{overlapping} overlaps refused; "
        f"the database refused {blocked} of {len(rows[: size(3, 50)])} twins",
        not wrong and not several and overlapping > 0 and blocked == len(rows[: size(3, 50)]),
    )  # fmt: skip


def twins_refused(rows: list[PolicyOverride]) -> int:
    """How many second rules for the same days the database refuses by itself."""
    refused = 0
    for row in rows:
        twin = PolicyOverride.objects.get(pk=row.pk)
        twin.pk, twin.public_id, twin.thread = None, uuid4(), uuid4()
        try:
            with transaction.atomic():
                twin.save(force_insert=True)
        except DatabaseError:
            refused += 1
    return refused


def test_a_wider_rule_before_a_narrower_one_would_be_seen(medicare: Payer, admin_user: User) -> None:
    def say(value: int, setting: str) -> PolicyOverride:
        said = Departure(
            parameter=SPOKEN[0], value=value, setting=setting, effective_from=FIRST, source_document="Handbook",
            source_read_on=FIRST,
        )  # fmt: skip
        return publish_override(by=admin_user, payer=medicare, departure=said, status="verified")

    wide, narrow = say(30, ""), say(40, "office")
    assert answers_of([wide, narrow], SPOKEN[0], FIRST, "office", "") == [narrow]
    assert answers_of([wide], SPOKEN[0], FIRST, "office", "") == [wide]
    reading = policy_for(medicare).on(FIRST, "office").look_up(SPOKEN[0])
    assert reading.layer.override_id == str(narrow.public_id)


def run_again(approval: Approval, policy: PayerPolicy) -> str:
    """The statement of an approval, calculated anew."""
    return audit.canonical(statement_document(calculate(recorded_in(approval), policy, current_reference())))


def known_then(payer: Payer, approvals: list[Approval]) -> PayerPolicy:
    """The rules that were known when some were given between two changes: for the first as for the last of them."""
    first, last = (policy_for(payer, known_at=each.approved_at) for each in (approvals[0], approvals[-1]))
    assert layers_in(first) == layers_in(last)
    return first


def layers_in(policy: PayerPolicy) -> list[list[Any]]:
    """What its layers say, in one order: a query says none, and two layers of one scope share no day."""
    ordered = sorted(policy.layers, key=lambda layer: layer.override_id)
    return [[getattr(layer, each.name) for each in fields(layer)] for layer in ordered]


@pytest.mark.both
@pytest.mark.django_db(transaction=True)  # in one transaction PostgreSQL could clear away no row that was written anew
@pytest.mark.proves("R14")
def test_a_past_claim_never_changes(
    visited: Callable[..., Encounter], medicare: Payer, admin_user: User, prove: Prove
) -> None:
    """Rules change between the approvals as well. After each later change what was known then is the same as it was,
    and a share is run again; after the last all are.
    """
    dice, count, edits = random.Random(15), size(8, 4_400), size(4, 20)
    between: list[list[Approval]] = []
    for number in range(count):
        if number % (count // edits) == 0:
            publish_many(admin_user, medicare, dice, 3)
            between.append([])
        encounter = visited(20 + number % 300, medicare, date(2026, 3, 1) + timedelta(days=number // 300))
        between[-1].append(Approval.objects.get(encounter=encounter))
    before = {each.pk: each.statement for each in Approval.objects.all()}
    charges = sum(len(json.loads(statement)["lines"]) for statement in before.values())
    rules, changed, otherwise = [known_then(medicare, each) for each in between], 0, 0
    for edit in range(edits):
        publish_many(admin_user, medicare, dice, 3)
        for approvals, known in zip(between, rules, strict=True):
            policy = known_then(medicare, approvals)
            otherwise += layers_in(policy) != layers_in(known)
            again = approvals if edit == edits - 1 else approvals[edit::edits]
            changed += sum(run_again(each, policy) != before[each.pk] for each in again)
    assert {each.pk: each.statement for each in Approval.objects.all()} == before
    prove(
        "R14", "0 of 10,000 approved charges differ after 20 later changes of the rules",
        f"{changed} of {count:,} approved encounters with {charges:,} charges differ when run again, and {otherwise} "
        f"of the rules known then, after {edits} later changes: a share after each, all after the last",
        changed == 0 and otherwise == 0 and charges >= size(16, 10_000),
    )  # fmt: skip


def test_running_again_under_todays_rules_would_be_seen(
    visited: Callable[..., Encounter], medicare: Payer, admin_user: User
) -> None:
    visited(90, medicare, date(2026, 3, 9))
    approval = Approval.objects.get()
    assert run_again(approval, known_then(medicare, [approval])) == approval.statement
    said = Departure(
        parameter=SPOKEN[0], value=30, effective_from=FIRST, source_document="Handbook", source_read_on=FIRST
    )
    publish_override(by=admin_user, payer=medicare, departure=said, status="verified")
    assert run_again(approval, known_then(medicare, [approval])) == approval.statement
    assert run_again(approval, policy_for(medicare)) != approval.statement
