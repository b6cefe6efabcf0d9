"""R02, R35, R38, R39, R41: stale forms, headers of every reply, no write without a token, nothing kept by a browser."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse, HttpResponseBase
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from infusion import headers
from infusion.models import User
from infusion.views import expired
from tests.prove.conftest import Prove
from tests.prove.stored import changed, stored
from tests.prove.table import size
from tests.repo.test_settings import COMPLETE
from tests.web.access_table import ADMIN, BILLING, METHODS, NURSE, PROGRAMS, ROLES, VISITOR
from tests.web.conftest import House, tried
from tests.web.page import Form, Page
from tests.web.routes import Route, routes
from tests.web.test_access import CSP, is_refused

ROOT = Path(__file__).resolve().parents[2]
Values = Callable[[Route], dict[str, object]]

# R02 ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Versioned:
    """A page whose form names what it was shown: who opens it, and two fields with what may stand in them."""

    role: str
    address: str
    mine: str
    theirs: str
    value: Callable[[random.Random], str]

    def form(self, client: Client) -> Form:
        forms = Page(client.get(self.address).content).forms.values()
        return next(form for form in forms if {self.mine, self.theirs} <= set(form.fields))


def a_name(dice: random.Random) -> str:
    return "".join(dice.choice("abcdefghijklmnop") for _ in range(8)).title()


def milligrams(dice: random.Random) -> str:
    return str(dice.randint(1, 9999))


def versioned(house: House, rows: dict[str, Any]) -> list[Versioned]:
    def page(name: str, row: Any) -> str:
        return reverse(name, args=[row.public_id])

    encounter, patient = page("encounter", house.draft), page("patient", house.draft.patient)
    return [
        Versioned(NURSE, encounter, "d1-ordered", "d1-administered", milligrams),
        Versioned(NURSE, encounter, "d1-ordered", "d1-ordered", milligrams),
        Versioned(BILLING, patient, "family_name", "city", a_name),
        Versioned(BILLING, patient, "given_name", "given_name", a_name),
        Versioned(BILLING, page("coverage", rows["coverages"]), "group_number", "group_number", a_name),
        Versioned(BILLING, page("authorization", rows["authorizations"]), "number", "number", a_name),
        Versioned(BILLING, page("provider", rows["providers"]), "given_name", "family_name", a_name),
        Versioned(ADMIN, reverse("clinic-claims"), "contact_name", "legal_name", a_name),
    ]  # fmt: skip


def lost(sent: dict[str, str], reply: HttpResponse, form: Versioned) -> list[str]:
    """The fields whose input does not stand in the form that comes back."""
    back = next((each for each in Page(reply.content).forms.values() if form.mine in each.fields), None)
    kept = back.fields if back else {}
    own = ("csrfmiddlewaretoken", "shown", "version", "client_id", "act")
    return [name for name, value in sent.items() if name not in own and kept.get(name) != value]


def stale(form: Versioned, ours: Client, colleague: Client, dice: random.Random) -> str:
    """Two people open a form, the other saves first: what is wrong with the reply to ours, if anything."""
    mine, theirs = form.form(ours).fields, form.form(colleague).fields
    own, other = form.value(dice), form.value(dice) + "0"
    mine[form.mine], theirs[form.theirs] = own, other
    if "version" in mine:
        mine["act"] = theirs["act"] = "save"
    saved = colleague.post(form.address, theirs)
    assert saved.status_code == 302, f"{form}: {saved.status_code}"
    before = stored()
    reply = ours.post(form.address, mine)
    text = reply.content.decode()
    told = [
        *([f"status {reply.status_code}"] if reply.status_code != 409 else []),
        *(["mine is not shown"] if own not in text else []),
        *(["theirs is not shown"] if other not in text else []),
        *(f"{name} is lost" for name in lost(mine, reply, form)),
        *(f"{table} is written" for table in changed(before, stored())),
    ]
    return f"{form.address} {form.mine}: {', '.join(told)}" if told else ""


@pytest.fixture
def pair(house: House, person: Callable[..., User]) -> Callable[[str], tuple[Client, Client]]:
    """Two people of a role, signed in."""

    def of(role: str) -> tuple[Client, Client]:
        colleague = User.objects.filter(username=f"other-{role}").first() or person(f"other-{role}", role, house.clinic)
        clients = Client(), Client()
        for client, who in zip(clients, (house.people[role], colleague), strict=True):
            client.force_login(who)
        return clients

    return of


@pytest.mark.proves("R02")
@pytest.mark.usefixtures("no_touch_is_written")
def test_a_stale_form_is_refused_with_both_shown(
    house: House, claim_rows: dict[str, Any], pair: Callable[[str], tuple[Client, Client]], prove: Prove
) -> None:
    dice, rounds = random.Random(2), size(1, 63)
    forms = versioned(house, claim_rows)
    wrong = [stale(form, *pair(form.role), dice) for form in forms for _ in range(rounds)]
    found = [each for each in wrong if each]
    prove(
        "R02", "500 of 500 stale forms refused with both versions shown, nothing written, 0 bytes of input lost",
        f"{len(wrong) - len(found)} of {len(wrong)}, {len(forms)} forms" + "".join(f"; {each}" for each in found[:3]),
        not found,
    )  # fmt: skip


@pytest.mark.usefixtures("no_touch_is_written")
def test_a_form_that_looks_at_no_version_would_be_seen(
    house: House, claim_rows: dict[str, Any], pair: Callable[[str], tuple[Client, Client]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    form = versioned(house, claim_rows)[2]
    monkeypatch.setattr("infusion.actions.claim_data.shown_digest", lambda row: "")
    monkeypatch.setattr("infusion.views.claim_data.shown_digest", lambda row: "")
    assert "status 302" in stale(form, *pair(form.role), random.Random(1))


# R35, R39, R41 --------------------------------------------------------------------------------------------------------

PRODUCTION = """
import json, django
from django.conf import settings
from django.core.checks import run_checks
django.setup()
names = [name for name in dir(settings) if name.startswith(("SESSION_COOKIE", "CSRF_COOKIE", "SECURE_", "X_FRAME"))]
said = [str(each) for each in run_checks(include_deployment_checks=True) if not each.is_silenced()]
print(json.dumps([said, {name: getattr(settings, name) for name in names}]))
"""
HEADERS = {
    **headers.EVERY_REPLY,
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
COOKIE = {"secure": True, "httponly": True, "samesite": "Lax", "path": "/", "domain": ""}


def production() -> tuple[list[str], dict[str, Any]]:
    """What Django's own check of a deployment says of the shipped settings, and what they say of headers and cookies.

    What the program itself checks of a machine is R53.
    """
    done = subprocess.run(
        [sys.executable, "-c", PRODUCTION], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "infusion.settings", **COMPLETE},
    )  # fmt: skip
    said, found = json.loads(done.stdout.splitlines()[-1])
    return [each for each in said if "(infusion." not in each], found


def some_routes() -> list[Route]:
    """All of them; few in the ordinary suite, where test_access.py asks every one."""
    return list(routes())[:: 1 if size(0, 1) else 7]


def every_reply(house: House, values: Values, role: str) -> Iterator[tuple[str, HttpResponseBase]]:
    """Each route and method over https, and what is answered before any route is looked at."""
    client = Client(raise_request_exception=False, headers={"X-Forwarded-Proto": "https"})
    if role != VISITOR:
        client.force_login(house.people[role])
    for route in some_routes():
        for method in METHODS:
            yield f"{method} {route.name} as {role}", tried(client, method, route.address(values(route)))
    for address in ("/nowhere/", "/static/infusion/site.css", "/static/nothing.css", "/%ff", "//"):
        yield f"GET {address} as {role}", tried(client, "GET", address)
    yield f"another host as {role}", client.get("/", headers={"Host": "elsewhere.example"})
    yield f"too large as {role}", client.post("/accounts/login/", {"login": "x" * 1_100_000})


def amiss(reply: HttpResponseBase, signed_in: bool) -> list[str]:
    """Which of the headers and the cookies of a reply are not as they should be."""
    policy = {part.strip() for part in reply.headers.get("Content-Security-Policy", "").split(";")}
    wrong = [] if policy == CSP else ["Content-Security-Policy"]
    wrong += [name for name, value in HEADERS.items() if reply.headers.get(name) != value]
    if signed_in and "no-store" not in reply.headers.get("Cache-Control", ""):
        wrong.append("Cache-Control")
    for name, cookie in reply.cookies.items():
        if cookie["max-age"] == 0:
            continue  # taken away
        if not name.startswith("__Host-") or any(cookie[key] != value for key, value in COOKIE.items()):
            wrong.append(f"the cookie {name}")
    return wrong


@pytest.fixture
def as_shipped(settings: Settings) -> list[str]:
    """The test's settings, with what production says of cookies and headers. What Django warns of."""
    warnings, said = production()
    for name, value in said.items():
        setattr(settings, name, value)
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    return warnings


