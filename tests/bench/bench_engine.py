"""How long one explained answer takes beside others that only do its arithmetic: `make bench`.

Measured is `calculate` as the product calls it: wall-clock times and vials in; lines, findings, reasons and every value
of the policy that was read out, each time from the start. The sentences of the reasons are made when someone reads
them, and what that costs is told as well. The policy is the one object that a request or a run keeps, with what it has
worked out for the drug before; no answer is kept. The others are told minutes and thresholds, and give units alone.

`make bench` runs it twice: here, and in var/compiled, where the rules are machine code as in the container image. Only
there do the last two goals hold.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median
from time import perf_counter

from infusion.services import calculate as rules
from infusion.services.calculate import calculate, national_baseline, shipped_reference
from infusion.services.facts import Administration, Discard, Encounter, Vial
from infusion.services.lines import Statement
from infusion.services.wire import statement_document
from tests.bench.contenders import Facts, Line, business_rules, plain_decimal, zen_engine

ROUNDS, COMPARED = 41, 2_000
NINE = datetime(2026, 3, 10, 9)
WORKED_EXAMPLE = Facts(minutes=150, dose=Decimal(600), vial=Decimal(300), vials=2)
# Calls in a round: about as long for each.
CALLS = {"plain Decimal": 2_000, "business-rules": 120, "zen-engine": 10, "calculate": 100, "calculate, all read": 60}
COMPILED = not rules.__file__.endswith(".py")
GOALS = {"zen-engine": 3.0} | ({"business-rules": 1.0, "plain Decimal": 1 / 20} if COMPILED else {})


def recorded(facts: Facts) -> Encounter:
    rest = facts.vial * facts.vials - facts.dose
    given = Administration(
        id="a1", route="iv_infusion", drug="J2350", start=NINE, stop=NINE + timedelta(minutes=facts.minutes),
        administered=facts.dose, vials=(Vial(amount=facts.vial, count=facts.vials),),
        discards=(Discard(amount=rest, reason="vial_remainder"),) if rest else (),
    )  # fmt: skip
    return Encounter(time_zone="America/New_York", setting="office", administrations=(given,))


def some_facts(dice: random.Random) -> Facts:
    """A dose of ocrelizumab from as many vials of 300 mg as it takes."""
    dose = Decimal(dice.randint(1, 12_000)) / 10
    return Facts(dice.randint(1, 600), dose, Decimal(300), -int(-dose // 300) + bool(dose % 300))


def answered(encounter: Encounter) -> Statement:
    return calculate(encounter, national_baseline(), shipped_reference())


def lines_of(statement: Statement) -> list[Line]:
    return [Line(line.code, line.modifiers, line.units) for line in statement.lines]


@contextmanager
def no_collection() -> Iterator[None]:
    """Without pauses of the garbage collector, for everyone alike."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def seconds(calls: int, call: Callable[[], object]) -> float:
    with no_collection():
        began = perf_counter()
        for _ in range(calls):
            call()
        return (perf_counter() - began) / calls


def test_all_of_them_give_the_same_lines() -> None:
    dice = random.Random(8)
    for facts in (WORKED_EXAMPLE, *(some_facts(dice) for _ in range(COMPARED))):
        ours = lines_of(answered(recorded(facts)))
        assert ours == plain_decimal(facts) == business_rules(facts) == zen_engine(facts), facts


def test_an_explained_answer_beside_the_arithmetic_alone() -> None:
    encounter = recorded(WORKED_EXAMPLE)
    calls: dict[str, Callable[[], object]] = {
        "plain Decimal": lambda: plain_decimal(WORKED_EXAMPLE),
        "business-rules": lambda: business_rules(WORKED_EXAMPLE),
        "zen-engine": lambda: zen_engine(WORKED_EXAMPLE),
        "calculate": lambda: answered(encounter),
        "calculate, all read": lambda: statement_document(answered(encounter)),
    }
    for name, call in calls.items():
        seconds(CALLS[name], call)
    rounds = [{name: seconds(CALLS[name], call) for name, call in calls.items()} for _ in range(ROUNDS)]
    times = {name: median(each[name] for each in rounds) for name in calls}
    print("\nThe rules are machine code." if COMPILED else "\nThe rules are Python.")  # noqa: T201
    for name, took in times.items():
        print(f"{name:20} {took * 1e6:8.1f} µs {1 / took:10,.0f} a second")  # noqa: T201
    short = []
    for name in ("zen-engine", "business-rules", "plain Decimal"):
        ratio, goal = median(each[name] / each["calculate"] for each in rounds), GOALS.get(name, 0)
        wanted = f"at least {goal:.3f} is wanted" if goal else "the goal is for machine code"
        told = f"calculate is {ratio:.3f} times as quick as {name}; {wanted}"
        print(told)  # noqa: T201
        short += [] if ratio >= goal else [told]
    assert short == []
