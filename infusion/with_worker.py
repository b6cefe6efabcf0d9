"""What gunicorn is told with `-c python:infusion.with_worker`: as `infusion.serving`, and a worker beside it.

For one machine that has little to do: `make run`, and the container. A larger site runs its workers by themselves. One
that ends, for want of memory or by mishap, is followed by another.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from infusion import serving

PR_SET_PDEATHSIG = 1
LONGEST_PORTION_SECONDS = 30
PAUSE_SECONDS: float = 5
COMMAND = [sys.executable, "manage.py", "work", "--verbosity", "0"]
prctl = getattr(ctypes.CDLL(None), "prctl", None)  # found before there is a thread that a child could not wait for
worker: subprocess.Popen[bytes] | None = None
beginning, ending = Lock(), Event()
worker_class, post_worker_init = serving.Worker, serving.post_worker_init


def when_ready(server: Any) -> None:
    Thread(target=keep_one_at_work, args=(server,), daemon=True).start()


def keep_one_at_work(server: Any) -> None:
    """Until the server ends. Linux takes this thread for the worker's parent, so that it outlives each of them."""
    global worker
    while True:
        with beginning:
            if ending.is_set():
                return
            # A key that ends the server is not for the worker, which is told by the server and finishes its portion.
            with suppress(OSError, subprocess.SubprocessError):  # no memory for a process now, maybe the next time
                worker = subprocess.Popen(  # noqa: S603  our own command
                    COMMAND, cwd=Path(__file__).resolve().parent.parent, start_new_session=True,
                    preexec_fn=ends_with_its_parent,
                )  # fmt: skip
        if worker is not None:
            worker.wait()
        if not ending.is_set():
            server.log.error("The worker has ended. Another one begins in %s seconds.", PAUSE_SECONDS)
        ending.wait(PAUSE_SECONDS)


def on_exit(server: Any) -> None:
    ending.set()
    with beginning:
        last = worker
    if last is not None:
        last.terminate()
        try:
            last.wait(LONGEST_PORTION_SECONDS)
        except subprocess.TimeoutExpired:
            last.kill()
    serving.on_exit(server)


def ends_with_its_parent() -> None:
    """Linux tells a child of the death of its parent, however that came."""
    if prctl:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
