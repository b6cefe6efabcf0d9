"""Pictures of every nurse page at three widths, from the demo's own patients: `make screenshots`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.utils import timezone
from playwright.sync_api import Page

from infusion.models import Encounter, Order, User

FOLDER = Path(settings.BASE_DIR) / "docs/images/nurse"
WIDTHS = {360: 900, 768: 1100, 1280: 860}
"""How much of a page is shown at most, by width."""
HEAVY = 160_000
BARE = "() => document.documentElement.scrollHeight"


def test_pictures(enter: Callable[..., Page], live_server: Any) -> None:
    call_command("demo", verbosity=0)
    nurse = User.objects.get(username="nurse")
    mine = Encounter.objects.filter(clinic=nurse.clinic)
    seated = Order.objects.filter(clinic=nurse.clinic, encounter__isnull=False)
    running = seated.filter(encounter__taps__kind="pause").first() or seated.first()
    assert running is not None
    assert running.encounter is not None
    draft = mine.filter(state="draft", order__isnull=True).last()
    handed = mine.filter(state="with_billing").first()
    approved = mine.filter(state="approved").first()
    assert draft
    assert handed
    assert approved
    pages = {
        "home": "/encounters/", "chairs": "/chairs/", "live": f"/encounters/{running.encounter.public_id}/live/",
        "new-encounter": "/encounters/new/", "draft": f"/encounters/{draft.public_id}/",
        "recorded": f"/encounters/{handed.public_id}/", "orders": "/orders/", "new-order": "/orders/new/",
        "sheet": f"/encounters/{approved.public_id}/sheet/", "downtime-sheet": "/downtime-sheet/",
    }  # fmt: skip
    FOLDER.mkdir(parents=True, exist_ok=True)
    page = enter(nurse)
    page.clock.install(time=timezone.now())  # the tablet's clock is the server's, and runs like it
    for name, path in pages.items():
        for width, most in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": most})
            reply = page.goto(path)
            assert reply is not None
            assert reply.ok, path
            page.evaluate("() => document.activeElement.blur()")
            assert page.locator("#tablet:visible").count() == 0, f"{path}: the tablet's clock is wrong"
            height = min(page.evaluate(BARE), most)
            picture = FOLDER / f"{name}-{width}.png"
            page.screenshot(path=picture, clip={"x": 0, "y": 0, "width": width, "height": height})
            assert picture.stat().st_size < HEAVY, f"{picture.name} has {picture.stat().st_size} bytes"
