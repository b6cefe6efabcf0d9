"""The database itself refuses to change or remove what has left: claims, their lines, and written files."""

import importlib

from django.db import migrations

TABLES = ("infusion_batch", "infusion_batchclaim", "infusion_batchline", "infusion_batchfile")
append_only = importlib.import_module("infusion.migrations.0003_append_only")


def guard(apps, schema_editor):
    append_only.make_append_only(schema_editor, TABLES)


class Migration(migrations.Migration):
    dependencies = [("infusion", "0006_the_desk")]
    operations = [migrations.RunPython(guard, migrations.RunPython.noop)]
