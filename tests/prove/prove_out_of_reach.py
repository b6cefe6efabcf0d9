"""R11: a full disk, a file that cannot be written, a database that is away: one plain page, no half row, and back by
itself. R51: what `/healthz` says meanwhile."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from infusion.models import Clinic, Encounter, User
from infusion.views import errors, health
from payers.models import Payer
from tests.prove.conftest import Prove
from tests.prove.prove_at_once import new_form
from tests.prove.server import Server, a_new_encounter, cookie_of, served
from tests.prove.stored import changed, stored
from tests.prove.table import share, size

pytestmark = pytest.mark.django_db(transaction=True)

MOST_TO_FILL = 200
"""Encounters that fit into what was left of the last pages, at most."""
PLAIN = "The records cannot be reached or written just now"
Trouble = Callable[[], AbstractContextManager[None]]


# Troubles, on the test's own connection -------------------------------------------------------------------------------


@contextmanager
def opened_with(**changed_settings: Any) -> Iterator[None]:
    """The next connections are opened so. The one that is there is closed now, and not when the trouble is over."""
    before = {name: connection.settings_dict[name] for name in changed_settings}
    connection.close()
    connection.settings_dict.update(changed_settings)
    try:
        yield
    finally:
        connection.settings_dict.update(before)


def disk_full() -> AbstractContextManager[None]:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # what earlier tests have emptied is no room
        [pages] = cursor.execute("PRAGMA page_count").fetchone()
    options = connection.settings_dict["OPTIONS"]
    limit = f"{options['init_command']};PRAGMA max_page_count={pages}"
    return opened_with(OPTIONS={**options, "init_command": limit})


def read_only() -> AbstractContextManager[None]:
    if connection.vendor == "sqlite":
        return opened_with(NAME=f"file:{connection.settings_dict['NAME']}?mode=ro")
    options = connection.settings_dict.get("OPTIONS", {})
    return opened_with(OPTIONS={**options, "options": "-c default_transaction_read_only=on"})


def away() -> AbstractContextManager[None]:
    if connection.vendor == "sqlite":
        return opened_with(NAME=f"{connection.settings_dict['NAME']}.d/none")
    return not_accepting()


@contextmanager
def not_accepting() -> Iterator[None]:
    """PostgreSQL ends every conversation about this database and begins no other."""
    database = connection.settings_dict["NAME"]
    connection.close()
    parameters = {**connection.get_connection_params(), "dbname": "postgres"}
    known = {name: parameters[name] for name in ("host", "port", "user", "password", "dbname") if name in parameters}
    with psycopg.connect(**known, autocommit=True) as aside:
        aside.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
        aside.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])
        try:
            yield
        finally:
            aside.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')


def troubles() -> dict[str, Trouble]:
    found = {"read-only": read_only, "away": away}
    return {"full": disk_full, **found} if connection.vendor == "sqlite" else found


def tell(client: Client, fields: dict[str, str]) -> Any:
    return client.post(reverse("encounter-new"), a_new_encounter(fields)[1])


@pytest.mark.both
@pytest.mark.proves("R11")
def test_trouble_is_told_plainly_and_leaves_nothing_half_done(
    nurse: User, clinic: Clinic, medicare: Payer, prove: Prove
) -> None:
    cookies, fields = new_form(nurse, medicare)
    client = Client(raise_request_exception=False)
    for name, value in cookies.items():
        client.cookies[name] = value
    assert tell(client, fields).status_code == 302
    told, half, unfriendly, stuck = Counter[str](), [], [], []
    for name, trouble in troubles().items():
        for _ in range(size(1, 20)):
            before, were = stored(), Encounter.objects.count()
            with trouble():
                replies = [tell(client, fields)]
                while name == "full" and replies[-1].status_code == 302 and len(replies) < MOST_TO_FILL:
                    replies.append(tell(client, fields))
            refused = [reply for reply in replies if reply.status_code != 302]
            told[name] += len(refused)
            unfriendly += [f"{name}: {reply.status_code}" for reply in refused if not is_plain(reply)]
            there = Encounter.objects.count()
            saved = len(replies) - len(refused)
            if not refused or there != were + saved or (not saved and changed(before, stored())):
                half.append(name)
            if tell(client, fields).status_code != 302 or Encounter.objects.count() != there + 1:
                stuck.append(name)
    prove(
        "R11", "0 partial rows; healthy within 5 s of the repair, without a restart",
        f"{', '.join(f'{name}: {count} told plainly' for name, count in told.items())}; {len(half)} left anything "
        f"half done, {len(stuck)} stayed broken for the very next request",
        not half and not unfriendly and not stuck,
    )  # fmt: skip
    assert unfriendly == []


def is_plain(reply: Any) -> bool:
    return bool(reply.status_code == 503 and PLAIN in reply.content.decode() and reply.headers.get("Retry-After"))


def test_without_the_page_it_would_be_a_fault_of_ours(
    nurse: User, medicare: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, fields = new_form(nurse, medicare)
    client = Client(raise_request_exception=False)
    client.force_login(nurse)
    monkeypatch.setattr(errors, "is_out_of_reach", lambda problem: False)
    with read_only():
        reply = tell(client, fields)
    connection.close()
    assert reply.status_code == 500
    assert not is_plain(reply)
    assert "Something broke on our side" in reply.content.decode()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="how SQLite opens a file")
def test_a_connection_that_is_kept_would_stay_read_only(
    nurse: User, medicare: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, fields = new_form(nurse, medicare)
    client = Client(raise_request_exception=False)
    client.force_login(nurse)
    monkeypatch.setattr(errors, "connect_afresh", lambda: None)
    with read_only():
        assert tell(client, fields).status_code == 503
    assert tell(client, fields).status_code == 503
    connection.close()
    assert tell(client, fields).status_code == 302


def test_what_is_no_trouble_of_the_database_is_not_called_so() -> None:
    assert not errors.is_out_of_reach(KeyError("x"))
    assert not errors.is_out_of_reach(None)
    assert errors.is_out_of_reach(OSError(28, "No space left on device"))
    assert not errors.is_out_of_reach(OSError(2, "No such file or directory"))


@pytest.mark.both
@pytest.mark.proves("R51")
def test_one_word_says_whether_the_site_is_well(
    client: Client, db: None, prove: Prove, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> tuple[int, str]:
        reply = client.get("/healthz")
        return reply.status_code, reply.content.decode()

    well = asked()
    with away():
        ill = asked()
    again = asked()
    prove(
        "R51", "/healthz says only ok or failed", f"/healthz: {well}, with the database away {ill}, then {again}",
        well == again == (200, "ok\n") and ill == (503, "failed\n"),
    )  # fmt: skip
    monkeypatch.setattr(health.AuditHead.objects, "exists", lambda: True)
    with away():
        assert asked() == (200, "ok\n")


# The real server ------------------------------------------------------------------------------------------------------


@contextmanager
def file_closed(server: Server) -> Iterator[None]:
    """The folder too: who has the file open may write to it still, but keeps no journal of that."""
    file = Path(server.database.removeprefix("sqlite:///"))
    file.chmod(0o444)
    file.parent.chmod(0o555)
    try:
        yield
    finally:
        file.parent.chmod(0o700)
        file.chmod(0o600)


@contextmanager
def no_room(server: Server) -> Iterator[None]:
    """No worker may write a byte past the place where the file begins, as on a disk without room."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, -1)) for pid in server.children()}
    try:
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def database_gone(server: Server) -> Iterator[None]:
    with not_accepting():
        yield


