"""The project's settings in test mode, whatever the shell says."""

import os

os.environ["INFUSION_MODE"] = "test"

from infusion.settings import *  # noqa: F403
