#!/usr/bin/env python
import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "infusion.settings")
    # Commands typed in a checkout work at once; a served site says INFUSION_MODE itself (see infusion/settings.py).
    os.environ.setdefault("INFUSION_MODE", "demo")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
