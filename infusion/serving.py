"""What gunicorn is told with `-c python:infusion.serving`: its processes count into one folder.

`/metrics` adds up what is there. It is of this start of the server alone, or what was counted before would count again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

FOLDER = tempfile.mkdtemp(prefix="infusion-metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = FOLDER


def on_exit(server: Any) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