@pytest.mark.proves("R35")
@pytest.mark.proves("R39")
@pytest.mark.proves("R41")
def test_every_reply_has_its_headers(house: House, values: Values, as_shipped: list[str], prove: Prove) -> None:
    asked, shown, cookies = 0, 0, set[str]()
    wrong: dict[str, list[str]] = {}
    for role in ROLES if size(0, 1) else (VISITOR, ADMIN):
        for what, reply in every_reply(house, values, role):
            asked, cookies = asked + 1, cookies | set(reply.cookies)
            is_page = role != VISITOR and not what.startswith(("GET /static", "another host"))
            shown += is_page
            for name in amiss(reply, is_page):
                wrong.setdefault(name, []).append(what)

    def told(*names: str) -> str:
        found = [each for name in names for each in wrong.get(name, [])]
        return f"{asked - len(found):,} of {asked:,} replies" + "".join(f"; {each}" for each in found[:3])

    others = [*HEADERS, *(name for name in wrong if name.startswith("the cookie"))]
    prove(
        "R35", "the strict policy on 100% of replies", told("Content-Security-Policy"),
        "Content-Security-Policy" not in wrong,
    )  # fmt: skip
    prove(
        "R39", "0 warnings of `check --deploy` on the shipped settings; headers and cookies right on 100% of replies",
        f"{len(as_shipped)} warnings{': ' if as_shipped else ''}{'; '.join(as_shipped)}; {told(*others)}; "
        f"cookies {', '.join(sorted(cookies))}",
        not as_shipped and not set(others) & set(wrong),
    )  # fmt: skip
    prove(
        "R41", "no-store on 100% of the replies to a signed-in person",
        f"{shown - len(wrong.get('Cache-Control', [])):,} of {shown:,}", "Cache-Control" not in wrong,
    )  # fmt: skip


