"""The three roles exist in every installation; without them nobody could be let in."""

from django.db import migrations

NAMES = ("nurse", "billing", "admin")


def add(apps, schema_editor):
    groups = apps.get_model("auth", "Group").objects.using(schema_editor.connection.alias)
    for name in NAMES:
        groups.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = [("infusion", "0003_append_only"), ("auth", "0012_alter_user_first_name_max_length")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
