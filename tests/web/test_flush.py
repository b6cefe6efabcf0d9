"""A transactional test leaves the database's own guards behind for the next one."""

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from infusion.actions import Recorded, save_encounter
from infusion.audit import AuditEvent
from infusion.capture import recorded_models
from infusion.models import Clinic, Encounter, User
from infusion.selectors import review_of

GUARDED = (
    "infusion_auditchange", "infusion_auditevent", "infusion_approval", "infusion_batch", "infusion_batchclaim",
    "infusion_batchfile", "infusion_batchline", "infusion_drugrow", "infusion_reading", "payers_policyoverride",
)  # fmt: skip


def guards() -> set[tuple[str, str]]:
    """Table and trigger of every guard that is switched on."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger'")
        else:
            cursor.execute(
                "SELECT relname, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
                "WHERE NOT tgisinternal AND tgenabled <> 'D'"
            )
        return {(table, name) for table, name in cursor.fetchall()}


@pytest.mark.django_db(transaction=True)
def test_emptying_the_tables_leaves_the_guards(nurse: User, clinic: Clinic, sarah: Recorded) -> None:
    before = guards()
    assert {table for table, name in before if "_written" not in name} == set(GUARDED)
    kept = {table for table, name in before if "_written" in name}
    assert kept == {each._meta.db_table for each in recorded_models()}
    save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    with CaptureQueriesContext(connection) as asked:
        call_command("flush", interactive=False, verbosity=0)
    assert any("infusion_auditevent" in each["sql"] for each in asked)
    assert not Encounter.objects.exists()
    assert guards() == before


@pytest.mark.django_db(transaction=True)
def test_the_guards_still_refuse_after_a_flush(nurse: User, clinic: Clinic, sarah: Recorded) -> None:
    call_command("flush", interactive=False, verbosity=0)
    clinic.pk = nurse.pk = None
    clinic.save()
    nurse.clinic = clinic
    nurse.save()
    sarah.payer.save(force_insert=True)
    save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=replace(sarah, payer=sarah.payer))
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEvent.objects.all().delete()


def test_the_roles_exist_in_every_installation(db: None) -> None:
    """Run after a transactional test they are gone, so the migration itself is asked."""
    Group.objects.all().delete()
    import_module("infusion.migrations.0004_groups").add(apps, SimpleNamespace(connection=connection))
    assert set(Group.objects.values_list("name", flat=True)) == {"nurse", "billing", "admin"}


def test_the_worked_example_under_medicare(nurse: User, clinic: Clinic, sarah: Recorded) -> None:
    stored = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    statement = review_of(stored).statement
    assert [(line.code, line.modifiers, line.units) for line in statement.lines] == [
        ("96365", (), 1),
        ("96366", (), 1),
        ("J2350", ("JZ",), 600),
    ]
    assert not statement.errors
    assert not statement.warnings
