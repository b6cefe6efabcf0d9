"""R06, R09, R20: the real server: killed at any moment, written to by a crowd, sent more than it takes."""

from __future__ import annotations

import random
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from django.db import connection
from django.urls import reverse

from infusion.actions import Recorded, save_encounter
from infusion.models import Clinic, Encounter, User
from payers.models import Payer
from tests.prove.conftest import Prove
from tests.prove.prove_at_once import new_form
from tests.prove.server import TOKEN, Server, a_new_encounter, cookie_of, served
from tests.prove.table import share, size

pytestmark = pytest.mark.django_db(transaction=True)


class Writers:
    """Threads that save new encounters, each after the reply to its last, and what was acknowledged to them."""

    def __init__(self, server: Server, cookie: str, fields: dict[str, str], count: int, pause: float = 0) -> None:
        self.server, self.cookie, self.fields, self.pause = server, cookie, fields, pause
        self.acknowledged: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self.write, daemon=True) for _ in range(count)]

    def write(self) -> None:
        while not self.done.is_set():
            client_id, sent = a_new_encounter(self.fields)
            began = time.monotonic()
            try:
                reply = self.server.ask("POST", reverse("encounter-new"), self.cookie, sent)
            except OSError:  # nobody there, or cut off: nothing was acknowledged
                time.sleep(0.02)
                continue
            except Exception:  # half a reply
                continue
            self.seconds.append(time.monotonic() - began)
            self.statuses[reply.status] += 1
            if reply.status == 302:
                self.acknowledged.append(client_id)
            if self.pause:
                self.done.wait(self.pause)

    def __enter__(self) -> Writers:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join(60)


def of_new(nurse: User, medicare: Payer) -> tuple[str, dict[str, str]]:
    _, fields = new_form(nurse, medicare)
    return cookie_of(nurse), fields


# R06 ------------------------------------------------------------------------------------------------------------------


def missing_in(database: Path, acknowledged: list[str]) -> tuple[int, int, str]:
    """Acknowledged encounters that are not there, encounters without their audit row, and what SQLite says."""
    rows = sqlite3.connect(database)
    stored = {row[0] for row in rows.execute("SELECT client_id FROM infusion_encounter")}
    told = {
        row[0].replace("-", "")
        for row in rows.execute(
            "SELECT json_extract(after, '$.client_id') FROM infusion_auditevent WHERE action = 'encounter.add'"
        )
    }
    [[whole]] = rows.execute("PRAGMA integrity_check")
    rows.close()
    return len({each.replace("-", "") for each in acknowledged} - stored), len(stored ^ told), whole


