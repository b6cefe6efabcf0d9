"""The payers that every installation begins with: shipped.toml, written through the payers' own actions."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from django.db import transaction

from payers.actions import Departure, add_payer, draft_override, publish_override
from payers.models import Payer, PolicyOverride

SHIPPED = Path(__file__).with_name("shipped.toml")
Status = PolicyOverride.Status


@transaction.atomic
def load_shipped(*, by: Any = None, adopt: bool = False) -> tuple[int, int]:
    """Add what is not there yet, and tell how many payers and rules that were.

    A rule that an admin has changed, ended or withdrawn was there, and stays as the admin left it. What nobody has
    verified becomes a draft, which decides nothing, unless `adopt` publishes it as unverified.
    """
    payers_added = rules_added = 0
    for entry in tomllib.loads(SHIPPED.read_text())["payer"]:
        payer = Payer.objects.filter(slug=entry["slug"]).first()
        if payer is None:
            payer = add_payer(by=by, slug=entry["slug"], name=entry["name"])
            payers_added += 1
        for row in entry.get("override", ()):
            rules_added += add_missing(payer, row, by=by, adopt=adopt)
    return payers_added, rules_added


def add_missing(payer: Payer, row: dict[str, Any], *, by: Any, adopt: bool) -> bool:
    """Write one rule, unless any version of it was ever there."""
    status = row["status"]
    departure = Departure(**{name: value for name, value in row.items() if name != "status"})
    if PolicyOverride.objects.filter(
        payer=payer, parameter=departure.parameter, setting=departure.setting, drug=departure.drug,
        effective_from=departure.effective_from,
    ).exists():  # fmt: skip
        return False
    if status == Status.VERIFIED or adopt:
        publish_override(by=by, payer=payer, departure=departure, status=status)
    else:
        draft_override(by=by, payer=payer, departure=departure)
    return True
