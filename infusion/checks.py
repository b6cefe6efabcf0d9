"""What keeps a server from starting: whatever would put records at risk, each with its remedy.

`manage.py check --deploy` tells the same, together with what Django and the packages look at.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.checks import WARNING, CheckMessage, Error, Tags, register, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import connection

from infusion.operations import unfinished

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
OF_ONE_PROCESS = ("DummyCache", "LocMemCache")
ENCRYPTED = ("require", "verify-ca", "verify-full")

Apps = Sequence[AppConfig] | None


def refuse_an_unsafe_start() -> None:
    """Raises ImproperlyConfigured in production, with everything that is wrong in one message."""
    if not settings.PRODUCTION:
        return
    found = run_checks(include_deployment_checks=True)
    serious = [each for each in found if each.is_serious(WARNING) and not each.is_silenced()]
    if serious:
        told = "\n".join(f"- {each.msg}{f' {each.hint}' if each.hint else ''} ({each.id})" for each in serious)
        raise ImproperlyConfigured(f"The server does not start, because it would not be safe:\n{told}")


@register(Tags.security, deploy=True)
def debugging_is_off(app_configs: Apps, **_: Any) -> list[CheckMessage]:
    """Its error pages show settings and what a patient's page held."""
    if not settings.DEBUG or all(host in LOOPBACK for host in settings.ALLOWED_HOSTS):
        return []
    return [
        Error("DEBUG is on, and the site answers to other machines.", hint="Take DEBUG = True out.", id="infusion.E001")
    ]


@register(Tags.security, deploy=True)
def hosts_are_named(app_configs: Apps, **_: Any) -> list[CheckMessage]:
    if not any(host.startswith(("*", ".")) for host in settings.ALLOWED_HOSTS):
        return []
    return [
        Error(
            "ALLOWED_HOSTS matches names that a stranger can choose.",
            hint="Name each host of the site in INFUSION_HOSTS.", id="infusion.E002",
        )
    ]  # fmt: skip


@register(Tags.security, deploy=True)
def database_is_ours_alone(app_configs: Apps, **_: Any) -> list[CheckMessage]:
    """SQLite's file is there and nobody else may read it; PostgreSQL on another machine is spoken to encrypted."""
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("postgresql"):
        return connection_is_encrypted(database)
    path = Path(database["NAME"])
    if not path.exists():
        return [Error(f"There is no database at {path}.", hint="Run: manage.py migrate", id="infusion.E003")]
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return [Error(f"Others may read {path}.", hint=f"Run: chmod 600 {path}", id="infusion.E004")]
    return []


def connection_is_encrypted(database: dict[str, Any]) -> list[CheckMessage]:
    options = database.get("OPTIONS", {})
    host = options.get("host") or database.get("HOST") or ""
    if not host or host.startswith("/") or host in LOOPBACK or options.get("sslmode") in ENCRYPTED:
        return []
    return [
        Error(
            f"What is said to the database on {host} may travel in the clear.",
            hint="Add ?sslmode=verify-full (or at least require) to DATABASE_URL.", id="infusion.E005",
        )
    ]  # fmt: skip


@register(Tags.security, deploy=True)
def attempts_are_counted_together(app_configs: Apps, **_: Any) -> list[CheckMessage]:
    """Attempts to sign in are counted in the cache: one of each process would let them all count from zero."""
    backend = settings.CACHES["default"]["BACKEND"]
    if not backend.endswith(OF_ONE_PROCESS):
        return []
    return [
        Error(
            "Attempts to sign in are not counted across processes, because each has a cache of its own.",
            hint="Use django.core.cache.backends.db.DatabaseCache in CACHES.", id="infusion.E006",
        )
    ]  # fmt: skip


@register(Tags.security, deploy=True)
def nothing_travels_in_the_clear(app_configs: Apps, **_: Any) -> list[CheckMessage]:
    """A warning of Django's that someone silenced is an error here."""
    wanted = ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE")
    off = [name for name in wanted if not getattr(settings, name)]
    if not off:
        return []
    return [
        Error(
            f"{', '.join(off)} {'is' if len(off) == 1 else 'are'} off, so that sign-ins could travel in the clear.",
            hint="Leave https on; a proxy in front of the program ends it.", id="infusion.E007",
        )
    ]  # fmt: skip


@register(Tags.staticfiles, deploy=True)
def styles_are_collected(app_configs: Apps, **_: Any) -> list[CheckMessage]:
    """Without them each page is an error."""
    if getattr(staticfiles_storage, "hashed_files", True):
        return []
    return [
        Error(
            f"Styles and scripts are not in {settings.STATIC_ROOT}.",
            hint="Run: manage.py collectstatic --no-input", id="infusion.E008",
        )
    ]  # fmt: skip


@register(Tags.security, deploy=True)
def the_database_is_safe_and_whole(app_configs: Apps, **_: Any) -> list[CheckMessage]:
    """A database that is away is told of by whoever asks for a page."""
    opened = connection.connection is not None
    try:
        sentence = unfinished.told()
    except ImproperlyConfigured as unsafe:
        sentence = str(unsafe)
    except DatabaseError:
        return []
    finally:
        if not opened and connection.connection is not None:
            connection.close()
    return [Error(sentence, id="infusion.E009")] if sentence else []
