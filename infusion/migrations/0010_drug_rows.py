"""Drug rows of a site, with their proposals. The database keeps rows as they are and refuses two for one day.

The only change of a row that it lets through is setting, once, until when it was known.
"""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

TABLE = "infusion_drugrow"
STANDING = (
    "id", "public_id", "thread", "code", "first_day", "last_day", "document", "source_document", "source_address",
    "source_read_on", "note", "status", "follows_id", "author_id", "publisher_id", "known_from",
)  # fmt: skip

SQLITE = (
    f"""
    CREATE TRIGGER {TABLE}_no_delete BEFORE DELETE ON {TABLE}
    BEGIN SELECT RAISE(ABORT, 'a drug row is never removed'); END
    """,
    f"""
    CREATE TRIGGER {TABLE}_no_update BEFORE UPDATE ON {TABLE}
    WHEN OLD.known_until IS NOT NULL OR NEW.known_until IS NULL
      OR {" OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in STANDING)}
    BEGIN SELECT RAISE(ABORT, 'a drug row is never changed'); END
    """,
    f"""
    CREATE TRIGGER {TABLE}_no_overlap BEFORE INSERT ON {TABLE}
    WHEN NEW.status <> 'draft' AND NEW.known_until IS NULL AND EXISTS (
      SELECT 1 FROM {TABLE} other
      WHERE other.code = NEW.code AND other.status <> 'draft' AND other.known_until IS NULL
        AND other.first_day <= COALESCE(NEW.last_day, '9999-12-31')
        AND NEW.first_day <= COALESCE(other.last_day, '9999-12-31'))
    BEGIN SELECT RAISE(ABORT, 'two rows of one drug overlap'); END
    """,  # noqa: S608  no text of anyone's is in it
)

POSTGRESQL = (
    "CREATE EXTENSION IF NOT EXISTS btree_gist",
    f"""
    ALTER TABLE {TABLE} ADD CONSTRAINT {TABLE}_no_overlap EXCLUDE USING gist (
      code WITH =, daterange(first_day, last_day, '[]') WITH &&
    ) WHERE (status <> 'draft' AND known_until IS NULL)
    """,
    """
    CREATE FUNCTION infusion_drug_stands() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'UPDATE' AND OLD.known_until IS NULL AND NEW.known_until IS NOT NULL
         AND to_jsonb(NEW) - 'known_until' = to_jsonb(OLD) - 'known_until' THEN
        RETURN NEW;
      END IF;
      RAISE EXCEPTION 'a drug row is never changed or removed';
    END $$
    """,
    f"""
    CREATE TRIGGER {TABLE}_stands BEFORE UPDATE OR DELETE ON {TABLE}
    FOR EACH ROW EXECUTE FUNCTION infusion_drug_stands()
    """,
    f"""
    CREATE TRIGGER {TABLE}_no_truncate BEFORE TRUNCATE ON {TABLE}
    FOR EACH STATEMENT EXECUTE FUNCTION infusion_drug_stands()
    """,
)


def guard(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [
        ("infusion", "0009_rule_use"),
    ]

    operations = [
        migrations.CreateModel(
            name="DrugRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("thread", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("code", models.CharField(max_length=5)),
                ("first_day", models.DateField()),
                ("last_day", models.DateField(null=True)),
                ("document", models.JSONField()),
                ("source_document", models.CharField(max_length=200)),
                ("source_address", models.CharField(blank=True, max_length=300)),
                ("source_read_on", models.DateField()),
                ("note", models.TextField(blank=True)),
                (
                    "status",
                    models.CharField(
                        choices=[("draft", "Draft"), ("unverified", "Unverified"), ("verified", "Verified")],
                        default="draft",
                        max_length=12,
                    ),
                ),
                ("known_from", models.DateTimeField()),
                ("known_until", models.DateTimeField(null=True)),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "follows",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="infusion.drugrow"
                    ),
                ),
                (
                    "publisher",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("code", "first_day", "known_from"),
            },
        ),
        migrations.CreateModel(
            name="DrugProposal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("kind", models.CharField(choices=[("publish", "Publish"), ("withdraw", "Withdraw")], max_length=8)),
                (
                    "status",
                    models.CharField(
                        blank=True,
                        choices=[("draft", "Draft"), ("unverified", "Unverified"), ("verified", "Verified")],
                        max_length=12,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("proposed_at", models.DateTimeField()),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "Waiting for a second admin"),
                            ("published", "Published"),
                            ("returned", "Returned"),
                            ("taken_back", "Taken back"),
                        ],
                        max_length=12,
                    ),
                ),
                ("outcome_reason", models.CharField(blank=True, max_length=500)),
                ("decided_at", models.DateTimeField(null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "proposed_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "row",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="proposals", to="infusion.drugrow"
                    ),
                ),
            ],
            options={
                "ordering": ("proposed_at",),
            },
        ),
        migrations.AddIndex(
            model_name="drugrow",
            index=models.Index(fields=["known_until", "code"], name="drug_current"),
        ),
        migrations.AddConstraint(
            model_name="drugrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("last_day__isnull", True), ("last_day__gte", models.F("first_day")), _connector="OR"
                ),
                name="drug_ends_after_it_begins",
            ),
        ),
        migrations.AddConstraint(
            model_name="drugrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("known_until__isnull", True), ("known_until__gte", models.F("known_from")), _connector="OR"
                ),
                name="drug_known_until_after_from",
            ),
        ),
        migrations.AddConstraint(
            model_name="drugproposal",
            constraint=models.UniqueConstraint(
                condition=models.Q(("outcome", "")), fields=("row",), name="one_open_proposal_of_a_drug"
            ),
        ),
        migrations.AddConstraint(
            model_name="drugproposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("decided_by__isnull", True),
                    models.Q(("outcome", "published"), _negated=True),
                    models.Q(("decided_by", models.F("proposed_by")), _negated=True),
                    _connector="OR",
                ),
                name="drug_published_by_another_admin",
            ),
        ),
        migrations.RunPython(guard, migrations.RunPython.noop),
    ]
