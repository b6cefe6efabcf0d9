import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def name_everyone(apps, schema_editor):
    """An id of their own for people who were there before; one default would be the same for all."""
    for person in apps.get_model("infusion", "User").objects.filter(public_id=None):
        person.public_id = uuid.uuid4()
        person.save(update_fields=["public_id"])


class Migration(migrations.Migration):
    dependencies = [
        ("infusion", "0007_frozen_batches"),
    ]

    operations = [
        migrations.CreateModel(
            name="Selected",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("version", models.PositiveIntegerField()),
                ("content_hash", models.CharField(blank=True, max_length=64)),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "Waiting"),
                            ("unfit", "Left out"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("undone", "Taken back"),
                            ("kept", "Not taken back"),
                        ],
                        max_length=8,
                    ),
                ),
                ("reason", models.TextField(blank=True)),
            ],
            options={
                "ordering": ("position",),
            },
        ),
        migrations.CreateModel(
            name="Selection",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("act", models.CharField(choices=[("approve", "Approve"), ("hold", "Hold")], max_length=8)),
                ("query", models.CharField(blank=True, max_length=1000)),
                ("reason", models.CharField(blank=True, max_length=300)),
                ("made_at", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="judgement",
            name="claim_findings",
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="judgement",
            name="content_hash",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="judgement",
            name="lines",
            field=models.JSONField(default=list),
        ),
        migrations.AddField("user", "public_id", models.UUIDField(editable=False, null=True)),
        migrations.RunPython(name_everyone, migrations.RunPython.noop, elidable=True),
        migrations.AlterField("user", "public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
        migrations.AddField(
            model_name="user",
            name="single_keys",
            field=models.BooleanField(default=True, editable=False),
        ),
        migrations.AddIndex(
            model_name="encounter",
            index=models.Index(fields=["clinic", "date_of_service"], name="encounter_by_date"),
        ),
        migrations.AddField(
            model_name="selected",
            name="encounter",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="infusion.encounter"
            ),
        ),
        migrations.AddField(
            model_name="selection",
            name="clinic",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="infusion.clinic"
            ),
        ),
        migrations.AddField(
            model_name="selection",
            name="person",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="selected",
            name="selection",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="rows", to="infusion.selection"
            ),
        ),
        migrations.AddIndex(
            model_name="selected",
            index=models.Index(fields=["selection", "outcome", "position"], name="selected_outcome"),
        ),
        migrations.AddConstraint(
            model_name="selected",
            constraint=models.UniqueConstraint(fields=("selection", "encounter"), name="an_encounter_is_chosen_once"),
        ),
    ]
