"""A payer's policy as it would be with a change that nobody has published. Reads only.

`HELD` asks what a change would have done if it had held on every day; `DATED` keeps its own days, and is what
publishing it makes of the policy.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from payers.models import PolicyOverride, Proposal
from payers.policy import Layer, PayerPolicy
from payers.selectors import layers_of, policy_for

HELD, DATED = "held", "dated"
ONE_DAY = timedelta(days=1)
Kind = Proposal.Kind


def kind_of(override: PolicyOverride) -> str:
    """What is wanted of a row: a draft is published, a rule is ended where someone proposes that, else withdrawn."""
    if override.status == PolicyOverride.Status.DRAFT:
        return Kind.PUBLISH
    waiting = override.proposals.filter(outcome=Proposal.Outcome.OPEN).first()
    return waiting.kind if waiting else Kind.WITHDRAW


def policies(override: PolicyOverride, days: str) -> tuple[PayerPolicy, PayerPolicy]:
    """The payer's policy as it is, and as it would be."""
    now = policy_for(override.payer)
    [layer] = layers_of(override.payer, [override])
    kind = kind_of(override)
    if kind == Kind.PUBLISH:
        others = [
            left
            for each in now.layers
            for left in (
                _followed(each, layer, days)
                if override.follows and _is(each, override.follows)
                else _beside(each, layer, days)
            )
        ]
        added = layer if days == DATED else replace(layer, effective_from=None, effective_until=None)
        return now, PayerPolicy((*others, added))
    if kind == Kind.END and days == DATED:
        last_day = override.proposals.get(outcome=Proposal.Outcome.OPEN).last_day
        return now, PayerPolicy(tuple(replace(each, effective_until=last_day) if _is(each, override) else each
                                      for each in now.layers))  # fmt: skip
    return now, PayerPolicy(tuple(each for each in now.layers if not _is(each, override)))


def _is(layer: Layer, override: PolicyOverride) -> bool:
    return layer.override_id == str(override.public_id)


def _followed(layer: Layer, draft: Layer, days: str) -> list[Layer]:
    """What is left of the rule that a draft is a new wording of: the days before a later one, of an earlier one none.

    A wording that does not begin later replaces the rule, whatever days of its own either has.
    """
    assert draft.effective_from is not None  # noqa: S101  every override has a first day
    assert layer.effective_from is not None  # noqa: S101
    if days == HELD or draft.effective_from <= layer.effective_from:
        return []
    last_day = draft.effective_from - ONE_DAY
    return [replace(layer, effective_until=min(layer.effective_until or last_day, last_day))]


def _beside(layer: Layer, draft: Layer, days: str) -> list[Layer]:
    """What is left of a layer beside a draft: one of the same scope ends the day before it, or goes."""
    if layer.scope != draft.scope or layer.values.keys() != draft.values.keys():
        return [layer]
    if days == HELD:
        return []
    assert draft.effective_from is not None  # noqa: S101  every override has a first day
    assert layer.effective_from is not None  # noqa: S101
    if layer.effective_until is not None and layer.effective_until < draft.effective_from:
        return [layer]
    if draft.effective_until is not None and draft.effective_until < layer.effective_from:
        return [layer]
    if layer.effective_from < draft.effective_from:
        return [replace(layer, effective_until=draft.effective_from - ONE_DAY)]
    return []
