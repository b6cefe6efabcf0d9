#!/usr/bin/env python
import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "infusion.settings")
    # Commands typed in a checkout work at once. A shell that holds a site's key belongs to that site, not to the demo.
    if not {"INFUSION_SECRET_KEY", "INFUSION_SECRET_KEY_FILE"} & set(os.environ):
        os.environ.setdefault("INFUSION_MODE", "demo")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
