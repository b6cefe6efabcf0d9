"""What names a patient stands in the body of a page alone: in no address, title, header, cookie, log or mail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from django.contrib import messages
from django.core import mail
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path as route_to
from django.urls import reverse

from infusion.access import NURSE as NURSES
from infusion.access import allow
from infusion.impact import forecast_part
from infusion.urls import urlpatterns
from payers.models import PolicyOverride
from tests.web.access_table import ADMIN, BILLING, NURSE, SUPERUSER, TABLE
from tests.web.conftest import House
from tests.web.page import Page, unpacked
from tests.web.routes import Route, routes

MARK = "Zzcanary"
TELLING = (MARK, MARK.lower(), MARK.upper(), "1984-06-02", "June 2, 1984", "6/2/1984", "2026-03-10")
# The calculator's own example is of the same day, and of nobody.
EXAMPLE = "/?date=2026-03-10"
PLAIN_COOKIES = ("sessionid", "csrftoken")
Values = Callable[[Route], dict[str, object]]


@pytest.fixture
def mark() -> str:
    return MARK


def tells(text: str) -> bool:
    return any(word in text for word in TELLING)


def outside(reply: HttpResponse, asked: str) -> Iterator[str]:
    """Everything of a reply that is not the body of its page."""
    yield asked
    yield from (f"{name}: {value}" for name, value in reply.headers.items())
    # What is in another cookie cannot be read here, being packed and signed, but in the browser it can.
    yield from (f"{MARK} may be in the cookie {name}" for name in reply.cookies if name not in PLAIN_COOKIES)
    if reply.headers.get("Content-Type", "").startswith("text/html"):
        page = Page(reply.content)
        yield page.title
        yield from (unpacked(each) for each in page.addresses if not each.startswith(EXAMPLE))


def leaks(client: Client, method: str, address: str, sent: dict[str, str] | None = None) -> tuple[list[str], bool]:
    """What of a reply tells of the patient where it should not, and whether its body does."""
    reply = getattr(client, method)(address, sent or {})
    assert reply.status_code < 500
    found = [f"{method} {address}: {text}" for text in outside(reply, address) if tells(text)]
    body = b"".join(reply.streaming_content) if reply.streaming else reply.content
    return found, tells(body.decode(errors="replace"))


def signed_in(house: House, role: str) -> Client:
    client = Client()
    client.force_login(house.people[role])
    return client


@pytest.mark.parametrize("role", [NURSE, BILLING, ADMIN, SUPERUSER])
def test_no_page_tells_outside_its_body(
    house: House, values: Values, role: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client, found, shown = signed_in(house, role), [], 0
    for route in routes():
        if role not in TABLE[route.name].get("GET", ()):
            continue
        encounters = house.encounters if route.path.startswith("encounters/") and route.parameters else [None]
        for encounter in encounters:
            chosen = values(route) | ({"public_id": encounter.public_id} if encounter else {})
            told, body = leaks(client, "get", route.address(chosen))
            found += told
            shown += body
    assert found == []
    assert shown >= (0 if role == SUPERUSER else 4), "the pages name the patient in their bodies"
    assert not tells(caplog.text)
    assert not tells("".join(capfd.readouterr()))
    assert mail.outbox == []


def test_what_is_counted_part_by_part_tells_nothing_on_the_way(
    house: House, rules: dict[str, PolicyOverride], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast_part, "__defaults__", (1,))
    address, admin = f"{reverse('impact', args=[rules['draft'].public_id])}?since=all", signed_in(house, ADMIN)
    for _ in range(2):
        reply = admin.get(address)
        assert [text for text in outside(reply, address) if tells(text)] == []
        address = reply.context["next"]
    assert address == "", "it is whole"


def test_no_write_tells_outside_its_page(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    nurse, biller = signed_in(house, NURSE), signed_in(house, BILLING)
    draft, waiting = house.draft.public_id, house.with_billing.public_id
    posts = [
        (nurse, "encounter", draft, "encounter", {"act": "save", "d1-ordered": "601", "d1-stop": "0800"}),
        (nurse, "encounter", draft, "encounter", {"act": "hand-over", "birth_date": "9999"}),
        (nurse, "encounter", draft, "encounter", {"act": "hand-over", "d1-ordered": "600", "d1-stop": "1130"}),
        (biller, "review", draft, "return", {"question": f"Was {MARK} there?"}),
        (biller, "review", waiting, "approve", {"version": "77"}),
        (biller, "review", waiting, "approve", {}),
    ]
    found = []
    for client, page, public_id, sent_to, chosen in posts:
        address = reverse(sent_to, args=[public_id])
        form = Page(client.get(reverse(page, args=[public_id])).content).form_to(address)
        found += leaks(client, "post", address, {**form.fields, **chosen})[0]
        found += leaks(client, "get", reverse("encounters"))[0]
    house.with_billing.refresh_from_db()
    assert house.with_billing.state == "approved", "the posts were the ones of their pages"
    assert found == []
    assert not tells(caplog.text)
    assert mail.outbox == []


@allow(NURSES)
def leaky(request: HttpRequest) -> HttpResponse:
    logging.getLogger("infusion").warning("Looked at %s", MARK)
    messages.info(request, MARK)
    page = f"<title>{MARK}</title><a href='/?patient={MARK}'>x</a>"
    return HttpResponse(page, headers={"X-Patient": MARK})


def test_a_page_that_leaks_is_seen(
    house: House, monkeypatch: pytest.MonkeyPatch, settings: object, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"  # type: ignore[attr-defined]
    urls = type("urls", (), {"urlpatterns": [route_to("leaky/", leaky), *urlpatterns]})
    settings.ROOT_URLCONF = urls  # type: ignore[attr-defined]
    found, _ = leaks(signed_in(house, NURSE), "get", f"/leaky/?name={MARK}")
    kinds = ["/leaky/?name", "X-Patient", "the cookie messages", ": Zzcanary", "/?patient"]
    assert [kind for kind in kinds if not any(kind in each for each in found)] == []
    assert tells(caplog.text)