# Root may write any file: what lets it do so is taken from the server.
NO_MORE_THAN_OTHERS = (
    ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override") if os.getuid() == 0 else ()
)


@pytest.mark.both
@pytest.mark.alone
@pytest.mark.proves("R11")
def test_the_server_is_well_again_by_itself(
    nurse: User, clinic: Clinic, medicare: Payer, tmp_path: Path, prove: Prove
) -> None:
    if not share():
        pytest.skip("its quick form is above, without a server")
    _, fields = new_form(nurse, medicare)
    ways = {"read-only": file_closed, "full": no_room} if connection.vendor == "sqlite" else {"away": database_gone}
    statuses, slowest, told, cookie = Counter[int](), 0.0, [], cookie_of(nurse)
    with served(tmp_path, before=NO_MORE_THAN_OTHERS) as server:

        def save() -> int:
            reply = server.ask("POST", reverse("encounter-new"), cookie, a_new_encounter(fields)[1])
            if reply.status == 503 and PLAIN.encode() not in reply.content:
                told.append("another page")
            statuses[reply.status] += 1
            return int(reply.status)

        for name, trouble in ways.items():
            for _ in range(5):
                for _ in range(8):
                    assert save() == 302, name  # each thread holds a connection
                with trouble(server):
                    threads = [threading.Thread(target=save) for _ in range(8)]
                    for each in threads:
                        each.start()
                    for each in threads:
                        each.join()
                    assert save() == 503, name
                repaired = time.monotonic()
                while save() != 302:
                    assert time.monotonic() - repaired < 60, name
                slowest = max(slowest, time.monotonic() - repaired)
    prove(
        "R11", "",
        f"the server {', '.join(ways)}: {statuses[503]} told plainly, {statuses[302]} saved, healthy "
        f"{slowest:.1f} s after each of {5 * len(ways)} repairs",
        slowest <= 5 and not told and set(statuses) == {302, 503},
    )  # fmt: skip
