"""What gunicorn is told with `-c python:infusion.serving`: its processes count into one folder.

`/metrics` adds up what is there. It is of this start of the server alone, or what was counted before would count again.
Each process sets aside what it has loaded: looking through all of it for garbage, now and then, takes a tenth of a
second in which no page is answered. `infusion.wsgi` bounds the time for a body, and `Worker` that for a head.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from typing import Any

from django.urls import get_resolver
from gunicorn.workers.gthread import ThreadWorker

from infusion.senders import cut_off_after

HEAD_SECONDS = 20
FOLDER = tempfile.mkdtemp(prefix="infusion-metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = FOLDER


class Worker(ThreadWorker):
    """A head that is not whole in time ends its connection."""

    def handle(self, conn: Any) -> Any:
        conn.deadline = cut_off_after(HEAD_SECONDS, conn.sock)
        try:
            return super().handle(conn)
        finally:
            conn.deadline.cancel()

    def handle_request(self, req: Any, conn: Any) -> Any:
        conn.deadline.cancel()
        return super().handle_request(req, conn)


worker_class = Worker


def post_worker_init(worker: Any) -> None:
    len(get_resolver().url_patterns)  # loads the views
    gc.collect()
    gc.freeze()


def on_exit(server: Any) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
