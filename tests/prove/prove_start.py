"""R53, R58: a server that would not be safe does not start and says what to do; nothing of a sign-in travels clear."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, override_settings
from django.urls import reverse

from infusion.checks import refuse_an_unsafe_start
from infusion.operations import unfinished
from tests.prove.conftest import Prove
from tests.prove.server import ROOT, free_port
from tests.prove.table import share
from tests.web.access_table import PUBLIC
from tests.web.routes import Route, routes

KEY = "0123456789abcdef" * 4
SHARED = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}}
OWN = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
START = "import infusion.settings as s; [setattr(s, n, v) for n, v in {changed!r}.items()]; import infusion.wsgi"

# What is wrong: the environment, a changed line of the settings, and the words that name the remedy.
Wrong = tuple[dict[str, str], dict[str, Any], str]
BY_ENVIRONMENT: dict[str, Wrong] = {
    "no key": ({"INFUSION_SECRET_KEY": ""}, {}, "openssl rand -hex 32"),
    "a short key": ({"INFUSION_SECRET_KEY": KEY[:49]}, {}, "shorter than 50 characters"),
    "a key of one letter": ({"INFUSION_SECRET_KEY": "k" * 64}, {}, "repeats a few"),
    "a key file for everyone": ({"INFUSION_SECRET_KEY_FILE": "key"}, {}, "chmod 600"),
    "a key file that is not there": ({"INFUSION_SECRET_KEY_FILE": "none"}, {}, "Correct the path"),
    "no hosts": ({"INFUSION_HOSTS": " "}, {}, "INFUSION_HOSTS is not set"),
    "any host": ({"INFUSION_HOSTS": "*"}, {}, "Write each name in full"),
    "an address as host": ({"INFUSION_HOSTS": "https://infusion.example/"}, {}, "Write each name in full"),
    "no database named": ({"DATABASE_URL": ""}, {}, "DATABASE_URL is not set"),
    "a mode that is none": ({"INFUSION_MODE": "debug"}, {}, "production, demo or test"),
}
BY_CHECK: dict[str, Wrong] = {
    "debugging": ({}, {"DEBUG": True}, "Take DEBUG = True out."),
    "any host by a setting": ({}, {"ALLOWED_HOSTS": ["*"]}, "Name each host of the site"),
    "no database there": ({"DATABASE_URL": "sqlite:///{folder}/none.sqlite3"}, {}, "manage.py migrate"),
    "a database for everyone": ({"DATABASE_URL": "sqlite:///{folder}/open.sqlite3"}, {}, "chmod 600"),
    "a database in the clear": ({"DATABASE_URL": "postgres://app@db.example/app"}, {}, "sslmode=verify-full"),
    "no shared cache": ({}, {"CACHES": OWN}, "DatabaseCache"),
    "plain http": ({}, {"SECURE_SSL_REDIRECT": False}, "Leave https on"),
    "cookies in the clear": ({}, {"SESSION_COOKIE_SECURE": False}, "Leave https on"),
    "no HSTS": ({}, {"SECURE_HSTS_SECONDS": 0}, "security.W004"),
    "no styles": ({}, {"STATIC_ROOT": "{folder}/none"}, "collectstatic"),
}


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    """The environment of a site that may start, and beside it what would keep it from that."""
    for name, mode in (("db.sqlite3", 0o600), ("open.sqlite3", 0o644), ("key", 0o644)):
        (tmp_path / name).write_text(KEY)
        (tmp_path / name).chmod(mode)
    (tmp_path / "static").mkdir()
    manifest = {"version": "1.1", "paths": {"a.css": "a.1.css"}, "hash": ""}
    (tmp_path / "static/staticfiles.json").write_text(json.dumps(manifest))
    return {
        "PATH": os.environ["PATH"], "INFUSION_SECRET_KEY": KEY, "INFUSION_HOSTS": "infusion.example",
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
    }  # fmt: skip


def in_folder(value: Any, folder: Path) -> Any:
    return value.replace("{folder}", str(folder)) if isinstance(value, str) else value


def started(site: dict[str, str], folder: Path, wrong: Wrong = ({}, {}, "")) -> subprocess.CompletedProcess[str]:
    """The program as gunicorn loads it, with one thing changed."""
    environment = {**site, **{name: in_folder(value, folder) for name, value in wrong[0].items()}}
    if file := environment.get("INFUSION_SECRET_KEY_FILE"):
        environment["INFUSION_SECRET_KEY_FILE"] = str(folder / file)
    changed = {"STATIC_ROOT": str(folder / "static"), "CACHES": SHARED}
    changed.update({name: in_folder(value, folder) for name, value in wrong[1].items()})
    return subprocess.run(
        [sys.executable, "-c", START.format(changed=changed)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.alone
@pytest.mark.proves("R53")
def test_what_would_not_be_safe_does_not_start(site: dict[str, str], tmp_path: Path, prove: Prove) -> None:
    tried = {**BY_ENVIRONMENT, **BY_CHECK} if share() else {name: BY_CHECK[name] for name in ("no styles",)}
    safe = started(site, tmp_path)
    assert safe.returncode == 0, safe.stderr
    wrong = []
    for name, each in tried.items():
        result = started(site, tmp_path, each)
        if result.returncode == 0 or each[2] not in result.stderr:
            wrong.append(f"{name}: {result.stderr[-300:]}")
    prove(
        "R53", "each of 10 wrong configurations refused with a named remedy",
        f"{len(tried) - len(wrong)} of {len(tried)} wrong configurations refused, each with its remedy; the right one "
        f"starts{'; ' + '; '.join(wrong) if wrong else ''}",
        not wrong and (not share() or len(tried) >= 10),
    )  # fmt: skip


@contextmanager
def production(folder: Path, database: dict[str, str] | None = None, **changed: Any) -> Iterator[None]:
    """The settings of a site that may start, here, with some changed."""
    database = database or {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "db.sqlite3")}
    right = {
        "PRODUCTION": True, "ALLOWED_HOSTS": ["infusion.example"], "SECRET_KEY": KEY, "CACHES": SHARED,
        "SECURE_SSL_REDIRECT": True, "SESSION_COOKIE_SECURE": True, "CSRF_COOKIE_SECURE": True,
        "SECURE_HSTS_SECONDS": 31_536_000, "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        "SILENCED_SYSTEM_CHECKS": ["security.W021"],
    }  # fmt: skip
    with override_settings(**{**right, **changed}), patch.dict(settings.DATABASES, {"default": database}):
        yield


def test_each_check_names_its_remedy(tmp_path: Path, site: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE")  # of tests alone, whose browser then keeps it from the database
    monkeypatch.setattr(unfinished, "told", str)
    with production(tmp_path):
        refuse_an_unsafe_start()
    databases = {
        "no database there": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "none.sqlite3")},
        "a database for everyone": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "open.sqlite3")},
        "a database in the clear": {"ENGINE": "django.db.backends.postgresql", "HOST": "db.example"},
    }
    for name, (_, changed, remedy) in BY_CHECK.items():
        if name == "no styles":
            continue
        with production(tmp_path, databases.get(name), **changed), pytest.raises(ImproperlyConfigured, match=remedy):
            refuse_an_unsafe_start()
    monkeypatch.setattr(staticfiles_storage._wrapped, "hashed_files", {}, raising=False)
    with production(tmp_path), pytest.raises(ImproperlyConfigured, match="collectstatic"):
        refuse_an_unsafe_start()
    with production(tmp_path, PRODUCTION=False):
        refuse_an_unsafe_start()


# R58 ------------------------------------------------------------------------------------------------------------------


def over_plain_http(client: Client, routes: list[str]) -> tuple[int, int]:
    """How many of these addresses answer with anything but a redirect to https, and how many with a cookie."""
    clear = cookies = 0
    for address in routes:
        for method in (client.get, client.post):
            reply = method(address, HTTP_HOST="infusion.example")
            to_https = reply.status_code == 301 and reply.headers["Location"].startswith("https://infusion.example/")
            clear += not to_https
            cookies += bool(reply.cookies)
    return clear, cookies


@pytest.mark.proves("R58")
@pytest.mark.django_db
def test_nothing_of_a_sign_in_travels_clear(
    values: Callable[[Route], dict[str, object]], tmp_path: Path, prove: Prove, client: Client
) -> None:
    addresses = {route.name: route.address(values(route)) for route in routes()}
    secure = dict.fromkeys(("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"), True)
    named = {"SESSION_COOKIE_NAME": "__Host-sessionid", "CSRF_COOKIE_NAME": "__Host-csrftoken"}
    with override_settings(ALLOWED_HOSTS=["infusion.example"], **secure, **named):
        clear, leaked = over_plain_http(Client(), list(addresses.values()))
        set_cookies = {}
        for name in sorted(PUBLIC):
            reply = Client().get(addresses[name], secure=True, HTTP_HOST="infusion.example")
            set_cookies.update({(name, each.key): each for each in reply.cookies.values()})
    loose = [each for each in set_cookies.values() if not (each["secure"] and each["httponly"] and each["samesite"])]
    prove(
        "R58", "http answered with 301 to https in 100%, no cookie on http",
        f"{2 * len(addresses) - clear} of {2 * len(addresses)} requests over http led to https, {leaked} cookies on "
        f"http; {len(set_cookies) - len(loose)} of {len(set_cookies)} cookies on https bound to it",
        clear == leaked == len(loose) == 0 and len(set_cookies) > 0,
    )  # fmt: skip
    with override_settings(ALLOWED_HOSTS=["infusion.example"], SECURE_SSL_REDIRECT=False):
        clear, leaked = over_plain_http(Client(), [reverse("account_login")])
    assert clear > 0
    assert leaked > 0


@pytest.mark.alone
@pytest.mark.proves("R58")
def test_the_server_as_shipped_speaks_https_alone(tmp_path: Path, prove: Prove) -> None:
    """A whole site in production: migrated, its styles collected, behind what would end https."""
    if not share():
        pytest.skip("the in-process form is above; a whole site is built under `make prove`")
    port = free_port()
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    environment = {
        "PATH": os.environ["PATH"], "INFUSION_SECRET_KEY_FILE": str(tmp_path / "key"),
        "INFUSION_HOSTS": "infusion.example", "DATABASE_URL": f"sqlite:///{tmp_path}/site.sqlite3",
        "INFUSION_BEHIND_PROXY": "true",
    }  # fmt: skip
    for command in (["migrate", "--verbosity", "0"], ["collectstatic", "--no-input", "--verbosity", "0"]):
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True, timeout=300)
    checked = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT, env=environment, check=False, timeout=300, capture_output=True, text=True,
    )  # fmt: skip
    server = subprocess.Popen(
        [str(Path(sys.executable).with_name("gunicorn")), "infusion.wsgi", "--bind", f"127.0.0.1:{port}"],
        cwd=ROOT, env=environment, stderr=(tmp_path / "log").open("w"),
    )  # fmt: skip
    try:
        plain = asked(port, "/accounts/login/", {})
        secure = asked(port, "/accounts/login/", {"X-Forwarded-Proto": "https"})
    finally:
        server.terminate()
        server.wait(30)
    cookies = [value for name, value in secure.getheaders() if name.lower() == "set-cookie"]
    bound = all("; Secure" in each and each.startswith("__Host-") for each in cookies)
    prove(
        "R58", "", f"a production server on http: {plain.status} to https, {plain.getheader('Set-Cookie')} cookie; "
        f"behind a proxy that ends https: {secure.status} with {len(cookies)} cookies bound to host and https; "
        f"check --deploy {'clean' if checked.returncode == 0 else checked.stderr}",
        plain.status == 301 and plain.getheader("Set-Cookie") is None and secure.status == 200 and bool(cookies)
        and bound and checked.returncode == 0,
    )  # fmt: skip


def asked(port: int, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        with suppress(OSError):
            way = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            way.request("GET", path, headers={"Host": "infusion.example", **headers})
            reply = way.getresponse()
            reply.read()
            return reply
        time.sleep(0.1)
    raise AssertionError("the server did not start")
