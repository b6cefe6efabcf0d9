"""What gunicorn is told beside its command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SET_ASIDE = """
import gc
from infusion import {config}, wsgi
before = gc.get_freeze_count()
{config}.post_worker_init(None)
from django.urls import get_resolver
print(before, gc.get_freeze_count(), "url_patterns" in vars(get_resolver()))
"""
KILLED = """
import os, signal, sys, time
from unittest.mock import Mock
from infusion import with_worker

def other_than(first):
    ends = time.monotonic() + 60
    while with_worker.worker is first and time.monotonic() < ends:
        time.sleep(0.01)
    return with_worker.worker

with_worker.COMMAND = [sys.executable, "-c", "import time; time.sleep(600)"]
with_worker.PAUSE_SECONDS = 0.1
with_worker.when_ready(Mock())
first = other_than(None)
os.kill(first.pid, signal.SIGKILL)
second = other_than(first)
print(second is not first and second.poll() is None)
with_worker.on_exit(None)
time.sleep(0.5)
print(second.returncode == -signal.SIGTERM and with_worker.worker is second)
"""
NOT_YET = """
import sys, time
from unittest.mock import Mock
from infusion import with_worker

with_worker.COMMAND = ["/no/such/program"]
with_worker.PAUSE_SECONDS = 0.1
with_worker.when_ready(Mock())
time.sleep(0.5)
with_worker.COMMAND = [sys.executable, "-c", "import time; time.sleep(600)"]
ends = time.monotonic() + 60
while with_worker.worker is None and time.monotonic() < ends:
    time.sleep(0.01)
print(with_worker.worker is not None and with_worker.worker.poll() is None)
with_worker.on_exit(None)
"""


@pytest.mark.parametrize("config", ["serving", "with_worker"])
def test_a_process_sets_aside_what_it_has_loaded(config: str) -> None:
    before, after, views_loaded = printed(SET_ASIDE.format(config=config))
    assert (before, views_loaded) == ("0", "True")
    assert int(after) > 100_000


def test_a_worker_that_ends_is_followed_by_another_until_the_server_ends() -> None:
    assert printed(KILLED) == ["True", "True"]


def test_a_worker_that_cannot_begin_is_tried_again() -> None:
    assert printed(NOT_YET) == ["True"]


def printed(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "INFUSION_MODE": "test", "DJANGO_SETTINGS_MODULE": "infusion.settings"},
    )  # fmt: skip
    return done.stdout.split()
