"""The database itself refuses to change the audit and approvals."""

from django.db import migrations

TABLES = ("infusion_auditevent", "infusion_approval")


def make_append_only(schema_editor, tables):
    for table in tables:
        if schema_editor.connection.vendor == "sqlite":
            for what in ("UPDATE", "DELETE"):
                schema_editor.execute(
                    f"CREATE TRIGGER {table}_no_{what.lower()} BEFORE {what} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
        else:
            schema_editor.execute(
                "CREATE OR REPLACE FUNCTION infusion_append_only() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$",
                params=None,  # with any, even none, the driver would read the % as a place for one
            )
            schema_editor.execute(
                f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION infusion_append_only()"
            )
            schema_editor.execute(
                f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION infusion_append_only()"
            )


def guard(apps, schema_editor):
    make_append_only(schema_editor, TABLES)


class Migration(migrations.Migration):
    dependencies = [("infusion", "0002_initial")]
    operations = [migrations.RunPython(guard, migrations.RunPython.noop)]
