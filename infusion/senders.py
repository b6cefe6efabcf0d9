"""Senders who do not send all of a request: gunicorn's threads would wait for them without end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Timer
from typing import Any

from django.core.exceptions import BadRequest


def cut_off_after(seconds: float, sender: socket.socket) -> Timer:
    """Reads nothing more from a sender then, unless it is cancelled before; an answer can be sent still."""

    def hang_up() -> None:
        with suppress(OSError):
            sender.shutdown(socket.SHUT_RD)

    deadline = Timer(seconds, hang_up)
    deadline.daemon = True
    deadline.start()
    return deadline


class WholeBody:
    """A body of which nothing is believed unless all of it came: 600 mg cut off in the middle are not 60 mg.

    Django asks for no byte beyond the announced length, takes fewer for all there are, and after an OSError lets a page
    go on with an empty form.
    """

    def __init__(self, body: Any) -> None:
        self.body = body

    def read(self, size: int) -> bytes:
        return self._whole(self.body.read, size)

    def readline(self, size: int) -> bytes:
        return self._whole(self.body.readline, size, b"\n")

    def _whole(self, read: Callable[[int], bytes], size: int, *endings: bytes) -> bytes:
        try:
            part = read(size)
        except OSError as problem:
            raise BadRequest("a body that broke off") from problem
        if len(part) < size and not part.endswith(endings):
            raise BadRequest("a body that broke off")
        return part