@pytest.mark.usefixtures("as_shipped")
def test_a_missing_header_would_be_seen(
    house: House, values: Values, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if "CSPMiddleware" not in each]
    settings.SECURE_HSTS_SECONDS, settings.CSRF_COOKIE_SECURE = 60, False
    monkeypatch.delitem(headers.EVERY_REPLY, "Permissions-Policy")
    client = Client(headers={"X-Forwarded-Proto": "https"})
    assert amiss(client.get("/accounts/login/"), signed_in=True) == [
        "Content-Security-Policy", "Permissions-Policy", "Strict-Transport-Security",
        "the cookie __Host-csrftoken",
    ]  # fmt: skip


@pytest.mark.proves("R41")
@pytest.mark.parametrize("role", [NURSE, ADMIN])
def test_signing_out_clears_what_the_browser_holds(as_role: Callable[..., Client], role: str, prove: Prove) -> None:
    reply = as_role(role).post(reverse("account_logout"))
    prove("R41", "", f"signing out sends {reply['Clear-Site-Data']}", reply["Clear-Site-Data"] == '"cache", "storage"')


# R38 ------------------------------------------------------------------------------------------------------------------

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


@pytest.mark.proves("R38")
@pytest.mark.usefixtures("no_touch_is_written")
def test_nothing_is_written_without_a_token_or_by_looking(
    house: House, as_role: Callable[..., Client], values: Values, prove: Prove
) -> None:
    roles = ROLES if size(0, 1) else (NURSE, BILLING)
    clients = {role: as_role(role, enforce_csrf_checks=True, raise_request_exception=False) for role in roles}
    before, asked, looked, passed = stored(), 0, 0, list[str]()
    exempt = [each.name for each in routes() if getattr(each.view, "csrf_exempt", False) and each.name not in PROGRAMS]
    for role, client in clients.items():
        for route in some_routes():
            address = route.address(values(route))
            for method in ("GET", "HEAD"):
                looked += 1
                getattr(client, method.lower())(address, headers={"HX-Request": "true"} if looked % 2 else {})
            for method in UNSAFE:
                asked += 1
                reply = client.generic(method, address, headers={"HX-Request": "true"} if asked % 2 else {})
                if reply.status_code != 403 and not is_refused(reply, role, route):
                    passed.append(f"{method} {route.name} as {role}: {reply.status_code}")
    written = changed(before, stored())
    prove(
        "R38", "100% refused without a token, 0 rows changed by looking, 0 views exempt that a cookie opens",
        f"{asked - len(passed):,} of {asked:,} refused, {len(written)} tables changed by {looked:,} looks, "
        f"{len(exempt)} exempt" + "".join(f"; {each}" for each in [*passed[:3], *written]),
        not passed and not written and not exempt,
    )  # fmt: skip


