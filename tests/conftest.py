"""Fixtures for every test: two clinics, their people, and the worked example as a nurse records it.

A transactional test (the live server needs one) empties the tables at its end, which the database's own triggers
refuse. They are lifted around that one statement list and put back in the same transaction.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection
from django.db.backends.base.operations import BaseDatabaseOperations

from infusion.access import ADMIN, BILLING, NURSE
from infusion.actions import Recorded, approve, hand_to_billing, save_encounter
from infusion.models import Clinic, Encounter, User
from infusion.selectors import review_of
from infusion.services import facts
from payers.actions import add_payer
from payers.models import Payer

# Playwright keeps an event loop on the test's thread, and Django would then refuse to touch the database.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

PASSWORD = "infusion-test"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that drive a browser, which waits more than it works, are spread evenly among the others."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    among: list[list[list[pytest.Item]]] = [[], []]
    for tests in files.values():
        among["browser" in tests[0].path.parts].append(tests)
    places = [((place + 0.5) / len(kind), tests) for kind in among for place, tests in enumerate(kind)]
    items[:] = [item for _, tests in sorted(places, key=itemgetter(0)) for item in tests]


_flush = BaseDatabaseOperations.execute_sql_flush


def flush_without_triggers(operations: BaseDatabaseOperations, statements: list[str]) -> None:
    """Empties the tables, which the triggers would refuse, and leaves the triggers as they were."""
    connection = operations.connection
    if connection.vendor == "sqlite":
        # Those that only write down what goes are left in force: there are a hundred, and their table goes last.
        triggers = {name: sql for name, sql in sqlite_triggers(connection).items() if "RAISE" in sql}
        lifted = [f'DROP TRIGGER "{name}"' for name in triggers]
        _flush(operations, [*lifted, *statements, "DELETE FROM infusion_auditchange", *triggers.values()])
        return
    for last in (False, False, True):
        try:
            _flush(operations, ["SET LOCAL session_replication_role = replica", *statements])
            return
        except OperationalError as problem:
            # A page that was closed may have left a request behind, which holds one table and wants another.
            if last or "deadlock" not in str(problem):
                raise


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """The lock of `migrate` beside a test's database goes with it."""
    yield
    Path(f"{connection.settings_dict['NAME']}.migrating").unlink(missing_ok=True)


def sqlite_triggers(connection: Any) -> dict[str, str]:
    """The SQL of every trigger, by its name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
        return dict(cursor.fetchall())


BaseDatabaseOperations.execute_sql_flush = flush_without_triggers  # type: ignore[method-assign]


@pytest.fixture
def password() -> str:
    """What every person of these fixtures signs in with."""
    return PASSWORD


@pytest.fixture
def clinic(db: None) -> Clinic:
    return Clinic.objects.create(name="Riverside Infusion Center", time_zone="America/New_York")


@pytest.fixture
def other_clinic(db: None) -> Clinic:
    return Clinic.objects.create(name="Hillside Infusion", time_zone="America/Chicago")


@pytest.fixture
def person(db: None) -> Callable[..., User]:
    """Makes someone who signs in: person("nurse", NURSE, clinic)."""

    def make(username: str, role: str, clinic: Clinic | None, **more: Any) -> User:
        user = User.objects.create_user(username, password=PASSWORD, clinic=clinic, **more)
        if role:
            # A transactional test before this one has emptied the table that the migration filled.
            user.groups.add(Group.objects.get_or_create(name=role)[0])
        return user

    return make


@pytest.fixture
def nurse(person: Callable[..., User], clinic: Clinic) -> User:
    return person("nurse", NURSE, clinic, first_name="L.", last_name="Ames", credentials="RN")


@pytest.fixture
def biller(person: Callable[..., User], clinic: Clinic) -> User:
    return person("billing", BILLING, clinic, first_name="D.", last_name="Reyes")


@pytest.fixture
def admin_user(person: Callable[..., User], clinic: Clinic) -> User:
    return person("admin", ADMIN, clinic, first_name="M.", last_name="Osei")


@pytest.fixture
def admin2(person: Callable[..., User], clinic: Clinic) -> User:
    return person("admin2", ADMIN, clinic, first_name="K.", last_name="Lund")


@pytest.fixture
def other_nurse(person: Callable[..., User], other_clinic: Clinic) -> User:
    return person("nurse2", NURSE, other_clinic, first_name="P.", last_name="Quist", credentials="RN")


@pytest.fixture
def other_biller(person: Callable[..., User], other_clinic: Clinic) -> User:
    return person("billing2", BILLING, other_clinic, first_name="T.", last_name="Vance")


@pytest.fixture
def medicare(db: None) -> Payer:
    """Medicare with nothing but the national baseline."""
    return add_payer(by=None, slug="medicare", name="Medicare")


@pytest.fixture
def sarah(medicare: Payer) -> Recorded:
    """The worked example: 600 mg of ocrelizumab out of two vials from 9:00 to 11:30."""
    given = facts.Administration(
        id="a1",
        route="iv_infusion",
        drug="J2350",
        start=datetime(2026, 3, 10, 9, 0),
        stop=datetime(2026, 3, 10, 11, 30),
        ordered=Decimal(600),
        administered=Decimal(600),
        vials=(facts.Vial(amount=Decimal(300), count=2),),
    )
    return Recorded(
        patient_reference="MRN-1001",
        patient_name="Sarah Lindqvist",
        birth_date=date(1984, 6, 2),
        sex="F",
        payer=medicare,
        date_of_service=date(2026, 3, 10),
        place_of_service="11",
        facts=facts.Encounter(
            time_zone="America/New_York",
            setting="office",
            date_of_service=date(2026, 3, 10),
            diagnoses=("G35.A",),
            administrations=(given,),
        ),
    )


@pytest.fixture
def visited(clinic: Clinic, nurse: User, biller: User, sarah: Recorded) -> Callable[..., Encounter]:
    """An encounter of so many minutes that began at nine, approved or with billing."""

    def make(minutes: int, payer: Payer, day: date = date(2026, 3, 9), until: str = "approved") -> Encounter:
        begin = datetime(day.year, day.month, day.day, 9, 0)
        [given] = sarah.facts.administrations
        given = replace(given, start=begin, stop=begin + timedelta(minutes=minutes))
        record = replace(sarah.facts, administrations=(given,), date_of_service=day)
        recorded = replace(
            sarah, facts=record, date_of_service=day, payer=payer, patient_reference=f"P-{minutes}-{day.day}"
        )
        encounter = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=recorded)
        encounter = hand_to_billing(by=nurse, encounter=encounter, version=encounter.version)
        if until == "approved":
            approve(
                by=biller, encounter=encounter, version=encounter.version,
                content_hash=review_of(encounter).content_hash, acknowledged=(),
            )  # fmt: skip
        encounter.refresh_from_db()
        return encounter

    return make
