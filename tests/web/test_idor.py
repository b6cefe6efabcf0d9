"""Another clinic's records are not there: not through an address, not through a field, not in a list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from infusion.actions import document_of
from infusion.models import Administration, Encounter, Patient
from infusion.selectors import encounters_of, with_record
from tests.web.access_table import ADMIN, BILLING, NURSE, TABLE
from tests.web.conftest import House, everything
from tests.web.page import Form, Page
from tests.web.routes import Route, routes

UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
OF_AN_ENCOUNTER = [route for route in routes() if route.path.startswith("encounters/") and route.parameters]


def kept(house: House) -> dict[str, Any]:
    """All that is stored of a clinic's patients and encounters."""
    rows = with_record(encounters_of(house.clinic))
    patients = Patient.objects.filter(clinic=house.clinic).order_by("pk").values_list()
    return {"patients": list(patients), **{str(each.public_id): document_of(each) for each in rows}}


def asked_by_neighbours(house: House, next_door: House, asked: Sequence[Route]) -> Iterator[tuple[str, int]]:
    """What each person next door gets from these routes, for each of this clinic's encounters."""
    for role in (NURSE, BILLING, ADMIN):
        client = Client()
        client.force_login(next_door.people[role])
        for route in asked:
            for method, roles in TABLE[route.name].items():
                for encounter in house.encounters if role in roles else ():
                    address = route.address({"public_id": encounter.public_id, "number": 1})
                    reply = getattr(client, method.lower())(address)
                    yield f"{method} {route.name} as {role}", reply.status_code


def test_an_address_of_another_clinic_leads_nowhere(house: House, next_door: House) -> None:
    assert len(OF_AN_ENCOUNTER) >= 4
    before = everything()
    found = list(asked_by_neighbours(house, next_door, OF_AN_ENCOUNTER))
    assert len(found) >= 40
    assert [told for told in found if told[1] != 404] == []
    after = everything()
    for label in ("infusion.User",):  # the last sign-in
        before.pop(label), after.pop(label)
    assert after == before


def test_a_look_up_that_forgets_the_clinic_is_seen(
    house: House, next_door: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def any_encounter(user: Any, public_id: UUID) -> Encounter | None:
        return with_record(Encounter.objects.select_related("patient", "payer", "recorded_by")).get(public_id=public_id)

    for module in ("encounters", "review"):
        monkeypatch.setattr(f"infusion.views.{module}.encounter_for", any_encounter)
    careless = [route for route in OF_AN_ENCOUNTER if route.name in ("encounter", "review")]
    found = {told for told, status in asked_by_neighbours(house, next_door, careless) if status != 404}
    assert {"GET encounter as nurse", "GET review as billing"} <= found


def test_it_is_told_apart_from_nothing_by_no_word(house: House, next_door: House) -> None:
    """The reply for a record of another clinic is the reply for one that does not exist."""
    client = Client()
    client.force_login(next_door.people[BILLING])

    def words(reply: HttpResponse) -> str:
        return re.sub(r'name="csrfmiddlewaretoken" value="[^"]*"', "", reply.content.decode())

    theirs = client.get(reverse("review", args=[house.with_billing.public_id]))
    nobodys = client.get(reverse("review", args=[uuid4()]))
    assert (words(theirs), theirs.status_code) == (words(nobodys), 404)


@pytest.mark.parametrize("role", [NURSE, BILLING, ADMIN])
def test_no_list_names_another_clinics_patients(house: House, next_door: House, role: str) -> None:
    client = Client()
    client.force_login(next_door.people[role])
    for view in ("", "all", "approved", "with-billing", "today"):
        text = client.get(reverse("encounters"), {"view": view}).content.decode()
        assert not [each for each in house.encounters if each.patient.reference in text]
    text = client.get(reverse("encounters"), {"view": "all"}).content.decode()
    assert next_door.draft.patient.reference in text, "or nothing is listed at all"


# Ids in the fields of a form ------------------------------------------------------------------------------------------


def with_ids_of(other: Encounter, form: Form) -> dict[str, str]:
    """The form's fields, each id in it swapped for the neighbour's, and every id that a careless view might read."""
    given: Administration = other.administrations.first()  # type: ignore[assignment]
    ids = {
        "id": other.pk, "pk": other.pk, "encounter": other.pk, "encounter_id": other.pk, "patient": other.patient_id,
        "patient_id": other.patient_id, "clinic": other.clinic_id, "clinic_id": other.clinic_id,
        "public_id": other.public_id, "administration": given.pk, "administration_id": given.pk, "d1-id": given.pk,
        "vial_id": given.vials.first().pk, "d1-v1-id": given.vials.first().pk,  # type: ignore[union-attr]
        "patient_reference": other.patient.reference,
    }  # fmt: skip
    swapped = {name: UUID_TEXT.sub(str(other.client_id), value) for name, value in form.fields.items()}
    return {**swapped, **{name: str(value) for name, value in ids.items()}}


@pytest.mark.parametrize(
    ("role", "page", "sent_to", "chosen"),
    [
        (NURSE, "encounter", "encounter", {"act": "save"}),
        (NURSE, "encounter", "encounter", {"act": "hand-over"}),
        (NURSE, "encounter-new", "encounter-new", {"act": "save", "payer": "medicare", "date": "2026-03-10"}),
        (BILLING, "review", "approve", {}),
        (BILLING, "review", "return", {"question": "Why?"}),
    ],
)
def test_an_id_in_a_field_reaches_nothing_next_door(
    house: House, next_door: House, role: str, page: str, sent_to: str, chosen: dict[str, str]
) -> None:
    client = Client()
    client.force_login(house.people[role])
    own = house.draft if role == NURSE else house.with_billing

    def address(name: str) -> str:
        return reverse(name, args=[] if name == "encounter-new" else [own.public_id])

    form = Page(client.get(address(page)).content).form_to(address(sent_to))
    before = kept(next_door)
    for other in next_door.encounters:
        client.post(address(sent_to), {**with_ids_of(other, form), **chosen})
    assert kept(next_door) == before
    assert not Encounter.objects.filter(clinic=house.clinic, patient__clinic=next_door.clinic).exists()
    own.refresh_from_db()
    assert own.clinic == house.clinic


def test_the_same_form_with_its_own_ids_writes(house: House, next_door: House) -> None:
    """Or the test above would pass because nothing is ever written."""
    client = Client()
    client.force_login(house.people[NURSE])
    address = reverse("encounter", args=[house.draft.public_id])
    form = Page(client.get(address).content).form_to(address)
    before = kept(house)
    client.post(address, {**form.fields, "act": "save", "d1-ordered": "601"})
    after = kept(house)
    changed = [key for key in after if after[key] != before[key]]
    assert changed == [str(house.draft.public_id)]
    assert after[changed[0]]["record"]["administrations"][0]["ordered"] == "601"
