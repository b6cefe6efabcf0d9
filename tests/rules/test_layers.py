"""Which layers speak to a parameter, and what would hold without one of them."""

from datetime import date

from payers.policy import Layer, PayerPolicy, Scope

MARCH = date(2026, 3, 10)
GENERAL = Layer("A payer", {"additional_hour_minimum_minutes": 30}, source="A document")
AT_HOME = Layer("A payer", {"additional_hour_minimum_minutes": 20}, Scope(setting="home"))
FOR_DRUG = Layer("A payer", {"additional_hour_minimum_minutes": 45}, Scope(drug="J2350"))
LATER = Layer("A payer", {"additional_hour_minimum_minutes": 1}, effective_from=date(2026, 4, 1))
# The narrow one comes first, so that order alone cannot put it last.
POLICY = PayerPolicy().with_layers([FOR_DRUG, AT_HOME, GENERAL, LATER])


def values(setting: str, drug: str = "") -> list[object]:
    rules = POLICY.on(MARCH, setting)
    speaking = rules.speaking("additional_hour_minimum_minutes", drug)
    assert speaking[-1] == rules.look_up("additional_hour_minimum_minutes", drug)
    return [reading.value for reading in speaking]


def test_layers_speak_from_the_widest_to_the_one_that_decides() -> None:
    assert values("office") == [31, 30]
    assert values("office", "J2350") == [31, 30, 45]
    assert values("home") == [31, 30, 20]


def test_a_parameter_nobody_departs_from_has_the_baseline_alone() -> None:
    (reading,) = POLICY.on(MARCH, "office").speaking("discarded_drug")
    assert (reading.value, reading.whose) == ("separate_line", "National baseline")


def test_the_baseline_speaks_even_where_a_stack_leaves_it_out() -> None:
    rules = PayerPolicy((GENERAL,)).on(MARCH, "office")
    assert [reading.value for reading in rules.speaking("additional_hour_minimum_minutes")] == [31, 30]


def test_without_a_layer_the_one_below_decides() -> None:
    rules = POLICY.without(FOR_DRUG).on(MARCH, "office")
    assert rules.look_up("additional_hour_minimum_minutes", "J2350").value == 30
    assert POLICY.on(MARCH, "office").look_up("additional_hour_minimum_minutes", "J2350").value == 45
