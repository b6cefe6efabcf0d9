"""A sender whose body never becomes whole does not hold a thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from pytest_django import Settings

from infusion import wsgi


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
        environ = {"gunicorn.socket": ours, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": length}
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
