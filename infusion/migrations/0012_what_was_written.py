"""The rows as the database sees them written, each taken by one event and then never changed; and who read what."""

import importlib

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

append_only = importlib.import_module("infusion.migrations.0003_append_only")

TABLE = "infusion_auditchange"
SAME = ("id", "relation", "key", "written", "xid")


def guard(apps, schema_editor):
    append_only.make_append_only(schema_editor, ("infusion_reading",))
    if schema_editor.connection.vendor == "sqlite":
        same = " AND ".join(f"NEW.{each} IS OLD.{each}" for each in SAME)
        schema_editor.execute(
            f"CREATE TRIGGER {TABLE}_taken_once BEFORE UPDATE ON {TABLE} "
            f"WHEN NOT (OLD.event IS NULL AND NEW.event IS NOT NULL AND {same}) "
            f"BEGIN SELECT RAISE(ABORT, '{TABLE} is append-only'); END"
        )
        schema_editor.execute(
            f"CREATE TRIGGER {TABLE}_no_delete BEFORE DELETE ON {TABLE} "
            f"BEGIN SELECT RAISE(ABORT, '{TABLE} is append-only'); END"
        )
        return
    same = " AND ".join(f"NEW.{each} IS NOT DISTINCT FROM OLD.{each}" for each in SAME)
    schema_editor.execute(
        f"CREATE TRIGGER {TABLE}_taken_once BEFORE UPDATE ON {TABLE} FOR EACH ROW "
        f"WHEN (NOT (OLD.event IS NULL AND NEW.event IS NOT NULL AND {same})) "
        "EXECUTE FUNCTION infusion_append_only()"
    )
    for what, each in (("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
        schema_editor.execute(
            f"CREATE TRIGGER {TABLE}_no_{what.lower()} BEFORE {what} ON {TABLE} "
            f"FOR EACH {each} EXECUTE FUNCTION infusion_append_only()"
        )


class Migration(migrations.Migration):
    dependencies = [("infusion", "0011_price_and_department")]
    operations = [
        migrations.CreateModel(
            name="AuditChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("relation", models.CharField(max_length=63)),
                ("key", models.BigIntegerField()),
                ("written", models.TextField(null=True)),
                ("xid", models.BigIntegerField(null=True)),
                ("event", models.PositiveBigIntegerField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["event", "id"], name="audit_change_event"),
                    models.Index(fields=["relation", "event", "id"], name="audit_change_relation"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Reading",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sequence", models.PositiveBigIntegerField(unique=True)),
                ("at", models.DateTimeField()),
                ("by_name", models.CharField(max_length=150)),
                ("action", models.CharField(max_length=60)),
                ("subject", models.CharField(max_length=60)),
                ("subject_id", models.CharField(max_length=64)),
                ("clinic_id", models.PositiveBigIntegerField(null=True)),
                ("detail", models.JSONField(null=True)),
                ("previous_hash", models.CharField(blank=True, max_length=64)),
                ("hash", models.CharField(max_length=64)),
                (
                    "by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("sequence",),
                "indexes": [models.Index(fields=["subject", "subject_id", "sequence"], name="reading_subject")],
            },
        ),
        migrations.AlterModelManagers(name="user", managers=[]),
        # Null, so that no table of events is made anew on SQLite: its guards would be gone.
        migrations.AddField("auditevent", "changes", models.PositiveIntegerField(null=True)),
        migrations.AddField("auditevent", "changes_hash", models.CharField(max_length=64, null=True)),
        migrations.RunPython(guard, migrations.RunPython.noop),
    ]
