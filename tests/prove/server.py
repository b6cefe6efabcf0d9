"""The real server, gunicorn with workers and threads, on a copy of the test's database or on its PostgreSQL."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from django.db import connection
from django.test import Client

from infusion.models import User

TOKEN = "provedprovedprovedprovedproved12"
ROOT = Path(__file__).resolve().parents[2]
STARTS_WITHIN_SECONDS = 120


def cookie_of(user: User) -> str:
    """A session of someone who is signed in, and the token of their forms."""
    client = Client()
    client.force_login(user)
    return f"sessionid={client.cookies['sessionid'].value}; csrftoken={TOKEN}"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(slots=True)
class Server:
    database: str
    port: int
    log: Path
    workers: int = 2
    threads: int = 2
    before: tuple[str, ...] = ()
    process: Any = field(default=None)

    def start(self) -> None:
        environment = {
            **os.environ, "INFUSION_MODE": "test", "DJANGO_SETTINGS_MODULE": "infusion.settings",
            "DATABASE_URL": self.database,
        }  # fmt: skip
        command = [
            *self.before, str(Path(sys.executable).with_name("gunicorn")), "-c", "python:infusion.serving",
            "infusion.wsgi", "--preload", "--workers", str(self.workers), "--threads", str(self.threads),
            "--bind", f"127.0.0.1:{self.port}", "--log-level", "error", "--timeout", "120",
            "--limit-request-line", "8190",
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        ends = time.monotonic() + STARTS_WITHIN_SECONDS
        while time.monotonic() < ends:
            with suppress(OSError, http.client.HTTPException):
                if self.ask("GET", "/accounts/login/", "").status == 200:
                    return
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.1)
        raise AssertionError("the server did not start: " + self.log.read_text()[-2000:])

    def children(self) -> list[int]:
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(each) for each in text.split()]

    def kill_one(self, dice: random.Random) -> None:
        """The end of one worker, without a word: the others go on and a new one takes its place."""
        if found := self.children():
            with suppress(ProcessLookupError):
                os.kill(dice.choice(found), signal.SIGKILL)

    def kill_all(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ask(
        self,
        method: str,
        path: str,
        cookie: str,
        fields: dict[str, str] | None = None,
        timeout: float = 60,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """One request on a connection of its own; the reply has been read."""
        connected = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            own = {"Cookie": cookie, "Host": f"127.0.0.1:{self.port}"} if cookie else {}
            headers = {**own, **(headers or {})}
            body = None
            if fields is not None:
                body = urlencode({**fields, "csrfmiddlewaretoken": TOKEN})
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            connected.request(method, path, body, headers)
            reply = connected.getresponse()
            reply.content = reply.read()  # type: ignore[attr-defined]
            return reply
        finally:
            connected.close()


def database_url(folder: Path) -> str:
    """A copy of the test's SQLite file, or the test's PostgreSQL itself."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        connection.close()
        copy = folder / "served.sqlite3"
        shutil.copy(settings["NAME"], copy)
        return f"sqlite:///{copy}"
    host = settings.get("OPTIONS", {}).get("host") or settings["HOST"]
    return f"postgres://{settings['USER']}@/{settings['NAME']}?host={host}"


@contextmanager
def served(folder: Path, **more: Any) -> Iterator[Server]:
    server = Server(database_url(folder), free_port(), folder / "server.log", **more)
    server.start()
    try:
        yield server
    finally:
        server.kill_all()


def a_new_encounter(fields: dict[str, str]) -> tuple[str, dict[str, str]]:
    """What the form of a new encounter sends, under an id of its own."""
    client_id = str(uuid4())
    return client_id, {**fields, "client_id": client_id, "patient_reference": f"P{client_id[:8]}"}