@pytest.mark.alone
@pytest.mark.proves("R06")
def test_what_was_acknowledged_survives(
    nurse: User, clinic: Clinic, medicare: Payer, tmp_path: Path, prove: Prove
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("kills the program and its SQLite; the server of PostgreSQL is a program of its own")
    cookie, fields = of_new(nurse, medicare)
    kills, dice = size(3, 500), random.Random(6)
    with served(tmp_path) as server, Writers(server, cookie, fields, 4) as writers:
        for number in range(kills):
            written = len(writers.acknowledged)
            ends = time.monotonic() + 20
            while len(writers.acknowledged) == written and time.monotonic() < ends:
                time.sleep(0.02)  # at least one is acknowledged between two kills
            time.sleep(dice.uniform(0, 0.3))
            if number % 10 == 9:
                server.kill_all()
                server.start()
            else:
                server.kill_one(dice)
    missing, untold, whole = missing_in(tmp_path / "served.sqlite3", writers.acknowledged)
    made = len(writers.acknowledged)
    prove(
        "R06", "500 kills: 0 acknowledged rows missing, 0 rows without their audit row, database whole",
        f"{kills:,} kills: {missing} of {made:,} acknowledged missing, {untold} without their audit row, "
        f"integrity_check {whole}",
        missing == untold == 0 and whole == "ok" and made >= kills,
    )  # fmt: skip


def test_a_row_that_was_lost_would_be_seen(nurse: User, clinic: Clinic, sarah: Recorded, tmp_path: Path) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads the file of SQLite")
    client_id = "11111111-2222-4333-8444-555555555555"
    save_encounter(by=nurse, clinic=clinic, client_id=UUID(client_id), recorded=sarah)
    name = Path(connection.settings_dict["NAME"])
    assert missing_in(name, [client_id]) == (0, 0, "ok")
    assert missing_in(name, [client_id, client_id.replace("1", "2")])[0] == 1
    Encounter.objects.all().delete()
    assert missing_in(name, [client_id])[:2] == (1, 1)


# R09 ------------------------------------------------------------------------------------------------------------------

WRITERS, READERS = 16, 4


@pytest.mark.both
@pytest.mark.alone
@pytest.mark.proves("R09")
def test_nobody_meets_a_locked_database(
    nurse: User, clinic: Clinic, medicare: Payer, tmp_path: Path, prove: Prove
) -> None:
    cookie, fields = of_new(nurse, medicare)
    writes, read, slow = size(16, 10_000), Counter[int](), list[float]()
    stop = threading.Event()
    with served(tmp_path) as server:

        def reader() -> None:
            while not stop.is_set():
                began = time.monotonic()
                read[server.ask("GET", reverse("encounter-new"), cookie).status] += 1
                slow.append(time.monotonic() - began)
                stop.wait(0.5)

        readers = [threading.Thread(target=reader, daemon=True) for _ in range(READERS)]
        for thread in readers:
            thread.start()
        # People look at what was saved before they save again: as many as two processors can serve.
        with Writers(server, cookie, fields, WRITERS, pause=1.5 if share() else 0) as writers:
            while sum(writers.statuses.values()) < writes:
                time.sleep(0.05)
        stop.set()
        for thread in readers:
            thread.join(60)
        locked = server.log.read_text().count("database is locked")
    errors = sum(number for status, number in (writers.statuses + read).items() if status >= 500)
    wait, look = sorted(writers.seconds), sorted(slow)
    p99, longest, looked = wait[int(len(wait) * 0.99)], wait[-1], look[int(len(look) * 0.99)]
    done = sum(writers.statuses.values())
    prove(
        "R09", "0 x 5xx in 10,000 saves by 16 writers beside 4 readers; saving 99% within 1 s and all within 5 s",
        f"{errors} x 5xx and {locked} locked in {done:,} saves and {sum(read.values()):,} readings; saving "
        f"99% within {p99:.2f} s and all within {longest:.2f} s, reading 99% within {looked:.2f} s",
        errors == locked == 0 and set(writers.statuses) == {302} and (not share() or (p99 <= 1 and longest <= 5)),
    )  # fmt: skip


def test_a_deferred_transaction_would_meet_a_locked_database(clinic: Clinic, tmp_path: Path) -> None:
    """What the settings keep away: two that read first and write later, as SQLite begins them by itself."""
    if connection.vendor != "sqlite":
        pytest.skip("of SQLite alone")
    ways = [sqlite3.connect(tmp_path / "x.sqlite3", isolation_level=None, timeout=0.2) for _ in range(2)]
    ways[0].execute("CREATE TABLE t (n INTEGER)")
    for way in ways:
        way.execute("BEGIN")
        way.execute("SELECT count(*) FROM t").fetchall()
    ways[0].execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        ways[1].execute("INSERT INTO t VALUES (1)")
    for way in ways:
        way.close()


# R20 ------------------------------------------------------------------------------------------------------------------

MEGABYTE = 1_000_000


def raw(server: Server, head: str, pieces: Iterator[bytes], seconds: float = 30) -> tuple[int, float]:
    """The status of what is sent piece by piece, and the seconds until it came."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as way:
        began = time.monotonic()
        way.sendall(head.encode())
        with suppress(OSError):  # it may be answered before all has been sent
            for piece in pieces:
                way.sendall(piece)
        answer = way.recv(4096)
        return int(answer.split()[1]) if answer else 0, time.monotonic() - began


def post_head(path: str, cookie: str, length: int, kind: str = "application/x-www-form-urlencoded") -> str:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )


def oversized(fields: dict[str, str]) -> dict[str, bytes]:
    token = f"csrfmiddlewaretoken={TOKEN}&"
    rows = {f"d1-v{number}-amount": "300" for number in range(10_000)}
    return {
        "a body of 10 MB": (token + "x=" + "a" * 10 * MEGABYTE).encode(),
        "100,000 fields": (token + "&".join(f"f{number}=1" for number in range(100_000))).encode(),
        "a note of 1 MB": (token + urlencode({**fields, "d1-note": "a" * MEGABYTE})).encode(),
        "10,000 rows of a form": (token + urlencode({**fields, **rows})).encode(),
        "one field 1,000 times": (token + "&".join(["d1-start=9:00"] * 1000)).encode(),
    }


def memory_of(server: Server) -> int:
    """Kilobytes that the workers hold."""
    found = 0
    for pid in server.children():
        text = Path(f"/proc/{pid}/status").read_text()
        found += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))
    return found


@pytest.mark.alone
@pytest.mark.proves("R20")
def test_what_is_too_large_is_refused_early(
    nurse: User, clinic: Clinic, medicare: Payer, tmp_path: Path, prove: Prove
) -> None:
    cookie, fields = of_new(nurse, medicare)
    rounds, path = size(1, 20), reverse("encounter-new")
    with served(tmp_path, threads=4) as server:
        before = Encounter.objects.count()
        for _ in range(4):
            server.ask("GET", path, cookie)
        usual = quick_answers(server, cookie, path)
        held, statuses, seconds = memory_of(server), Counter[str](), [0.0]
        for _ in range(rounds):
            for name, body in oversized(fields).items():
                status, took = raw(server, post_head(path, cookie, len(body)), iter([body]))
                statuses[f"{name}: {status}"] += 1
                seconds.append(took)
        grown = (memory_of(server) - held) / 1000
        line, _ = raw(server, f"GET /{'a' * 20_000} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", iter([]))
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
        head = post_head(path, cookie, 1000).encode()
        for way, sent in zip(slow, [head + b"x", head + b"x", head[:40], head[:40]], strict=True):
            way.sendall(sent)  # and never the rest
        for way in slow[::2]:
            threading.Thread(target=drip, args=(way,), daemon=True).start()
        began = time.monotonic()
        beside = quick_answers(server, cookie, path)
        for way in slow:
            way.settimeout(30)
            while share() and way.recv(4096):
                pass  # until the server ends it
            way.close()
        cut = time.monotonic() - began
    refused = all(each.rpartition(" ")[2] in ("400", "413", "422") for each in statuses)
    prove(
        "R20", "400, 413 or 422 within 1 s; at most 50 MB more; others served at most twice as slowly beside two that "
        "drip and two that never end, a head and a body each",
        f"{', '.join(sorted(statuses))}, a line of 20,000: {line}; slowest {max(seconds):.2f} s; {grown:.0f} MB more; "
        f"others {beside / usual:.1f} times as long as usual, the four cut off after {cut:.0f} s",
        refused and line in (400, 414) and grown <= 50
        and (not share() or (max(seconds) <= 1 and beside <= 2 * usual and cut <= 30)),
    )  # fmt: skip
    assert Encounter.objects.count() == before


def drip(way: socket.socket) -> None:
    """Never silent for long, and never done."""
    with suppress(OSError):
        while True:
            time.sleep(1)
            way.sendall(b"x")


def quick_answers(server: Server, cookie: str, path: str) -> float:
    """The 95th of 100 replies, in seconds."""
    found = []
    for _ in range(size(10, 100)):
        began = time.monotonic()
        assert server.ask("GET", path, cookie).status == 200
        found.append(time.monotonic() - began)
    return sorted(found)[int(len(found) * 0.95)]


def test_an_ordinary_request_is_not_refused(nurse: User, clinic: Clinic, medicare: Payer, client: Any) -> None:
    """The limits refuse what no page sends."""
    _, fields = new_form(nurse, medicare)
    client.force_login(nurse)
    assert client.post(reverse("encounter-new"), a_new_encounter(fields)[1]).status_code == 302
