"""The tables of a release with invented rows, as its own migrations make them: what an upgrade begins with.

python -m tests.prove.releases 0.1.0    # keeps tests/releases/0.1.0.json.gz, once for each release
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "releases"
# Filled by migrating, and by Django after it, under numbers that depend on what else is installed.
PASSING = {"auth.permission", "contenttypes.contenttype", "sessions.session", "admin.logentry"}
# The end of the chain, which goes on with what an upgrade writes down.
GOES_ON = "infusion.audithead"

Release = dict[str, Any]


def releases() -> list[str]:
    return sorted(file.name.removesuffix(".json.gz") for file in FOLDER.glob("*.json.gz"))


def read(name: str) -> Release:
    with gzip.open(FOLDER / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        found: Release = json.load(file)
    return found


def models_of(registry: Any) -> dict[str, Any]:
    found = {model._meta.label_lower: model for model in registry.get_models(include_auto_created=True)}
    return {label: model for label, model in sorted(found.items()) if label not in PASSING and model._meta.managed}


def rows_of(model: Any) -> list[dict[str, Any]]:
    fields = model._meta.concrete_fields
    return [
        {field.attname: None if getattr(row, field.attname) is None else field.value_to_string(row) for field in fields}
        for row in model._base_manager.order_by("pk").iterator()
    ]


def value_of(field: Any, value: Any) -> Any:
    return None if value is None else field.to_python(value)


def state_of(release: Release) -> Any:
    """The models as they were."""
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader

    return MigrationLoader(connection).project_state([tuple(each) for each in release["migrations"]]).apps


def fill(release: Release) -> Any:
    """Make the release's tables in this empty database, with their rows. The models as they were."""
    from django.core.management.color import no_style
    from django.db import connection, transaction
    from django.db.migrations.executor import MigrationExecutor

    MigrationExecutor(connection).migrate([tuple(each) for each in release["migrations"]])
    registry = state_of(release)
    models = models_of(registry)
    with transaction.atomic():
        for model in models.values():
            model._base_manager.all().delete()
        for label, rows in release["rows"].items():
            fields = {field.attname: field for field in models[label]._meta.concrete_fields}
            made = [models[label](**{name: value_of(fields[name], row[name]) for name in row}) for row in rows]
            models[label]._base_manager.bulk_create(made)
    with connection.cursor() as cursor:
        for sql in connection.ops.sequence_reset_sql(no_style(), list(models.values())):
            cursor.execute(sql)
    return registry


def lost(release: Release) -> list[str]:
    """What this version's tables no longer say of the release's rows, a table and a column each."""
    from django.apps import apps

    models, found = models_of(apps), set()
    for label, rows in release["rows"].items():
        if label == GOES_ON:
            continue
        if label not in models:
            found.add(label)
            continue
        key = models[label]._meta.pk.attname
        now = {row[key]: row for row in rows_of(models[label])}
        for row in rows:
            kept = now.get(row[key], {})
            found |= {f"{label}.{name}" for name in row if name not in kept or kept[name] != row[name]}
    return sorted(found)


def keep(name: str) -> Path:
    """Write down what this version's migrations and its demo make."""
    from django.apps import apps
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader

    from infusion.operations.elsewhere import instead, sqlite_file

    file = FOLDER / f"{name}.json.gz"
    with TemporaryDirectory() as folder, instead(sqlite_file(Path(folder) / "release.sqlite3")):
        call_command("migrate", verbosity=0)
        call_command("demo", verbosity=0)
        rows = {label: rows_of(model) for label, model in models_of(apps).items()}
        release = {"migrations": sorted(MigrationLoader(connection).graph.leaf_nodes()), "rows": rows}
    content = json.dumps(release, sort_keys=True, separators=(",", ":")).encode()
    file.write_bytes(gzip.compress(content, mtime=0))
    return file


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    print(keep(sys.argv[1]))  # noqa: T201
