"""A worker: does the long work that waits in the queue, and every minute takes up what a dead one has left."""

from __future__ import annotations

import threading
import time
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management import CommandError, call_command
from django.db import Error, close_old_connections, connection
from django_tasks_db.management.commands import db_worker

from infusion.jobs import requeue_stalled
from infusion.operations import unfinished

EVERY_SECONDS = 60.0


class Command(db_worker.Command):
    help = "Do the long work that waits in the queue. As many at once as there are cores to spare, on any machine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(interval=2.0)  # on SQLite a look at the queue keeps everyone else out for a moment
        parser.add_argument(
            "--stalled-minutes", type=float, default=5, help="take up again what has not moved for so long (5)"
        )

    def handle(self, **options: Any) -> None:
        if sentence := unfinished.told():
            raise CommandError(sentence)
        older_than = timedelta(minutes=options.pop("stalled_minutes"))
        threading.Thread(target=tidy, args=(older_than,), daemon=True).start()
        super().handle(**options)


def tidy(older_than: timedelta) -> None:
    """Until the worker ends; a database that is away is asked again."""
    while True:
        try:
            requeue_stalled(older_than)
            call_command("prune_db_task_results", verbosity=0)
        except Error:
            connection.close()
        close_old_connections()
        time.sleep(EVERY_SECONDS)