def typed_into(form: Form, address: str, dice: random.Random) -> dict[str, str]:
    """The form's fields with something typed into each, as a browser sends it: lines end in CR and LF."""
    words = ['It\'s <b>"here"</b>', "two\r\nlines", "\r\nbegins with a line", "&amp;", "é", " blanks "]
    return {
        name: as_sent(value) if name in ("csrfmiddlewaretoken", "act") or dice.random() < 0.3 else dice.choice(words)
        for name, value in form.fields.items()
        if not expired.is_secret(name, address)
    }


def after_signing_in_elsewhere(client: Client, address: str, form: Form, dice: random.Random) -> list[str]:
    """What is lost of a form whose token has been changed meanwhile, by a sign-in in another tab."""
    address = form.action or address
    sent = {**typed_into(form, address, dice), "csrfmiddlewaretoken": "x" * 64}
    reply = client.post(address, sent, headers={"Origin": "http://testserver"})
    if reply.status_code != 403:
        return [f"{address}: {reply.status_code}"]
    again = next((each for each in Page(reply.content).forms.values() if each.method == "post"), None)
    kept = {name: as_sent(value) for name, value in again.fields.items()} if again else {}
    lost = [f"{address}: {name}" for name in sent if name != "csrfmiddlewaretoken" and kept.get(name) != sent[name]]
    if again and again.action != address:
        lost.append(f"{address}: leads to {again.action}")
    return lost


def as_sent(text: str) -> str:
    """What a browser makes of a text area: its first line break belongs to the mark-up, and each is sent as two."""
    return text.removeprefix("\n").replace("\r\n", "\n").replace("\n", "\r\n")


def forms_of(as_role: Callable[..., Client], values: Values, role: str) -> Iterator[tuple[Client, str, Form]]:
    client = as_role(role, enforce_csrf_checks=True, raise_request_exception=False)
    for route in routes():
        address = route.address(values(route))
        reply = client.get(address)
        if reply.status_code == 200 and reply.get("Content-Type", "").startswith("text/html"):
            for form in Page(reply.content).forms.values():
                if form.method == "post" and not address.startswith("/admin/"):
                    yield client, address, form


@pytest.mark.proves("R38")
def test_an_expired_token_keeps_what_was_typed(as_role: Callable[..., Client], values: Values, prove: Prove) -> None:
    dice, lost, count = random.Random(38), [], 0
    for role in (VISITOR, NURSE, BILLING, ADMIN) if size(0, 1) else (NURSE,):
        for client, address, form in forms_of(as_role, values, role):
            count += 1
            lost += after_signing_in_elsewhere(client, address, form, dice)
    prove(
        "R38", "an expired token keeps what was typed",
        f"{len(lost)} fields lost of {count} forms" + "".join(f"; {each}" for each in lost[:3]), count > 0 and not lost,
    )  # fmt: skip


def test_what_was_kept_is_saved_by_one_more_press(house: House, as_role: Callable[..., Client]) -> None:
    client, address = as_role(NURSE, enforce_csrf_checks=True), reverse("patient", args=[house.draft.patient.public_id])
    form = next(each for each in Page(client.get(address).content).forms.values() if "shown" in each.fields)
    sent = {**form.fields, "name": "Sarah <Lindquist>", "csrfmiddlewaretoken": "x" * 64}
    refused = client.post(address, sent, headers={"Origin": "http://testserver"})
    again = Page(refused.content).form_to(address)
    assert client.post(address, {name: as_sent(value) for name, value in again.fields.items()}).status_code == 302
    house.draft.patient.refresh_from_db()
    assert house.draft.patient.name == "Sarah <Lindquist>"


@pytest.mark.parametrize("headers_sent", [{}, {"Origin": "https://elsewhere.example"}, {"Origin": "null"}])
def test_nothing_of_another_sites_form_is_kept(as_role: Callable[..., Client], headers_sent: dict[str, str]) -> None:
    client = as_role(NURSE, enforce_csrf_checks=True)
    reply = client.post(reverse("encounter-new"), {"patient_reference": "theirs"}, headers=headers_sent)
    assert reply.status_code == 403
    assert "theirs" not in reply.content.decode()


def test_a_page_that_forgets_would_be_seen(
    as_role: Callable[..., Client], values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expired, "typed", lambda request: [("act", "save")])
    forms = forms_of(as_role, values, NURSE)
    client, address, form = next(each for each in forms if "patient_reference" in each[2].fields)
    assert after_signing_in_elsewhere(client, address, form, random.Random(1))
