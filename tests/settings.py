"""The project's settings in test mode, whatever the shell says."""

import os

os.environ["INFUSION_MODE"] = "test"

from infusion.settings import *  # noqa: F403
from infusion.settings import DATABASE

# A connection kept by a live-server thread would stop the test database from being dropped.
DATABASE["CONN_MAX_AGE"] = 0
