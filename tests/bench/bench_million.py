"""The worklist of a clinic with a million encounters beside that of one with a thousand: `make bench`, on PostgreSQL.

The thousand are a year of one clinic. The million are a year of a clinic ten times as large, with ten times as much
waiting on its desk, and all that was approved there in the years before.
"""

from __future__ import annotations

from statistics import median, quantiles
from time import perf_counter

import pytest
from django.db import connection
from django.test import Client

from infusion import idle
from infusion.management.demo_years import Year
from infusion.models import Clinic, Encounter, Judgement, User
from payers.models import Payer
from tests.bench.bench_worklist import queries

FEW, LATELY, MANY, TURNS = 1_000, 10_000, 1_000_000, 30
MOST_TIMES = 1.5
LISTS = ("with-billing", "warnings", "blocked", "approved", "all")
# Each approved encounter of the year with what was given and how it was judged, once more for each year before.
EARLIER = """
CREATE TEMPORARY TABLE earlier AS
SELECT nextval('infusion_encounter_id_seq') AS id, old.id AS old_id, years
FROM infusion_encounter old, generate_series(1, %(years)s) AS years
WHERE old.clinic_id = %(clinic)s AND old.state = 'approved' LIMIT %(count)s;
INSERT INTO infusion_encounter ({encounter})
SELECT {encounter_values} FROM earlier JOIN infusion_encounter old ON old.id = earlier.old_id;
INSERT INTO infusion_administration ({administration})
SELECT {administration_values} FROM earlier JOIN infusion_administration old ON old.encounter_id = earlier.old_id;
INSERT INTO infusion_judgement ({judgement})
SELECT {judgement_values} FROM earlier JOIN infusion_judgement old ON old.encounter_id = earlier.old_id
"""
NEW = {
    "encounter": {
        "id": "earlier.id", "public_id": "gen_random_uuid()", "client_id": "gen_random_uuid()",
        "date_of_service": "old.date_of_service - 365 * years",
    },
    "administration": {"id": "nextval('infusion_administration_id_seq')", "encounter_id": "earlier.id"},
    "judgement": {"encounter_id": "earlier.id"},
}  # fmt: skip


def add_the_years_before(clinic: Clinic, count: int) -> None:
    words = {}
    for name, new in NEW.items():
        with connection.cursor() as cursor:
            columns = [each.name for each in connection.introspection.get_table_description(cursor, f"infusion_{name}")]
        words[name] = ", ".join(f'"{column}"' for column in columns)
        words[f"{name}_values"] = ", ".join(new.get(column, f'old."{column}"') for column in columns)
    approved = Encounter.objects.filter(clinic=clinic, state="approved").count()
    with connection.cursor() as cursor:
        cursor.execute(EARLIER.format(**words), {"years": -(-count // approved), "clinic": clinic.pk, "count": count})
        cursor.execute("VACUUM ANALYZE")  # as PostgreSQL does by itself


def seconds(client: Client, address: str) -> float:
    began = perf_counter()
    assert client.get(address).status_code == 200
    return perf_counter() - began


@pytest.mark.skipif(connection.vendor != "postgresql", reason="a million encounters are kept on PostgreSQL")
@pytest.mark.django_db(transaction=True)
def test_a_million_cost_hardly_more_than_a_thousand(
    clinic: Clinic, nurse: User, biller: User, other_clinic: Clinic, other_nurse: User, other_biller: User,
    medicare: Payer, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(idle, "WRITTEN_EVERY_SECONDS", 3600)
    Year(clinic, [nurse], biller, FEW).add()
    Year(other_clinic, [other_nurse], other_biller, LATELY).add()
    add_the_years_before(other_clinic, MANY - LATELY)
    assert Encounter.objects.filter(clinic=other_clinic).count() == MANY
    assert Judgement.objects.filter(encounter__clinic=other_clinic).count() == MANY
    few, many = Client(), Client()
    few.force_login(biller)
    many.force_login(other_biller)
    told = [f"{'list':14}{FEW:>11,}{MANY:>12,}  times    p95  queries"]
    wrong: list[str] = []
    for name in LISTS:
        address = f"/encounters/?view={name}"
        seconds(few, address), seconds(many, address)
        times = [(seconds(few, address), seconds(many, address)) for _ in range(TURNS)]
        first, second = (median(column) * 1000 for column in zip(*times, strict=True))
        p95 = quantiles([pair[1] for pair in times], n=20)[-1] * 1000
        asked = queries(few, address), queries(many, address)
        told.append(
            f"{name:14}{first:8.0f} ms{second:9.0f} ms  {second / first:5.2f}{p95:4.0f} ms  {asked[0]}, {asked[1]}"
        )
        if second > MOST_TIMES * first or asked[0] != asked[1]:
            wrong.append(told[-1])
    print("\n" + "\n".join(told))  # noqa: T201
    assert wrong == []
