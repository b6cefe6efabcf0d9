"""A sender whose request never becomes whole does not hold a thread, and nothing of it is believed."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from django.core.exceptions import BadRequest
from pytest_django import Settings

from infusion import wsgi
from infusion.senders import WholeBody

TOKEN = "a" * 32


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def dripped(ours: socket.socket, theirs: socket.socket, length: str = "1000") -> int:
    """How many bytes a reader got of a body that comes a byte at a time, until nothing more did."""

    def drip() -> None:
        with suppress(OSError):
            for _ in range(60):
                theirs.sendall(b"x")
                time.sleep(0.02)
            theirs.close()

    def reads_all(environ: object, start_response: object) -> list[bytes]:
        return list(iter(lambda: ours.recv(1), b""))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wsgi, "answer", reads_all)
        threading.Thread(target=drip, daemon=True).start()
        environ = {
            "gunicorn.socket": ours, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": length, "wsgi.input": io.BytesIO(),
        }  # fmt: skip
        return len(list(wsgi.application(environ, lambda *args: None)))


def test_a_body_that_drips_is_cut_off(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wsgi, "BODY_SECONDS", 0.2)
    assert 0 < dripped(*pair) < 60


@pytest.mark.parametrize("length", ["9" * 16, "9" * 400])
def test_no_announced_length_is_longer_than_what_is_taken(
    pair: tuple[socket.socket, socket.socket], settings: Settings, monkeypatch: pytest.MonkeyPatch, length: str
) -> None:
    monkeypatch.setattr(wsgi, "BODY_SECONDS", 0.2)
    settings.LARGEST_UPLOAD_BYTES = 1
    assert 0 < dripped(*pair, length) < 60


def test_a_long_body_has_the_time_that_its_length_takes(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wsgi, "BODY_SECONDS", 0.2)
    assert dripped(*pair, length="1000000") == 60


def asked(body: io.BytesIO, announced: int, **environ: str) -> tuple[str, bytes]:
    """What a form is answered of which `body` comes."""
    ours, theirs = socket.socketpair()
    told: list[str] = []
    with ours, theirs:
        reply = wsgi.application(
            {
                "gunicorn.socket": ours, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(announced), "wsgi.input": body,
                "PATH_INFO": "/accounts/login/", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
                "wsgi.url_scheme": "http",
                "CONTENT_TYPE": "application/x-www-form-urlencoded", "HTTP_COOKIE": f"csrftoken={TOKEN}",
                "HTTP_X_CSRFTOKEN": TOKEN, **environ,
            },
            lambda status, *rest: told.append(status),
        )  # fmt: skip
        content = b"".join(reply)
    return told[0], content


FORM = b"d1-drug=J2350&d1-administered=600"
PARTS = b'--x\r\nContent-Disposition: form-data; name="d1-drug"\r\n\r\nJ2350\r\n--x--\r\n'


@pytest.mark.django_db
def test_a_form_that_broke_off_is_not_read_as_a_shorter_one() -> None:
    assert asked(io.BytesIO(FORM), len(FORM))[0] == "200 OK"
    for shorter in (FORM[:-1], FORM[:13], b""):
        assert asked(io.BytesIO(shorter), len(FORM))[0] == "400 Bad Request", shorter


@pytest.mark.django_db
def test_a_form_with_files_that_broke_off_is_not_read_either() -> None:
    kind = "multipart/form-data; boundary=x"
    assert asked(io.BytesIO(PARTS), len(PARTS), CONTENT_TYPE=kind)[0] == "200 OK"
    for shorter in (PARTS[:-1], PARTS[:-9], PARTS[:10]):
        assert asked(io.BytesIO(shorter), len(PARTS), CONTENT_TYPE=kind)[0] == "400 Bad Request", shorter


@pytest.mark.django_db
def test_a_sender_who_falls_silent_is_answered_so_too() -> None:
    class Silent(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise TimeoutError

    assert asked(Silent(), 100)[0] == "400 Bad Request"


def test_a_line_is_whole_at_its_end() -> None:
    body = WholeBody(io.BytesIO(b"one\ntwo"))
    assert body.readline(100) == b"one\n"
    with pytest.raises(BadRequest):
        body.readline(100)
