"""R15, R35-R37, R40, R41 in a real browser: what is typed is never run, and nothing of a patient stays behind."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models, transaction
from django.test import Client
from django.urls import reverse
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import base_url as base_url
from tests.browser.conftest import browser_context_args as browser_context_args
from tests.browser.conftest import browser_problems as browser_problems
from tests.browser.conftest import browser_type_launch_args as browser_type_launch_args
from tests.browser.conftest import new_context as new_context
from tests.prove.conftest import Prove
from tests.prove.table import size
from tests.web.access_table import ADMIN, BILLING, NURSE, SUPERUSER, TABLE, VISITOR
from tests.web.conftest import House
from tests.web.routes import Route, routes

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ROOT = Path(__file__).resolve().parents[2]
Values = Callable[[Route], dict[str, object]]
Enter = Callable[[str], Page]
# What happened in a page that should not: kept in the page's own window and read out before it is left.
WATCH = """
window.caught = [];
document.addEventListener('securitypolicyviolation', (event) =>
  window.caught.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
for (const name of ['alert', 'confirm', 'prompt', 'print']) window[name] = () => window.caught.push(`dialog ${name}`);
"""
# An element that was made of something typed has this in a name, an attribute or an address; text may have it.
MADE = """() => [...document.querySelectorAll('*')].filter((each) =>
  /zzq/i.test(each.localName) || [...each.attributes].some((one) =>
    /zzq/i.test(one.name) || (/^(on|hx-|data-hx-|src$|style$)/i.test(one.name) && /zzq/i.test(one.value)) ||
    (/^(href|action|formaction)$/i.test(one.name) && /^\\s*(javascript|data):/i.test(one.value)))
).map((each) => each.outerHTML.slice(0, 160))"""


@pytest.fixture
def enter(new_context: Callable[..., BrowserContext], house: House, live_server: Any) -> Enter:
    """A page of someone who has signed in, which keeps what it should not have done."""

    def of(role: str) -> Page:
        context = new_context()
        if role != VISITOR:
            client = Client()
            client.force_login(house.people[role])
            cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}
            context.add_cookies([cookie])
        context.add_init_script(WATCH)
        page = context.new_page()
        page.on("dialog", lambda dialog: dialog.dismiss())
        return page

    return of


def pages_of(role: str, values: Values) -> Iterator[tuple[str, str]]:
    """Every page that a role may look at, by its route."""
    for route in routes():
        public = role == VISITOR and route.name not in ("account_signup", "api:description")
        if role in TABLE[route.name].get("GET", ()) and (public or not route.name.startswith("account_log")):
            yield route.name, route.address({"code": "J2350", **values(route)})


# R36 ------------------------------------------------------------------------------------------------------------------

PAYLOADS = r"""
<script>zzq()</script>
<img src=zzq onerror=alert(1)>
"><img src=/zzq onerror=alert(1)>
<svg/onload=zzq()>
'><script src=/zzq.js></script>
<div hx-get=/zzq hx-trigger=load>
" hx-get="/zzq" hx-trigger="load
<b hx-on::load=zzq()>
<a href=javascript:zzq()>x</a>
<iframe src=/zzq>
<style>@import '/zzq'</style>
<zzq-element>
<meta http-equiv=refresh content='0;url=/zzq'>
<base href=//zzq.example>
<link rel=stylesheet href=/zzq>
</textarea><img src=/zzq>
</title><img src=/zzq>
</script><img src=/zzq>
<!--><img src=/zzq>-->
<form action=/zzq>
<input autofocus onfocus=zzq()>
<details open ontoggle=zzq()>
<video><source onerror=zzq()>
<math><mi//xlink:href=/zzq>
{{ zzq }}
{% zzq %}
${zzq}
<div data-hx-get=/zzq data-hx-trigger=load>
&lt;img src=/zzq&gt;
\u003cimg src=/zzq\u003e
<img/src='/zzq'/onerror=alert(1)>
<IMG SRC=/ZZQ>
<object data=/zzq>
<embed src=/zzq>
<button formaction=/zzq>x
' autofocus onfocus='zzq()
` onmouseover=zzq() `
<img src=x style=background:url(/zzq)>
<img src=/zzq>
＜img src=/zzq＞
""".strip().splitlines()
WRAPS = ["{}", "{}<i>", "x{}", "\n{}", '"{}', "'{}"]
EVERY = [wrap.format(payload) for wrap in WRAPS for payload in PAYLOADS][:200]

# Columns of codes, names of our own, digests and frozen documents: what people write stands in all the others.
CODED = {
    "Clinic": {"state_code", "time_zone", "place_of_service", "drug", "taxonomy"},
    "User": {"password", "email"},
    "Patient": {"state_code"}, "Provider": {"taxonomy"}, "Coverage": {"state_code"},
    "Encounter": {"place_of_service"}, "Administration": {"drug"}, "Order": {"drug"}, "Authorization": {"drug"},
    "Approval": {"input", "policy", "reference_version", "statement", "content_hash"},
    "BatchClaim": {"content", "content_hash"}, "BatchLine": {"code", "modifiers"}, "BatchFile": {"format", "checksum"},
    "Skip": {"finding"}, "SavedView": {"query"}, "Judgement": {"rules", "content_hash"},
    "Selection": {"query"}, "Selected": {"content_hash"}, "DrugRow": {"code"}, "FeeSchedule": {"checksum"},
    "Fee": {"code"}, "EditTable": {"checksum"}, "UnlikelyUnits": {"code"}, "CodePair": {"first", "second"},
    "Payer": {"slug"}, "PolicyOverride": {"parameter", "drug"},
    "AuditEvent": {"action", "subject", "subject_id", "previous_hash", "hash"}, "AuditHead": {"hash"},
}  # fmt: skip


def written_columns() -> list[tuple[type[models.Model], str]]:
    """The columns of text that someone may have written."""
    return [
        (model, column.name)
        for model in apps.get_models()
        if model._meta.app_label in ("infusion", "payers")
        for column in model._meta.fields
        if isinstance(column, models.CharField | models.TextField)
        and not column.choices
        and column.name not in CODED.get(model.__name__, ())
    ]


def poisoned(dice: random.Random) -> int:
    """Puts a payload into every written column of every row that the database lets be changed. How many columns."""
    done = 0
    for model, name in written_columns():
        keys = list(model._default_manager.values_list("pk", flat=True)[:20])
        try:
            with transaction.atomic():
                for key in keys:
                    payload = dice.choice(EVERY) + ("" if name not in ("username", "reference") else str(key))
                    model._default_manager.filter(pk=key).update(**{name: payload})
        except DatabaseError:
            continue  # what is in the audit, an approval or a rule is there for good
        done += bool(keys)
    return done


def caught(page: Page, asked: list[str]) -> list[str]:
    found = [*page.evaluate("window.caught"), *(f"made {each}" for each in page.evaluate(MADE))]
    return [*found, *(each for each in asked if "zzq" in each.lower())]


def looked_at(page: Page, role: str, values: Values) -> tuple[int, list[str]]:
    """Open every page of a role. How many, and what was run or asked for that should not be."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    count, wrong = 0, []
    for name, address in list(pages_of(role, values))[:: 1 if size(0, 1) else 5]:
        asked.clear()
        reply = page.request.get(address)
        if reply.status >= 500:
            wrong.append(f"{name}: {reply.status}")
        if not reply.ok or not reply.headers.get("content-type", "").startswith("text/html"):
            continue
        page.goto(address)
        page.wait_for_load_state("load")
        count += 1
        wrong += [f"{name}: {each}" for each in caught(page, asked)]
    return count, wrong


@pytest.mark.proves("R36")
@pytest.mark.proves("R35")
def test_nothing_typed_is_run(enter: Enter, values: Values, browser_problems: list[str], prove: Prove) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("puts texts into columns that are shorter")
    dice, rounds, count, wrong, columns = random.Random(36), size(1, 8), 0, list[str](), 0
    roles = (NURSE, BILLING, ADMIN, SUPERUSER) if size(0, 1) else (BILLING,)
    people = {role: enter(role) for role in roles}
    for _ in range(rounds):
        columns = poisoned(dice)
        for role, page in people.items():
            number, found = looked_at(page, role, values)
            count, wrong = count + number, wrong + found
    policy = [each for each in browser_problems if "Content Security Policy" in each]
    wrong += [each for each in browser_problems if "zzq" in each.lower()]
    browser_problems.clear()
    prove(
        "R36", "200 payloads in every text column: 0 dialogs, 0 unexpected requests, 0 new elements on any page",
        f"{len(wrong)} on {count:,} pages, {len(EVERY)} payloads in {columns} columns"
        + "".join(f"; {each}" for each in wrong[:3]),
        not wrong and columns > 40,
    )  # fmt: skip
    prove("R35", "0 violations on any page", f"{len(policy)} violations on {count:,} pages", not policy)


def test_a_text_that_is_not_escaped_would_be_seen(
    enter: Enter, house: House, browser_problems: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type(house.draft.patient).objects.update(name="<img src=/zzq onerror=alert(1)>")
    monkeypatch.setattr("django.template.base.conditional_escape", str)
    page, asked = enter(BILLING), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(reverse("encounters"), wait_until="networkidle")
    found = caught(page, asked)
    assert any(each.startswith("made <img") for each in found)
    assert any(each.endswith("/zzq") for each in found)
    assert any("Content Security Policy" in each for each in browser_problems), "the policy keeps it from running"
    browser_problems.clear()


def test_a_dialog_would_be_seen(enter: Enter) -> None:
    page = enter(VISITOR)
    page.goto("/")
    page.evaluate("alert(1)")
    assert caught(page, []) == ["dialog alert"]


MARKED = re.compile(r"\|\s*safe\b|\|\s*safeseq\b|autoescape\s+off|mark_safe|format_html|SafeString|html_safe|__html__")
# A part of a page that a template has rendered, and so escaped, is handed on as it is.
REVIEWED = {"infusion/templatetags/encounter_form.py: SafeString"}


def unescaped(files: list[Path]) -> set[str]:
    return {
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in files
        for found in MARKED.finditer(path.read_text(encoding="utf-8"))
    }


@pytest.mark.proves("R36")
def test_nothing_says_that_it_needs_no_escaping(prove: Prove, tmp_path: Path) -> None:
    files = [path for room in ("infusion", "payers", "templates") for path in (ROOT / room).rglob("*.*")]
    files = [path for path in files if path.suffix in (".py", ".html")]
    found = unescaped(files)
    prove(
        "R36", "what is marked safe is a reviewed list",
        f"{len(found)} places marked safe in {len(files)} files, {len(found - REVIEWED)} not reviewed",
        found == REVIEWED,
    )  # fmt: skip
    assert MARKED.search("{{ name|safe }}")
    assert MARKED.search("mark_safe(name)")


# R37 ------------------------------------------------------------------------------------------------------------------

HTMX = {
    "allowEval": False, "selfRequestsOnly": True, "historyCacheSize": 0, "allowScriptTags": False,
    "includeIndicatorStyles": False,
}  # fmt: skip
RISKY = re.compile(r"hx-on|[\"']\s*js:|[\"']\s*javascript:|hx-ext|hx-disable-elt=.javascript|hx-vars", re.I)


def htmx_problems(page: Page) -> list[str]:
    """How the htmx of a page is not what the templates say of it."""
    config = page.evaluate("window.htmx && htmx.config")
    if config is None:
        return ["no htmx"]
    version = page.evaluate("htmx.version")
    wrong = [f"{name} is {config[name]}" for name, value in HTMX.items() if config[name] != value]
    answers = {each["code"]: each["swap"] for each in config["responseHandling"]}
    if answers.get("[45]..") is not False or answers.get("422") is not True:
        wrong.append(f"answers {answers}")
    return wrong + ([] if version == shipped_htmx() else [f"version {version}"])


def shipped_htmx() -> str:
    """The version that the locked package brings."""
    import django_htmx

    [file] = (Path(django_htmx.__file__).parent / "static/django_htmx").glob("htmx-2.min.js")
    [version] = re.findall(r'version:"([0-9.]+)"', file.read_text(encoding="utf-8"))
    return str(version)


@pytest.mark.proves("R37")
def test_htmx_is_set_up_for_what_it_is(enter: Enter, values: Values, prove: Prove) -> None:
    wrong, count = [], 0
    for role in (VISITOR, NURSE, BILLING, ADMIN) if size(0, 1) else (NURSE,):
        page = enter(role)
        for name, address in list(pages_of(role, values))[:: 1 if size(0, 1) else 9]:
            reply = page.request.get(address)
            if reply.ok and b"htmx-2.min.js" in reply.body():
                page.goto(address)
                count += 1
                wrong += [f"{name} as {role}: {each}" for each in htmx_problems(page)]
    templates = [*(ROOT / "templates").rglob("*.html"), *(ROOT / "static").rglob("*.js")]
    risky = [str(path.relative_to(ROOT)) for path in templates if RISKY.search(path.read_text(encoding="utf-8"))]
    prove(
        "R37", "all flags as listed on every page, the version of the locked package, 0 hx-on, 0 js:",
        f"htmx {shipped_htmx()} on {count} pages, {len(wrong)} flags otherwise, {len(risky)} of {len(templates)} files "
        "with hx-on, js: or an extension" + "".join(f"; {each}" for each in [*wrong, *risky][:3]),
        not wrong and not risky and count > 0,
    )  # fmt: skip


def test_an_htmx_that_runs_what_it_is_sent_would_be_seen(enter: Enter) -> None:
    page = enter(VISITOR)
    page.goto("/")
    assert htmx_problems(page) == []
    page.evaluate("htmx.config.allowEval = true; htmx.version = '4.0.1'")
    assert htmx_problems(page) == ["allowEval is True", "version 4.0.1"]
    for text in ('<a hx-on:click="x">', "hx-vals='js:{a: 1}'", '<a href="javascript:x">'):
        assert RISKY.search(text)


# R40 ------------------------------------------------------------------------------------------------------------------

CANARY = "Zzcanary"
KEPT = """async () => JSON.stringify([
  Object.entries(localStorage), Object.entries(sessionStorage), document.cookie, document.title, history.state,
  window.name, await indexedDB.databases(), await caches.keys().catch(() => []),
  await navigator.serviceWorker?.getRegistrations().then((all) => all.length).catch(() => 0)])"""


@pytest.fixture
def mark() -> str:
    return CANARY


def recorded(har: Path, own: str) -> tuple[int, list[str]]:
    """Of what a browser sent and was told: how many requests, and which name a patient or go elsewhere."""
    entries = json.loads(har.read_text(encoding="utf-8"))["log"]["entries"]
    wrong = []
    for entry in entries:
        asked, told = entry["request"], entry["response"]
        if not asked["url"].startswith((own + "/", "data:", "blob:")):
            wrong.append(f"another host: {asked['url']}")
        heads = json.dumps([asked["url"], asked["headers"], asked["cookies"], told["headers"], told["cookies"],
                            told["redirectURL"]])  # fmt: skip
        if CANARY.lower() in heads.lower():
            wrong.append(f"{asked['method']} {asked['url']} names a patient")
    return len(entries), wrong


def walk(page: Page, role: str, values: Values, house: House) -> tuple[int, int, list[str]]:
    """Every page, a form typed into and a search. How many pages, how many that name a patient, and what was left."""
    pages, shown, left = 0, 0, []
    for name, address in pages_of(role, values):
        reply = page.request.get(address)
        if not reply.ok or not reply.headers.get("content-type", "").startswith("text/html"):
            continue
        page.goto(address)
        pages, shown = pages + 1, shown + (CANARY in page.content())
        if CANARY.lower() in page.evaluate(KEPT).lower():
            left.append(f"{name}: kept in the browser")
    if role == NURSE:
        page.goto(reverse("encounter-new"))
        page.locator("[name=patient_reference]").fill(f"{CANARY} typed")
        page.locator("[name=patient_reference]").blur()
        page.wait_for_timeout(1500)
        if CANARY.lower() in page.evaluate(KEPT).lower():
            left.append("typing: kept in the browser")
    if role == BILLING:
        page.goto(reverse("encounters"))
        page.get_by_role("search").get_by_label("Patient reference").fill(CANARY)
        page.get_by_role("search").get_by_role("button").click()
        page.wait_for_url("**search=*")
        left += [f"searching leads to {page.url}"] if CANARY.lower() in page.url.lower() else []
    return pages, shown, left


@pytest.mark.proves("R40")
def test_what_names_a_patient_stays_in_the_page(
    new_context: Callable[..., BrowserContext], house: House, values: Values, live_server: Any, tmp_path: Path,
    prove: Prove,
) -> None:  # fmt: skip
    pages = shown = asked = 0
    wrong: list[str] = []
    for role in (NURSE, BILLING, ADMIN) if size(0, 1) else (NURSE,):
        har, client = tmp_path / f"{role}.har", Client()
        context = new_context(record_har_path=har, record_har_content="omit")
        client.force_login(house.people[role])
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
        number, naming, left = walk(context.new_page(), role, values, house)
        stays = json.dumps([context.cookies(), context.storage_state()])
        context.close()
        requests, told = recorded(har, live_server.url)
        pages, shown, asked = pages + number, shown + naming, asked + requests
        wrong += [*left, *told, *(["a cookie"] if CANARY.lower() in stays.lower() else [])]
    prove(
        "R40", "0 hits in addresses, headers, cookies, titles and storage, 0 requests to another host",
        f"{len(wrong)} of {asked:,} requests and {pages} pages, {shown} of which name a patient in their body"
        + "".join(f"; {each}" for each in wrong[:3]),
        not wrong and shown >= 4,
    )  # fmt: skip


def test_a_name_in_storage_or_an_address_would_be_seen(
    new_context: Callable[..., BrowserContext], live_server: Any, tmp_path: Path
) -> None:
    context = new_context(record_har_path=tmp_path / "x.har", record_har_content="omit")
    page = context.new_page()
    page.goto(f"/?diagnosis={CANARY}")
    page.evaluate(f"sessionStorage.setItem('x', '{CANARY}')")
    assert CANARY in page.evaluate(KEPT)
    context.close()
    assert any("names a patient" in each for each in recorded(tmp_path / "x.har", live_server.url)[1])


# R41 ------------------------------------------------------------------------------------------------------------------


def after_back(page: Page, address: str) -> str:
    """What is seen by who goes back after the sign-out of someone who looked at a page."""
    page.goto(address)
    assert CANARY in page.content()
    page.get_by_role("button", name="Sign out").first.click()
    page.wait_for_load_state("load")
    assert page.context.cookies() == [] or "sessionid" not in str(page.context.cookies())
    page.go_back()
    page.wait_for_load_state("load")
    return page.content()


@pytest.mark.proves("R41")
def test_back_after_signing_out_shows_nothing(enter: Enter, house: House, prove: Prove) -> None:
    looked = [(NURSE, reverse("encounters")), (BILLING, reverse("encounters"))]
    for each in house.encounters[: 4 if size(0, 1) else 1]:
        looked += [
            (NURSE, reverse("encounter", args=[each.public_id])),
            (BILLING, reverse("review", args=[each.public_id])),
        ]
    shown = [address for role, address in looked if CANARY in after_back(enter(role), address)]
    prove(
        "R41", "Back after signing out shows nothing of a patient in Chromium",
        f"{len(shown)} of {len(looked)} pages show something" + "".join(f"; {each}" for each in shown[:3]), not shown,
    )  # fmt: skip


def test_a_page_that_the_browser_keeps_would_be_seen(
    enter: Enter, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(self: Any, request: Any) -> Any:
        reply = self.get_response(request)
        reply["Cache-Control"] = "private, max-age=600"
        return reply

    monkeypatch.setattr("infusion.sign_in.NothingStays.__call__", kept)
    for middleware in ("django.contrib.sessions.middleware", "django.middleware.csrf"):
        monkeypatch.setattr(f"{middleware}.patch_vary_headers", lambda *_: None)
    assert CANARY in after_back(enter(BILLING), reverse("encounters"))


# R15 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("R15")
def test_the_repeated_hour_is_asked_about(enter: Enter, prove: Prove) -> None:
    page = enter(VISITOR)
    page.goto("/?date=2026-11-01&d1-drug=Ocrelizumab&d1-start=0030&d1-stop=0130")
    minutes = []
    for which in ("The first 01:30 (EDT)", "The second 01:30 (EST)"):
        page.get_by_role("button", name=which).click()
        page.get_by_text(f"the {which.split()[1]} of that night").wait_for()
        found = re.search(r"([0-9]+) (?:running )?minutes", page.get_by_role("region", name="Preview").inner_text())
        minutes.append(found[1] if found else "")
        page.get_by_role("button", name="Ask again").click()
    prove("R15", "the repeated hour asks which", f"asked; {' and '.join(minutes)} minutes", minutes == ["60", "120"])
