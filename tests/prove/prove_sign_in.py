"""R30-R34, R43, R59: guessing, second factors, sessions, shared tablets, strangers' addresses, emergencies."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from uuid import uuid4

import pytest
import time_machine
from allauth.account.auth_backends import AuthenticationBackend
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.contrib.auth import hashers
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from infusion import idle
from infusion.access import BILLING, NURSE
from infusion.actions.sign_in import answer_alarm, make_emergency_code, reset_second_factor, use_emergency_code
from infusion.audit import AuditEvent
from infusion.emergency import alarms_for
from infusion.models import Clinic, EmergencyCode, User
from infusion.second_factor import SET_UP
from infusion.sign_in import Accounts
from tests.prove.conftest import Prove
from tests.prove.table import share, size
from tests.web.access_table import ADMIN, PROGRAMS, PUBLIC, SUPERUSER
from tests.web.conftest import House, tried
from tests.web.routes import Route, routes
from tests.web.test_encounter_form import NEW, sent
from tests.web.test_second_factor import code_of, with_app
from tests.web.test_switch import PIN

SIGN_IN, YOU, STEP, SWITCH = "/accounts/login/", "/accounts/you/", "/accounts/you/second-factor/", "/accounts/switch/"
HOME = "/encounters/"
START = 1_773_144_000
Values = Callable[[Route], dict[str, object]]


@pytest.fixture
def shared_cache(settings: Settings, db: None) -> Iterator[None]:
    """The cache of a server, in the database, which all workers share."""
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "infusion_cache",
                    "OPTIONS": {"MAX_ENTRIES": 100_000}}
    }  # fmt: skip
    cache.clear()
    yield
    cache.clear()


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def enter(client: Client, name: str, password: str) -> Client:
    client.post(SIGN_IN, {"login": name, "password": password})
    return client


# R30 ------------------------------------------------------------------------------------------------------------------


@contextmanager
def counted_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often a password was hashed, whoever asked for it."""
    found: Counter[str] = Counter()
    hasher = type(hashers.get_hasher())
    encode = hasher.encode

    def counting(self: Any, password: str, *args: Any, **kwargs: Any) -> Any:
        found[password] += 1
        return encode(self, password, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(hasher, "encode", counting)
        yield found


def attack(accounts: list[str], attempts: int, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Wrong passwords for one account after the other from one address; by account, how many were hashed."""
    with counted_hashes(monkeypatch) as hashed:
        for number in range(attempts):
            name = accounts[number % len(accounts)]
            address = "/admin/login/" if number % 7 == 6 else SIGN_IN
            typed = name.upper() if number % 3 else f" {name}"
            Client().post(address, {"login": typed, "username": typed, "password": f"guess-of-{name}"}, follow=True)
    return Counter({name: hashed[f"guess-of-{name}"] for name in accounts})


def staff(person: Callable[..., User], clinic: Clinic, count: int) -> list[str]:
    return [person(f"person{number}", NURSE, clinic).username for number in range(count)]


@pytest.mark.proves("R30")
@pytest.mark.usefixtures("shared_cache")
def test_guessing_costs_little_and_locks_out_nobody(
    person: Callable[..., User], clinic: Clinic, nurse: User, password: str, monkeypatch: pytest.MonkeyPatch,
    settings: Settings, prove: Prove,
) -> None:  # fmt: skip
    more = size(30, 310)
    if not share():
        settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login_failed_from_address": "120/300s/ip"}
    names = staff(person, clinic, 10)
    own = enter(Client(), names[0], password)  # the person's own browser, known from an earlier day
    own.post("/accounts/logout/")
    accounts = [*names, *(f"nobody{number}" for number in range(10))]
    attempts = size(140, 1_000)
    hashed = attack(accounts, attempts, monkeypatch)
    most = max(hashed.values())
    stranger, other = enter(Client(), names[0], password), enter(Client(), "nurse", password)
    enter(own, names[0], password)
    others = {"of another account, same address": is_in(other), "of the account's own browser": is_in(own)}
    own.post("/accounts/logout/")
    # Names without end, until the address has used up all of its own.
    attack([f"made-up{number}" for number in range(more)], more, monkeypatch)
    late = enter(Client(), "nurse", password)
    enter(own, names[0], password)
    others[f"of the clinic's own browsers after {more} more names"] = is_in(own)
    refused = [key for key, ok in others.items() if not ok]
    prove(
        "R30", "1,000 attempts on 20 accounts from 1 address: at most 5 hashes an account in 5 minutes; others sign in",
        f"{attempts:,} attempts: at most {most} hashes an account; sign-ins refused: "
        f"{', '.join(refused) or 'none'}; a stranger's right password on an attacked account: "
        f"{'taken' if is_in(stranger) else 'waits'}; a new browser of an address beyond its limit: "
        f"{'taken' if is_in(late) else 'waits'}",
        most <= 5 and not refused and not is_in(stranger) and not is_in(late),
    )  # fmt: skip


@pytest.mark.usefixtures("shared_cache")
def test_without_the_limit_every_guess_would_be_hashed(
    person: Callable[..., User], clinic: Clinic, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login_failed": None}
    assert max(attack(staff(person, clinic, 2), 20, monkeypatch).values()) > 5


def effort(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, float]:
    """Hashes, queries and processor time of one wrong attempt."""
    client = Client()
    with counted_hashes(monkeypatch) as hashed, CaptureQueriesContext(connection) as queries:
        began = time.process_time()
        client.post(SIGN_IN, {"login": name, "password": "wrong"})
        spent = time.process_time() - began
    return sum(hashed.values()), len(queries), spent


def compared(rounds: int, monkeypatch: pytest.MonkeyPatch) -> tuple[set[Any], set[Any], float]:
    """What attempts on a name that is known and one that is not cost, and how far their medians are apart."""
    effort("nurse", monkeypatch)
    both = [(effort("nurse", monkeypatch), effort("nobody", monkeypatch)) for _ in range(rounds)]
    known, unknown = ([each[side] for each in both] for side in (0, 1))
    medians = [statistics.median(each[2] for each in side) for side in (known, unknown)]
    return {each[:2] for each in known}, {each[:2] for each in unknown}, abs(medians[0] / medians[1] - 1)


@pytest.mark.proves("R30")
def test_an_unknown_name_takes_as_long(
    nurse: User, settings: Settings, monkeypatch: pytest.MonkeyPatch, prove: Prove
) -> None:
    if share():
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
        nurse.set_password("infusion-test")
        nurse.save()
    known, unknown, apart = compared(size(2, 25), monkeypatch)
    pages = {Client().post(SIGN_IN, {"login": name, "password": "wrong"}).content.count(b"do not belong together")
             for name in ("nurse", "nobody")}  # fmt: skip
    prove(
        "R30", "medians of a known and an unknown name within 10%, the same answer",
        f"{sorted(known)} hashes and queries for a known name, {sorted(unknown)} for another; "
        + (f"medians {apart:.1%} apart" if share() else "not timed in the quick form"),
        known == unknown and len(pages) == 1 and (not share() or apart <= 0.10),
    )  # fmt: skip


def test_a_name_that_is_answered_at_once_would_be_seen(nurse: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AuthenticationBackend, "_mitigate_timing_attack", lambda *_: None)
    known, unknown, _ = compared(1, monkeypatch)
    assert known != unknown


# R31 ------------------------------------------------------------------------------------------------------------------


def reached(client: Client, values: Values) -> list[str]:
    """Routes behind the sign-in that answer with anything but the way to the pages for a second factor."""
    found = []
    for route in routes():
        if route.name in PUBLIC | SET_UP | {"admin:login", "mfa_authenticate", "mfa_login_webauthn"}:
            continue
        for method in ("GET", "POST"):
            reply = tried(client, method, route.address(values(route)))
            leads_to = reply.headers.get("Location", "").partition("?")[0]
            if route.name in PROGRAMS and reply.status_code in (401, 405):
                continue  # no sign-in opens it, half or whole
            if reply.status_code != 302 or leads_to not in (YOU, SIGN_IN, STEP, "/admin/login/"):
                found.append(f"{method} {route.name} {reply.status_code}")
    return found


def by_password(house: House, role: str, password: str) -> Client:
    person = house.people[role]
    person.set_password(password)
    person.save()
    return enter(Client(), person.username, password)


@pytest.mark.proves("R31")
def test_a_password_alone_opens_nothing(
    house: House, values: Values, password: str, settings: Settings, prove: Prove
) -> None:
    settings.SECOND_FACTOR_NEEDED = True
    found, walked = [], 0
    for role in (BILLING, ADMIN, SUPERUSER) if share() else (ADMIN,):
        only = by_password(house, role, password)
        assert is_in(only)
        found += reached(only, values)
        with_app(house.people[role])
        half = enter(Client(), house.people[role].username, password)
        assert not is_in(half), "the step before the code"
        found += reached(half, values)
        walked += 1
    count = len([route for route in routes() if route.name not in PUBLIC])
    prove(
        "R31", "0 routes reached with a password alone",
        f"{len(found)} of {count} routes reached, by {walked} roles without and half way through their second factor"
        + "".join(f"; {each}" for each in found[:4]),
        not found,
    )  # fmt: skip


def test_without_the_guard_a_password_would_open_much(house: House, values: Values, password: str) -> None:
    assert len(reached(by_password(house, ADMIN, password), values)) > 50


@pytest.mark.proves("R31")
@pytest.mark.usefixtures("shared_cache")
def test_codes_count_once(biller: User, password: str, prove: Prove) -> None:
    secret, rounds, twice = with_app(biller), size(3, 100), []
    with time_machine.travel(START, tick=False) as clock:
        for number in range(rounds):
            clock.move_to(START + 600 * number)
            code = code_of(secret, number % 3 - 1)
            opened = [is_in(step(biller, password, code)) for _ in range(2)]
            clock.shift(40)
            opened.append(is_in(step(biller, password, code)))
            twice += [] if opened == [True, False, False] else [f"app {opened}"]
            if number % 10 == 0:
                Authenticator.objects.filter(type="recovery_codes").delete()
            code = RecoveryCodes.activate(biller).get_unused_codes()[0]
            opened = [is_in(step(biller, password, code)) for _ in range(2)]
            twice += [] if opened == [True, False] else [f"recovery {opened}"]
    prove(
        "R31", "0 codes taken twice", f"{len(twice)} of {2 * rounds} codes{''.join(f'; {e}' for e in twice[:3])}",
        not twice,
    )  # fmt: skip


def step(person: User, password: str, code: str) -> Client:
    client = enter(Client(), person.username, password)
    client.post(STEP, {"code": code})
    return client


def test_a_cache_that_forgets_would_take_a_code_twice(biller: User, password: str) -> None:
    """The test's own cache remembers nothing."""
    code = code_of(with_app(biller))
    assert all(is_in(step(biller, password, code)) for _ in range(2))


# R32 ------------------------------------------------------------------------------------------------------------------


def ends_of_a_session(admin: User, other_clinic: Clinic) -> dict[str, Callable[[Client, User], Any]]:
    """What has to end a sign-in of a nurse, by the sign-in itself or from elsewhere."""
    people, new = User.objects, {"password1": "four plain words here", "password2": "four plain words here"}

    def changed(person: User, **values: Any) -> None:
        people.filter(pk=person.pk).update(**values)

    def off_and_on(client: Client, person: User) -> None:
        changed(person, is_active=False)
        client.get(HOME)
        changed(person, is_active=True)

    def own_password(client: Client, person: User) -> None:
        client.post("/accounts/password/change/", {"oldpassword": "infusion-test", **new})

    def from_elsewhere(client: Client, person: User) -> None:
        own_password(enter(Client(), person.username, "infusion-test"), person)

    def reset(client: Client, person: User) -> None:
        with_app(person)
        reset_second_factor(by=admin, person=person, reason="Lost")

    def set_up(client: Client, person: User) -> None:
        page = client.get(YOU + "app/").content.decode()
        secret = page.partition('class="secret">')[2].partition("<")[0]
        client.post(YOU + "app/", {"code": code_of(secret)})

    return {
        "signing out": lambda client, person: client.post("/accounts/logout/"),
        "switching": lambda client, person: client.post(SWITCH),
        "an own new password": own_password,
        "a new password from elsewhere": from_elsewhere,
        "being switched off": lambda client, person: changed(person, is_active=False),
        "being switched off and on": off_and_on,
        "a role more": lambda client, person: person.groups.add(Group.objects.get_or_create(name=BILLING)[0]),
        "a role less": lambda client, person: person.groups.clear(),
        "another clinic": lambda client, person: changed(person, clinic=other_clinic),
        "becoming a superuser": lambda client, person: changed(person, is_superuser=True),
        "a reset second factor": reset,
        "a new second factor": set_up,
    }


def old_cookies_accepted(person: User, admin: User, other_clinic: Clinic) -> list[str]:
    before, accepted = {"is_active": True, "clinic": person.clinic, "is_superuser": False}, []
    for name, end in ends_of_a_session(admin, other_clinic).items():
        User.objects.filter(pk=person.pk).update(**before)
        person = User.objects.get(pk=person.pk)
        person.set_password("infusion-test")
        person.save()
        person.groups.set([Group.objects.get_or_create(name=NURSE)[0]])
        Authenticator.objects.all().delete()
        client = enter(Client(), person.username, "infusion-test")
        assert client.get(HOME).status_code == 200, name
        old = client.cookies["sessionid"].value
        end(client, person)
        replay = Client()
        replay.cookies["sessionid"] = old
        if replay.get(HOME).status_code != 302 or replay.get(YOU).status_code != 302:
            accepted.append(name)
    return accepted


@pytest.mark.proves("R32")
def test_no_old_cookie_is_accepted(
    nurse: User, admin_user: User, other_clinic: Clinic, password: str, prove: Prove
) -> None:
    fixed = Client()
    fixed.get(SIGN_IN)
    fixed.session["mark"] = 1
    fixed.session.save()
    fixed.cookies["sessionid"] = "chosenbyastrangerchosenbyastrang"
    enter(fixed, "nurse", password)
    kept = fixed.cookies["sessionid"].value == "chosenbyastrangerchosenbyastrang"
    accepted = old_cookies_accepted(nurse, admin_user, other_clinic)
    number = len(ends_of_a_session(admin_user, other_clinic))
    prove(
        "R32", "0 old cookies accepted; a new id at sign-in, second factor and change of role",
        f"{len(accepted)} of {number} old cookies accepted{': ' if accepted else ''}{', '.join(accepted)}; "
        f"a cookie set before signing in is {'kept' if kept else 'replaced'}",
        not accepted and not kept,
    )  # fmt: skip


def test_a_session_that_knows_the_password_alone_would_be_seen(
    nurse: User, admin_user: User, other_clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(User, "_get_session_auth_hash", AbstractBaseUser._get_session_auth_hash)
    accepted = old_cookies_accepted(nurse, admin_user, other_clinic)
    assert {"a role more", "a role less", "a reset second factor"} <= set(accepted)


# R33 ------------------------------------------------------------------------------------------------------------------

ENDS_AFTER = {"nurse": 600, "billing": 900, "admin": 900}
LONGEST = 12 * 3600
FUZZ = ("skip_timeout_reset", "keepalive", "idle", "X-Idle", "touch", "sign_in_began", "sign_in_touched", "timeout",
        "session_expiry", "next", "_method", "remember", "keep", "extend")  # fmt: skip


def lasts(person: User, clock: Any, dice: random.Random) -> int:
    """Seconds of a sign-in under requests that a timer sends every ten seconds, with whatever in them."""
    clock.move_to(START)
    client, seconds = Client(), 0
    client.force_login(person)
    while seconds <= 2 * ENDS_AFTER[person.username]:
        name, value = dice.choice(FUZZ), dice.choice(("1", "0", "true", "9999999999", "-1", ""))
        headers = {"X-Idle": "1", f"X-{dice.choice(FUZZ).replace('_', '-').title()}-No": value}
        address = dice.choice((HOME, "/accounts/session/"))
        if client.get(address, {name: value}, headers=headers).status_code != 200:
            return seconds
        clock.shift(10)
        seconds += 10
    return seconds


def wrong_ends(people: list[User], rounds: int) -> list[str]:
    dice, found = random.Random(33), []
    with time_machine.travel(START, tick=False) as clock:
        for number in range(rounds):
            person = people[number % len(people)]
            seconds = lasts(person, clock, dice)
            if abs(seconds - ENDS_AFTER[person.username]) > 10:
                found.append(f"{person.username} {seconds} s")
    return found


def longest(person: User) -> int:
    """Seconds of a sign-in that somebody touches every five minutes."""
    with time_machine.travel(START, tick=False) as clock:
        client, seconds = Client(), 0
        client.force_login(person)
        while client.get(HOME).status_code == 200 and seconds < 2 * LONGEST:
            step = 300 if seconds < LONGEST - 300 else 10
            seconds += step
            clock.shift(step)
    return seconds


@pytest.mark.proves("R33")
def test_a_sign_in_ends_when_nobody_is_there(nurse: User, biller: User, admin_user: User, prove: Prove) -> None:
    rounds = size(1, 60)
    found = wrong_ends([nurse, biller, admin_user], rounds)
    hours = longest(nurse) if share() else LONGEST
    prove(
        "R33", "ends at the limit ± 10 s in 100%, polled every 10 s with any parameters; after 12 h in any case",
        f"{rounds - len(found)} of {rounds} sign-ins{''.join(f'; {each}' for each in found[:3])}"
        + (f"; with a touch every 5 minutes after {hours / 3600:.2f} h" if share() else ""),
        not found and abs(hours - LONGEST) <= 10,
    )  # fmt: skip


def test_a_timer_that_counts_as_a_touch_would_be_seen(nurse: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "is_sent_by_a_timer", lambda request: False)
    assert wrong_ends([nurse], 1)


# R34 ------------------------------------------------------------------------------------------------------------------


def shared_tablet(people: list[User], password: str, rounds: int) -> tuple[int, int]:
    """Nurses who take turns on one tablet, by PIN; how many of their records name the right person, of how many."""
    tablet, dice, meant = Client(), random.Random(34), {}
    for person in people:
        enter(tablet, person.username, password)
        tablet.post("/accounts/pin/", {"pin": PIN, "again": PIN})
        tablet.post(SWITCH)
    for _ in range(rounds):
        person = dice.choice(people)
        tablet.post(f"{SWITCH}{person.public_id}/", {"pin": PIN})
        client_id = str(uuid4())
        tablet.post(NEW, sent(client_id=client_id))
        meant[client_id] = person.pk
        tablet.post(SWITCH)
    told = {event.after["client_id"]: event.by_id for event in AuditEvent.objects.filter(action="encounter.add")
            if event.after}  # fmt: skip
    return sum(told.get(client_id) == person for client_id, person in meant.items()), rounds


@pytest.mark.proves("R34")
def test_the_record_names_who_was_there(
    nurse: User, person: Callable[..., User], clinic: Clinic, password: str, medicare: Any, prove: Prove
) -> None:
    people = [nurse, *(person(f"turn{number}", NURSE, clinic) for number in range(3))]
    right, rounds = shared_tablet(people, password, size(8, 200))
    prove(
        "R34", "100% of records name the right person", f"{right} of {rounds} records, 4 nurses on a tablet",
        right == rounds,
    )  # fmt: skip


def test_a_tablet_that_stays_with_the_first_would_be_seen(
    nurse: User, person: Callable[..., User], clinic: Clinic, password: str, medicare: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("infusion.views.switch.login", lambda request, person, backend: None)
    people = [nurse, person("turn", NURSE, clinic)]
    right, rounds = shared_tablet(people, password, 4)
    assert right < rounds


def served_after(client: Client, values: Values) -> list[str]:
    found = []
    for route in routes():
        if route.name not in PUBLIC and route.name != "admin:login":
            reply = tried(client, "GET", route.address(values(route)))
            if route.name in PROGRAMS and reply.status_code in (401, 405):
                continue  # no sign-in opens it
            if reply.headers.get("Location", "").partition("?")[0] not in (SIGN_IN, "/admin/login/", "/admin/"):
                found.append(f"{route.name} {reply.status_code}")
    return found


@pytest.mark.proves("R34")
def test_who_has_left_is_served_nothing(house: House, values: Values, prove: Prove) -> None:
    found, asked = [], 0
    for role in (NURSE, BILLING, ADMIN, SUPERUSER) if share() else (SUPERUSER,):
        client = Client()
        client.force_login(house.people[role])
        User.objects.filter(pk=house.people[role].pk).update(is_active=False)
        found += served_after(client, values)
        asked += len([route for route in routes() if route.name not in PUBLIC])
    prove(
        "R34", "0 requests served after someone is switched off", f"{len(found)} of {asked} requests served",
        not found,
    )  # fmt: skip


def test_a_person_who_is_still_there_would_be_served(house: House, values: Values) -> None:
    client = Client()
    client.force_login(house.people[ADMIN])
    assert len(served_after(client, values)) > 50


# R43 ------------------------------------------------------------------------------------------------------------------

EVIL = "elsewhere.example"
FORMS = (
    "https://{}", "http://{}", "//{}", "///{}", "////{}", "https:/{}", "https:{}", "/\\{}", "\\\\{}", "\\/{}",
    "/\t/{}", "/\n/{}", "/%09/{}", "//{}/%2e%2e", "https://{}%00", "https://testserver@{}", "https://testserver:80@{}",
    "//testserver@{}", "https://{}#testserver", "https://{}?testserver", "https://testserver.{}", "javascript://{}",
    "data:text/html,{}", "ftp://{}", " https://{}", "\thttps://{}", "\x00https://{}", "https://{}\\.testserver",
    "//{}\\@testserver", "https:\\\\{}", "HTTPS://{}", "hTTp://{}/", "////\\{}", "/.//{}", "/..//{}", "/;@{}",
    "//%5c{}", "https://xn--{}", "http:///{}", "https://[::1]@{}", "//{}:80", "https://{}:443/", "\u2028//{}",
    "／／{}", "//{}。",
    "https://testserver\\@{}", "https://testserver%2f@{}", "//google.com%2f@{}", "/%2f/{}",
    "https://{}/accounts/login/",
)  # fmt: skip
PAYLOADS = [form.format(host) for form in FORMS for host in (EVIL, f"www.{EVIL}")]


def leaves(location: str) -> bool:
    """Whether a browser that follows this leaves the site; it reads a backslash as a slash and drops control signs."""
    text = "".join(each for each in location if each > " ").replace("\\", "/")
    parts = urlsplit(text)
    return bool(parts.scheme) or bool(parts.netloc and parts.netloc != "testserver") or text.startswith("//")


def ways_out(person: User, password: str, payload: str) -> Iterator[tuple[str, Any]]:
    """Every place that takes an address to go on to."""
    typed = {"login": person.username, "password": password}
    yield "sign in", Client().post(SIGN_IN, {**typed, "next": payload})
    yield "sign in, in the address", Client().post(f"{SIGN_IN}?next={quote(payload)}", typed)
    yield "admin", Client().get("/admin/login/", {"next": payload})
    known = enter(Client(), person.username, password)
    yield "already in", known.get(SIGN_IN, {"next": payload})
    yield "again", known.post("/accounts/again/", {"password": password, "next": payload})
    yield "second step", known.get(STEP, {"next": payload})
    yield "switch", known.get(SWITCH, {"next": payload})
    yield "switch with a stranger's page", known.post(SWITCH, headers={"Referer": ascii(payload).strip("'")})
    yield "sign out", enter(Client(), person.username, password).post("/accounts/logout/", {"next": payload})
    yield "ended", Client().post("/encounters/kept/", headers={"Referer": ascii(payload).strip("'")})


def off_site(person: User, password: str, payloads: list[str]) -> list[str]:
    found = []
    for payload in payloads:
        for way, reply in ways_out(person, password, payload):
            location = reply.headers.get("Location", "")
            asked = parse_qs(location.partition("?")[2]).get("next", [""])[0]
            # The admin hands any next page on to the sign-in page, which decides.
            then = is_followed_off_site(person, password, location) if way == "admin" else leaves(asked)
            if leaves(location) or then:
                found.append(f"{way}: {payload!a} -> {location!a}")
    return found


def is_followed_off_site(person: User, password: str, location: str) -> bool:
    reply = Client().post(location, {"login": person.username, "password": password})
    return leaves(reply.headers.get("Location", ""))


def poisoned(payloads: list[str]) -> list[str]:
    """Replies that take a stranger's host, or write it into the page."""
    found = []
    for host in payloads:
        for headers in ({"HTTP_HOST": host}, {"HTTP_X_FORWARDED_HOST": host}, {"HTTP_FORWARDED": f"host={host}"}):
            reply = Client().get(SIGN_IN, **headers)
            taken = "HTTP_HOST" in headers and reply.status_code != 400
            if taken or EVIL.encode() in reply.content or EVIL in reply.headers.get("Location", ""):
                found.append(f"{headers}: {reply.status_code}")
    return found


BEFORE = ("", "www.", "testserver@", "testserver.", "x:y@", "[::1].", "a b")
AFTER = ("", ":80", ":443", ".", "/", "#", ":x", "\\", ",testserver", "%00", "?a", ":99999", "..", "@testserver",
         " testserver")  # fmt: skip
HOSTS = [f"{before}{EVIL}{after}" for before in BEFORE for after in AFTER][:100]


@pytest.mark.proves("R43")
def test_neither_next_nor_host_is_trusted(nurse: User, password: str, prove: Prove) -> None:
    payloads = PAYLOADS if share() else PAYLOADS[::8]
    hosts = HOSTS if share() else HOSTS[::8]
    found, taken = off_site(nurse, password, payloads), poisoned(hosts)
    prove(
        "R43", "100 payloads: 0 redirects off the site, 0 poisoned links",
        f"{len(payloads)} addresses at 10 places: {len(found)} off the site; {len(hosts)} host names in 3 headers: "
        f"{len(taken)} taken{''.join(f'; {each}' for each in (found + taken)[:3])}",
        not found and not taken and len(PAYLOADS) == len(HOSTS) == 100,
    )  # fmt: skip


def test_an_address_that_is_taken_as_it_comes_would_be_seen(
    nurse: User, password: str, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(Accounts, "is_safe_url", lambda self, url: True)
    assert off_site(nurse, password, [f"https://{EVIL}"])
    settings.ALLOWED_HOSTS = ["*"]
    assert poisoned([EVIL])


# R59 ------------------------------------------------------------------------------------------------------------------


def silent_uses(admins: list[User], rounds: int) -> list[str]:
    """Emergency sign-ins that raised no alarm, or one that somebody does not see."""
    found, dice = [], random.Random(59)
    for number in range(rounds):
        person, *others = dice.sample(admins, len(admins))
        code, _ = make_emergency_code(person=person, reason=f"Round {number}", lasts=timedelta(hours=1))
        use_emergency_code(username=person.username, code=code, password=f"four plain words {number}")
        told = AuditEvent.objects.filter(action="break_glass.use", subject_id=str(person.pk), reason=f"Round {number}")
        if told.count() != 1:
            found.append(f"round {number}: no row")
        if not all(alarms_for(User.objects.get(pk=each.pk)).count() == 1 for each in admins):
            found.append(f"round {number}: not seen")
        for alarm in EmergencyCode.objects.filter(used_at__isnull=False, answered_at=None):
            answer_alarm(by=others[0], code=alarm, reason="Known")
    return found


@pytest.mark.proves("R59")
def test_an_emergency_sign_in_is_an_alarm(admin_user: User, admin2: User, prove: Prove) -> None:
    root = User.objects.create_superuser("root", password="a-long-password-of-mine")
    rounds = size(4, 100)
    found = silent_uses([admin_user, admin2, root], rounds)
    prove(
        "R59", "an alarm in 100% of emergency sign-ins, seen by every admin until one answers",
        f"{rounds - len(found)} of {rounds}{''.join(f'; {each}' for each in found[:3])}", not found,
    )  # fmt: skip


def test_a_use_that_tells_nobody_would_be_seen(admin_user: User, admin2: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infusion.actions.sign_in.tell", lambda *_, **__: None)
    assert silent_uses([admin_user, admin2], 1)
