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


@pytest.mark.parametrize("config", ["serving", "with_worker"])
def test_a_process_sets_aside_what_it_has_loaded(config: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SET_ASIDE.format(config=config)], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "INFUSION_MODE": "test", "DJANGO_SETTINGS_MODULE": "infusion.settings"},
    )  # fmt: skip
    before, after, views_loaded = done.stdout.split()
    assert (before, views_loaded) == ("0", "True")
    assert int(after) > 100_000
