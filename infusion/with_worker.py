"""What gunicorn is told with `-c python:infusion.with_worker`: as `infusion.serving`, and a worker beside it.

For one machine that has little to do: `make run`, and the container. A larger site runs its workers by themselves.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from infusion import serving

PR_SET_PDEATHSIG = 1
LONGEST_PORTION_SECONDS = 30
worker: subprocess.Popen[bytes] | None = None
post_worker_init = serving.post_worker_init


def when_ready(server: Any) -> None:
    global worker
    command = [sys.executable, "manage.py", "work", "--verbosity", "0"]
    # A key that ends the server is not for the worker, which is told by the server and finishes its portion.
    worker = subprocess.Popen(  # noqa: S603  our own command
        command, cwd=Path(__file__).resolve().parent.parent, start_new_session=True, preexec_fn=ends_with_its_parent
    )


def on_exit(server: Any) -> None:
    if worker is not None:
        worker.terminate()
        try:
            worker.wait(LONGEST_PORTION_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
    serving.on_exit(server)


def ends_with_its_parent() -> None:
    """Linux tells a child of the death of its parent, however that came."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
