"""The desk's lists: filters in the address, judgements that are never stale, many encounters at once, lists kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from infusion import judgements, worklist
from infusion.actions import (
    Recorded,
    Refused,
    approve,
    hand_to_billing,
    hold,
    keep_claim_facts,
    release,
    save_encounter,
    save_view,
    take_back,
    undo,
    void,
    work_through,
)
from infusion.actions.claim_data import shown_digest
from infusion.models import (
    Administration,
    Approval,
    Batch,
    BatchClaim,
    Clinic,
    Coverage,
    Encounter,
    Judgement,
    Patient,
    SavedView,
    Selected,
    Selection,
    User,
    Vial,
)
from infusion.rule_use import lines_last_month
from infusion.selectors import review_of
from infusion.skips import finding_key
from infusion.views import home, selection
from infusion.worklist import ALL, WITH_BILLING, Listing, Worklist
from payers.actions import Departure, add_payer, publish_override
from payers.models import Payer
from tests.web.page import Page

State = Encounter.State
Make = Callable[..., Encounter]
DAY = date(2026, 3, 10)


@pytest.fixture
def make(clinic: Clinic, nurse: User, sarah: Recorded) -> Make:
    def write(
        reference: str = "MRN-1001", *, handed: bool = True, payer: Payer | None = None, **given: Any
    ) -> Encounter:
        administration = replace(sarah.facts.administrations[0], **given)
        recorded = replace(
            sarah, patient_reference=reference, payer=payer or sarah.payer,
            facts=replace(sarah.facts, administrations=(administration,)),
        )  # fmt: skip
        encounter = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=recorded)
        return hand_to_billing(by=nurse, encounter=encounter, version=encounter.version) if handed else encounter

    return write


@pytest.fixture
def billing(client: Client, biller: User) -> Client:
    client.force_login(biller)
    return client


def copies(original: Encounter, count: int, first: int = 2000) -> None:
    """More encounters like one, for other patients, written at once."""
    patients = Patient.objects.bulk_create(
        [Patient(clinic=original.clinic, reference=f"MRN-{number}") for number in range(first, first + count)]
    )
    rows = Encounter.objects.bulk_create(
        Encounter(
            clinic=original.clinic, client_id=uuid4(), version=original.version, state=original.state,
            patient=patient, payer=original.payer, setting=original.setting, date_of_service=DAY,
            place_of_service=original.place_of_service, diagnoses=original.diagnoses,
            recorded_by=original.recorded_by, entered_at=original.entered_at,
            handed_over_at=original.handed_over_at, handed_over_by=original.handed_over_by,
        )
        for patient in patients
    )  # fmt: skip
    given: Administration = original.administrations.get()
    copied = [
        Administration(
            encounter=row, position=0, drug=given.drug, route=given.route, started_at=given.started_at,
            stopped_at=given.stopped_at, ordered=given.ordered, administered=given.administered,
        )
        for row in rows
    ]  # fmt: skip
    Administration.objects.bulk_create(copied)
    Vial.objects.bulk_create([Vial(administration=row, position=0, amount=300, count=2) for row in copied])


def references(response: Any) -> list[str]:
    return [row.encounter.patient.reference for row in response.context["rows"]]


def rule(payer: Payer, parameter: str, value: object) -> None:
    departure = Departure(
        parameter=parameter, value=value, effective_from=date(2024, 1, 1), source_document="Summary",
        source_read_on=date(2026, 1, 12),
    )  # fmt: skip
    publish_override(by=None, payer=payer, departure=departure, status="unverified")


# The address ----------------------------------------------------------------------------------------------------------

HOSTILE = (
    "clinic__name", "-patient__name", "patient__birth_date", "?", "pk", "date_of_service", "date; DROP TABLE x",
    "--date", "date,pk", "date) FROM infusion_user --", "1", "-1", "1 ASC", "password", "recorded_by__password",
    "date%20desc", "DATE", " date", "date ", "${7*7}", "judgement__content_hash", "'", '"', "`",
    "date\n", "-", "",     *(f"{'-' * n}findings" for n in range(2, 6)), "a" * 5000,
)  # fmt: skip


def orders(client: Client, **asked: Any) -> list[str]:
    """How each query of a page orders its rows."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get("/encounters/", asked).status_code == 200
    return [
        re.sub(r"'[^']*'", "", each["sql"].rpartition("ORDER BY")[2]) for each in captured if "ORDER BY" in each["sql"]
    ]


@pytest.mark.usefixtures("no_touch_is_written")
def test_nothing_but_a_known_name_reaches_the_order(billing: Client, make: Make) -> None:
    make()
    plain = orders(billing, view=ALL)
    for payload in HOSTILE:
        assert orders(billing, view=ALL, sort=payload) == plain, payload
    assert orders(billing, view=ALL, sort="reference") != plain, "or no order is ever looked at"


def test_every_column_sorts_both_ways(billing: Client, make: Make, medicare: Payer) -> None:
    aetna = add_payer(by=None, slug="aetna", name="Aetna")
    rule(medicare, "step_therapy", "Copaxone")
    make("MRN-2")
    make("MRN-1", payer=aetna)
    for sort, expected in {
        "reference": ["MRN-1", "MRN-2"], "-reference": ["MRN-2", "MRN-1"], "payer": ["MRN-1", "MRN-2"],
        "-payer": ["MRN-2", "MRN-1"], "findings": ["MRN-1", "MRN-2"], "-findings": ["MRN-2", "MRN-1"],
        "-age": ["MRN-2", "MRN-1"], "age": ["MRN-1", "MRN-2"], "date": ["MRN-2", "MRN-1"], "-date": ["MRN-1", "MRN-2"],
    }.items():  # fmt: skip
        response = billing.get("/encounters/", {"view": ALL, "sort": sort})
        assert references(response) == expected, sort
        heads = re.findall(r'aria-sort="(\w+)"', response.text)
        assert heads == ["descending" if sort.startswith("-") else "ascending"]


def test_filters_narrow_and_each_can_be_taken_off(billing: Client, make: Make, nurse: User) -> None:
    aetna = add_payer(by=None, slug="aetna", name="Aetna")
    make("MRN-1")
    make("MRN-2", payer=aetna)
    make("MRN-3", handed=False, stop=None)
    held = make("MRN-4")
    hold(by=nurse, encounter=held, reason="Card.")
    for asked, expected in (
        ({"payer": "aetna"}, {"MRN-2"}),
        ({"payer": ["aetna", "medicare"]}, {"MRN-1", "MRN-2", "MRN-3", "MRN-4"}),
        ({"payer": "nobody"}, set()),
        ({"finding": "time.stop_missing"}, {"MRN-3"}),
        ({"state": "draft"}, {"MRN-3"}),
        ({"drug": "J2350", "hold": "yes"}, {"MRN-4"}),
        ({"drug": "J1745"}, set()),
        ({"hold": "no", "state": "with_billing"}, {"MRN-1", "MRN-2"}),
        ({"person": str(nurse.public_id), "payer": "aetna"}, {"MRN-2"}),
        ({"from": "2026-03-10", "until": "3/10/2026"}, {"MRN-1", "MRN-2", "MRN-3", "MRN-4"}),
        ({"person": str(uuid4())}, set()),
        ({"from": "2026-03-11"}, set()),
    ):  # fmt: skip
        response = billing.get("/encounters/", {"view": ALL, **asked})
        assert set(references(response)) == expected, asked
        assert response.context["chips"], asked
        for chip in response.context["chips"]:
            assert billing.get(f"/encounters/?{chip.query}").status_code == 200
    one, other = billing.get("/encounters/?view=all&payer=aetna&hold=no").context["chips"]
    assert (one.label, one.query) == ("Payer: Aetna", "view=all&hold=no")
    assert (other.label, other.query) == ("Not on hold", "view=all&payer=aetna")
    assert billing.get("/encounters/").context["chips"] == [], "a list begins unfiltered"


def test_what_an_address_says_wrongly_is_said(billing: Client, make: Make) -> None:
    make()
    for asked in ({"payer": "Sarah Lindqvist"}, {"view": "nonsense"}, {"from": "soon"}, {"hold": "maybe"}):
        response = billing.get("/encounters/", asked)
        assert response.context["listing"].unread
        assert "was left out" in response.text
        assert "Lindqvist" not in response.text


def test_a_colleague_gets_the_same_list_from_a_link(
    billing: Client, make: Make, admin_user: User, other_biller: User
) -> None:
    make("MRN-1")
    make("MRN-2", handed=False)
    link = "/encounters/?view=all&state=draft&sort=-reference"
    colleague, stranger = Client(), Client()
    colleague.force_login(admin_user)
    stranger.force_login(other_biller)
    assert references(colleague.get(link)) == references(billing.get(link)) == ["MRN-2"]
    assert references(stranger.get(link)) == []


def test_a_search_stays_out_of_every_address(billing: Client, make: Make, admin_user: User) -> None:
    make("Zq-77")
    make("Zq-78", handed=False)
    make("MRN-1")
    found = billing.post("/encounters/search/", {"reference": " zq-7 "}, follow=True)
    assert sorted(references(found)) == ["Zq-77", "Zq-78"], "a search looks through every encounter"
    told = [found.redirect_chain[-1][0], *Page(found.content).addresses]
    assert not [address for address in told if "zq" in address.lower()]
    assert "search=" in told[0]
    saved = billing.post("/encounters/lists/", {"name": "All", "query": told[0].partition("?")[2]})
    assert "search" not in SavedView.objects.get().query + saved.headers["Location"]
    colleague = Client()
    colleague.force_login(admin_user)
    theirs = colleague.get(told[0])
    assert "searched by a patient reference" in theirs.text
    assert len(references(theirs)) == 3


# Judgements -----------------------------------------------------------------------------------------------------------


def warnings_shown(client: Client) -> list[str]:
    return [row.readiness.words for row in client.get("/encounters/").context["rows"]]


def test_a_write_keeps_its_judgement(make: Make, biller: User) -> None:
    encounter = make()
    kept = Judgement.objects.get(encounter=encounter)
    review = review_of(encounter)
    assert (kept.encounter_version, kept.content_hash) == (encounter.version, review.content_hash)
    assert kept.lines == [["96365", [], 1], ["96366", [], 1], ["J2350", ["JZ"], 600]]
    approve(by=biller, encounter=encounter, version=2, content_hash=review.content_hash, acknowledged=())
    kept.refresh_from_db()
    assert kept.encounter_version == 3


def test_nobody_sees_a_judgement_of_other_rules(
    billing: Client, make: Make, medicare: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    assert warnings_shown(billing) == ["Ready"]
    rule(medicare, "step_therapy", "Copaxone")
    with monkeypatch.context() as patched:
        patched.setattr(judgements, "outdated", lambda clinic, digests: Encounter.objects.none())
        assert warnings_shown(billing) == ["Ready"], "without the look at what is out of date it would be stale"
    assert warnings_shown(billing) == ["2 warnings"]
    Judgement.objects.update(warnings=7)
    assert warnings_shown(billing) == ["7 warnings"], "what is up to date is not calculated again"


def test_an_update_of_the_program_or_the_tables_leaves_no_judgement(
    make: Make, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    assert judgements.refresh(clinic) == 0
    monkeypatch.setattr(judgements, "program_digest", lambda: "another")
    assert judgements.refresh(clinic) == 1
    assert judgements.refresh(clinic) == 0
    Clinic.objects.filter(pk=clinic.pk).update(sends_claims=False)
    assert judgements.refresh(clinic) == 1


def test_rows_beside_an_encounter_have_it_judged_anew(make: Make, clinic: Clinic, medicare: Payer) -> None:
    encounter, other = make(), make("MRN-2")
    assert "claim.coverage_missing" in Judgement.objects.get(encounter=encounter).findings
    Coverage.objects.create(patient=encounter.patient, payer=medicare, member_id="1", effective_from=date(2026, 1, 1))
    assert not Judgement.objects.filter(encounter=encounter).exists()
    assert judgements.refresh(clinic) == 1
    assert "claim.coverage_missing" not in Judgement.objects.get(encounter=encounter).findings
    assert "claim.coverage_missing" in Judgement.objects.get(encounter=other).findings


def given_on(sarah: Recorded, on: date, hour: int = 9, reference: str = "MRN-1001") -> Recorded:
    """The same dose on another day or at another hour."""
    start = datetime(on.year, on.month, on.day, hour)
    [given] = sarah.facts.administrations
    moved = replace(given, start=start, stop=start.replace(hour=hour + 2, minute=30))
    facts = replace(sarah.facts, administrations=(moved,), date_of_service=on)
    return replace(sarah, patient_reference=reference, date_of_service=on, facts=facts)


def told_of(encounter: Encounter) -> list[str]:
    judgements.refresh(encounter.clinic)
    return list(Judgement.objects.get(encounter=encounter).findings)


def test_a_dose_entered_later_is_judged_and_one_made_void_never_was_given(
    make: Make, clinic: Clinic, nurse: User, biller: User, medicare: Payer, sarah: Recorded
) -> None:
    rule(medicare, "minimum_days_between_doses", 150)
    encounter = make()
    assert "dose.too_soon" not in told_of(encounter)
    saved = save_encounter(
        by=nurse, clinic=clinic, client_id=uuid4(), recorded=given_on(sarah, date(2026, 2, 1))
    )  # fmt: skip
    assert "dose.too_soon" in told_of(encounter)
    early = hand_to_billing(by=nurse, encounter=saved, version=saved.version)
    review = review_of(early)
    keys = [finding_key(each) for each in review.statement.warnings]
    approve(by=biller, encounter=early, version=2, content_hash=review.content_hash, acknowledged=keys)
    void(by=biller, encounter=early, version=3, reason="Another patient's.")
    assert "dose.too_soon" not in told_of(encounter)
    assert "dose.too_soon" not in [each.code for each in review_of(encounter).statement.warnings]


@pytest.mark.parametrize("moved_to", [{"on": date(2026, 3, 9)}, {"on": DAY, "reference": "MRN-9"}])
def test_a_visit_that_moves_away_has_those_it_stood_beside_judged_anew(
    clinic: Clinic, nurse: User, sarah: Recorded, moved_to: dict[str, Any]
) -> None:
    first = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=sarah)
    saved = save_encounter(by=nurse, clinic=clinic, client_id=uuid4(), recorded=given_on(sarah, DAY, hour=15))
    second = hand_to_billing(by=nurse, encounter=saved, version=saved.version)
    assert "claim.second_visit" in told_of(second)
    save_encounter(
        by=nurse, clinic=clinic, client_id=first.client_id, public_id=first.public_id, version=first.version,
        recorded=given_on(sarah, **moved_to),
    )  # fmt: skip
    assert "claim.second_visit" not in told_of(second)


def test_a_trial_entered_is_judged(make: Make, biller: User) -> None:
    encounter = make()
    assert "claim.trial_drug_charged" not in told_of(encounter)
    shown = shown_digest(Encounter.objects.get(pk=encounter.pk))
    keep_claim_facts(by=biller, encounter=encounter, shown=shown, values={"trial_number": "01234567"})
    assert "claim.trial_drug_charged" in told_of(encounter)


def test_every_file_that_decides_is_in_the_digest_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(Path, "read_text", lambda path, *_, **__: read.append(f"{path.parent.name}/{path.name}") or "")
    judgements.program_digest.__wrapped__()
    assert set(read) >= {
        "payers/policy.py", "infusion/selectors.py", "infusion/money.py", "infusion/skips.py",
        "infusion/judgements.py", "infusion/claim_review.py", "services/calculate.py",
    }  # fmt: skip


def test_lines_approved_again_count_once_for_their_rule(
    make: Make, clinic: Clinic, biller: User, medicare: Payer
) -> None:
    rule(medicare, "zero_discard_modifier", "not_used")
    encounter = make()
    for version in (2, 4):
        content = review_of(encounter).content_hash
        keys = [finding_key(each) for each in review_of(encounter).statement.warnings]
        approve(by=biller, encounter=encounter, version=version, content_hash=content, acknowledged=keys)
        assert list(lines_last_month(clinic, "medicare", timezone.now().date()).values()) == [1]
        encounter.refresh_from_db()
        if version == 2:
            take_back(by=biller, encounter=encounter, version=3)
            assert lines_last_month(clinic, "medicare", timezone.now().date()) == {}


def test_what_is_approved_is_not_judged_again(make: Make, clinic: Clinic, medicare: Payer, biller: User) -> None:
    encounter = make()
    content = review_of(encounter).content_hash
    approve(by=biller, encounter=encounter, version=2, content_hash=content, acknowledged=())
    rule(medicare, "step_therapy", "Copaxone")
    assert judgements.refresh(clinic) == 0
    assert Judgement.objects.get(encounter=encounter).warnings == 0


@pytest.mark.usefixtures("no_touch_is_written")
@pytest.mark.parametrize(
    "asked", ["view=with-billing", "view=all&payer=medicare&drug=J2350&sort=-findings", "view=all"]
)
def test_queries_do_not_grow_with_the_list(billing: Client, make: Make, biller: User, asked: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert billing.get(f"/encounters/?{asked}").status_code == 200
        return len(captured)

    original = make()
    save_view(by=biller, name="One", query="view=all&payer=medicare", shared=False)
    copies(original, 5)
    queries()
    few = queries()
    copies(original, 120, first=3000)
    queries()
    save_view(by=biller, name="Two", query="view=approved", shared=False)
    assert queries() == few
    assert few < 36


def test_nothing_is_counted_further_than_anyone_reads(
    billing: Client, make: Make, biller: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies(make(), 7)
    SavedView.objects.create(clinic=biller.clinic, owner=biller, name="Mine", query="view=all")
    monkeypatch.setattr(worklist, "MOST_COUNTED", 2)
    monkeypatch.setattr(home, "ROWS_ON_A_PAGE", 2)

    def told(page: str) -> tuple[str, bool, list[str]]:
        response = billing.get("/encounters/", {"view": ALL, "page": page})
        text = " ".join(response.content.decode().split())
        return text, response.context["page"].has_next(), references(response)

    text, more, first = told("")
    assert "4+ encounters, 1 to 2 shown" in text
    assert "All 4+ that match" in text
    assert ">Page 1</span>" in text
    assert {f"{view.name} {view.total}" for view in billing.get("/encounters/").context["views"]} >= {
        "all 2+",
        "asked 0",
    }
    assert ">Mine <strong>2+</strong>" in text
    assert more
    text, more, last = told("4")
    assert "8 encounters, 7 to 8 shown" in text
    assert ">Page 4 of 4</span>" in text
    assert (more, set(first) & set(last)) == (False, set())
    for beyond in ("5", "99999999999", "-1", "x", "٣"):
        assert len(told(beyond)[2]) == 2, beyond


def test_what_matches_is_not_chosen_where_it_is_too_much(
    billing: Client, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies(make(), 2)
    monkeypatch.setattr(selection, "MOST_CHOSEN", 2)
    asked = {"query": "view=with-billing", "everything": "yes", "act": "approve"}
    reply = billing.post("/encounters/chosen/", asked, follow=True)
    assert "More than 2 match. Nothing was changed: set a filter first." in reply.content.decode()
    assert not Selection.objects.exists()
    monkeypatch.setattr(selection, "MOST_CHOSEN", 3)
    assert "Approve 3" in billing.post("/encounters/chosen/", asked, follow=True).content.decode()


def test_neighbours_follow_the_filters_and_the_order(make: Make, clinic: Clinic) -> None:
    aetna = add_payer(by=None, slug="aetna", name="Aetna")
    made = [make(f"MRN-{n}", payer=aetna if n % 2 else None) for n in range(6)]
    worklist = Worklist(clinic, DAY)
    place = worklist.place(made[3], Listing(WITH_BILLING, {"payer": ("aetna",)}, sort="-reference"))
    assert (place.number, place.total, place.previous, place.next) == (2, 3, made[5].public_id, made[1].public_id)
    place = worklist.place(made[2], Listing(WITH_BILLING, {"payer": ("aetna",)}))
    assert (place.number, place.total, place.previous, place.next) == (None, 3, made[1].public_id, made[3].public_id)


def test_nobody_walks_further_than_so_many(make: Make, clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [make(f"MRN-{n}") for n in range(5)]
    monkeypatch.setattr(worklist, "MOST_PLACED", 3)
    places = [Worklist(clinic, DAY).place(each, WITH_BILLING) for each in made]
    assert [place.number for place in places] == [1, 2, 3, 4, None]
    assert {place.total_words for place in places} == {"3+"}
    assert [places[3].previous, places[3].next, places[4].previous] == [made[2].public_id, None, None]


# Many at once ---------------------------------------------------------------------------------------------------------


def chosen(client: Client, **sent: Any) -> Selection:
    reply = client.post("/encounters/chosen/", {"act": "approve", "query": "view=with-billing", **sent})
    assert reply.status_code == 302
    return Selection.objects.get(public_id=reply.headers["Location"].split("/")[-2])


def outcomes(selection: Selection) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in selection.rows.all():
        found[row.outcome] = found.get(row.outcome, 0) + 1
    return found


def test_all_that_match_are_exactly_those(billing: Client, make: Make, biller: User) -> None:
    copies(make(), 311)
    first = billing.get("/encounters/")
    assert len(first.context["rows"]) == 50
    assert 'data-total="312"' in first.text
    fifty = chosen(billing, chosen=[str(row.encounter.public_id) for row in first.context["rows"]])
    assert fifty.rows.count() == 50
    all_of_them = chosen(billing, everything="yes")
    assert all_of_them.rows.count() == Encounter.objects.filter(state=State.WITH_BILLING).count() == 312
    shown = billing.get(f"/encounters/chosen/{all_of_them.public_id}/")
    assert (shown.context["total"], shown.context["waiting"], len(shown.context["rows"])) == (312, 312, 50)
    assert not Approval.objects.exists(), "looking approves nothing"

    make("MRN-9999")  # matches as well, and was not among those shown
    done = billing.post(f"/encounters/chosen/{fifty.public_id}/", {"act": "go"}, follow=True)
    while done.context["waiting"]:
        done = billing.post(f"/encounters/chosen/{fifty.public_id}/", {"act": "go"}, follow=True)
    assert done.context["done"] == Approval.objects.count() == 50
    while work_through(by=biller, selection=all_of_them):
        pass
    assert outcomes(all_of_them) == {"done": 262, "failed": 50}
    assert Approval.objects.count() == 312
    assert Encounter.objects.filter(state=State.WITH_BILLING).count() == 1
    failed = billing.get(f"/encounters/chosen/{all_of_them.public_id}/").context["failed"]
    assert sum(len(group.rows) for group in failed) == 50
    assert "has changed this encounter meanwhile" in failed[0].reason


def test_a_mixed_choice_says_first_what_cannot_be(billing: Client, make: Make, medicare: Payer, nurse: User) -> None:
    anthem = add_payer(by=None, slug="anthem", name="Anthem")
    rule(anthem, "step_therapy", "Copaxone")
    good, draft, warned, held = make("MRN-1"), make("MRN-2", handed=False), make("MRN-3", payer=anthem), make("MRN-4")
    changed = make("MRN-5")
    hold(by=nurse, encounter=held, reason="New card.")
    selection = chosen(billing, chosen=[str(each.public_id) for each in (good, draft, warned, held, changed)])
    page = billing.get(f"/encounters/chosen/{selection.public_id}/")
    why = {row.encounter.patient.reference: group.reason for group in page.context["unfit"] for row in group.rows}
    assert set(why) == {"MRN-2", "MRN-3", "MRN-4"}
    assert "draft" in why["MRN-2"]
    assert "Warnings to acknowledge: 2" in why["MRN-3"]
    assert "On hold: New card." in why["MRN-4"]
    assert all(reason in page.text for reason in set(why.values()))
    assert [row.encounter.patient.reference for row in page.context["rows"]] == ["MRN-1", "MRN-5"]

    rule(medicare, "additional_hour_minimum_minutes", 30)
    make("MRN-6")
    Encounter.objects.filter(pk=changed.pk).update(version=9)
    page = billing.post(f"/encounters/chosen/{selection.public_id}/", {"act": "go"}, follow=True)
    assert outcomes(selection) == {"unfit": 3, "failed": 2}, "both were shown with other lines, or another version"
    assert {group.reason[:20] for group in page.context["failed"]} == {"The lines have chang", "Someone else has cha"}
    assert not Approval.objects.exists()


def test_nothing_selected_is_an_error(billing: Client, make: Make) -> None:
    make()
    for sent in ({}, {"chosen": "nonsense"}, {"chosen": str(uuid4())}):
        reply = billing.post("/encounters/chosen/", {"act": "approve", **sent}, follow=True)
        assert "Nothing is selected" in reply.text
        assert 'role="alert"' in reply.text
    assert not Selection.objects.exists()


def test_a_neighbours_encounter_is_never_chosen(
    make: Make, client: Client, other_biller: User, billing: Client, admin_user: User
) -> None:
    mine = make()
    stranger = Client()
    stranger.force_login(other_biller)
    stranger.post("/encounters/chosen/", {"act": "approve", "chosen": str(mine.public_id)})
    assert not Selected.objects.exists()
    selection = chosen(billing, chosen=str(mine.public_id))
    assert stranger.get(f"/encounters/chosen/{selection.public_id}/").status_code == 404
    assert stranger.post(f"/encounters/chosen/{selection.public_id}/", {"act": "go"}).status_code == 404
    assert stranger.post(f"/encounters/{mine.public_id}/approve-shown/").status_code == 404
    mine.refresh_from_db()
    assert mine.state == State.WITH_BILLING


def test_a_second_press_does_nothing_again(billing: Client, make: Make) -> None:
    selection = chosen(billing, chosen=str(make().public_id))
    for _ in range(2):
        billing.post(f"/encounters/chosen/{selection.public_id}/", {"act": "go"})
    assert Approval.objects.count() == 1
    assert outcomes(selection) == {"done": 1}


def test_what_was_approved_can_be_taken_back_until_it_left(billing: Client, make: Make, biller: User) -> None:
    first, second = make("MRN-1"), make("MRN-2")
    selection = chosen(billing, chosen=[str(first.public_id), str(second.public_id)])
    work_through(by=biller, selection=selection)
    batch = Batch.objects.create(
        clinic=biller.clinic, client_id=uuid4(), number=4, made_by=biller, made_at=datetime(2026, 3, 11, tzinfo=UTC)
    )
    BatchClaim.objects.create(
        batch=batch, encounter=second, approval=second.approvals.get(), payer=second.payer, number="C1", frequency="1",
        content="{}", content_hash="0",
    )  # fmt: skip
    page = billing.post(f"/encounters/chosen/{selection.public_id}/", {"act": "undo"}, follow=True)
    assert outcomes(selection) == {"undone": 1, "kept": 1}
    assert [group.reason for group in page.context["kept"]] == [
        "Its lines have left in batch 4. Open a correction instead."
    ]
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == (State.WITH_BILLING, State.APPROVED)
    assert undo(by=biller, selection=selection) == 0
    with pytest.raises(Refused, match="not approved"):
        take_back(by=biller, encounter=first, version=first.version)
    again = approve(
        by=biller, encounter=first, version=first.version, content_hash=review_of(first).content_hash, acknowledged=()
    )
    assert Approval.objects.filter(encounter=first).count() == 2
    assert again.encounter_version == 5


def test_many_wait_with_one_reason(billing: Client, make: Make) -> None:
    encounter = make()
    selection = chosen(billing, act="hold", chosen=str(encounter.public_id))
    refused = billing.post(f"/encounters/chosen/{selection.public_id}/", {"act": "go", "reason": " "})
    assert refused.status_code == 422
    assert not encounter.holds.exists()
    billing.post(f"/encounters/chosen/{selection.public_id}/", {"act": "go", "reason": "New card."})
    assert encounter.holds.get().reason == "New card."
    billing.post(f"/encounters/chosen/{selection.public_id}/", {"act": "undo"})
    assert encounter.holds.get().released_at is not None


def test_taking_back_releases_no_hold_that_someone_else_placed_since(
    billing: Client, make: Make, biller: User, nurse: User
) -> None:
    first, second = make("MRN-1"), make("MRN-2")
    selection = chosen(billing, act="hold", chosen=[str(first.public_id), str(second.public_id)])
    work_through(by=biller, selection=selection, reason="New card.")
    release(by=biller, encounter=first, reason="It came.")
    theirs = hold(by=nurse, encounter=first, reason="The dose is asked about.")
    page = billing.post(f"/encounters/chosen/{selection.public_id}/", {"act": "undo"}, follow=True)
    assert outcomes(selection) == {"undone": 1, "kept": 1}
    assert "The hold of this list has been released since." in page.content.decode()
    theirs.refresh_from_db()
    assert theirs.released_at is None
    assert not second.holds.filter(released_at__isnull=True).exists()


def test_one_is_approved_as_the_list_showed_it(billing: Client, make: Make, medicare: Payer) -> None:
    def send(encounter: Encounter, row: Any) -> Any:
        sent = {"version": row.encounter.version, "content": row.content}
        return billing.post(f"/encounters/{encounter.public_id}/approve-shown/", sent)

    first, second = make("MRN-1"), make("MRN-2")
    rows = billing.get("/encounters/").context["rows"]
    reply = send(first, rows[0])
    assert (reply.status_code, reply.json()["said"]) == (200, "MRN-1 is approved.")
    rule(medicare, "additional_hour_minimum_minutes", 30)
    reply = send(second, rows[1])
    assert (reply.status_code, "have changed since they were shown" in reply.json()["said"]) == (409, True)
    rule(medicare, "step_therapy", "Copaxone")
    reply = send(second, billing.get("/encounters/").context["rows"][0])
    assert (reply.status_code, "left to acknowledge" in reply.json()["said"]) == (409, True)
    back = billing.post(f"/encounters/{first.public_id}/take-back/", {"version": 3})
    assert (back.status_code, back.json()["version"]) == (200, 4)


# Lists under a name, and keys -----------------------------------------------------------------------------------------


def test_saved_lists_are_ones_own_or_shared(
    billing: Client, make: Make, admin_user: User, other_biller: User, biller: User
) -> None:
    make("MRN-1")
    make("MRN-2", handed=False)
    colleague, stranger = Client(), Client()
    colleague.force_login(admin_user)
    stranger.force_login(other_biller)
    billing.post("/encounters/lists/", {"name": "Drafts", "query": "view=all&state=draft", "shared": "yes"})
    billing.post("/encounters/lists/", {"name": "Mine", "query": "view=with-billing"})

    def lists(client: Client) -> list[tuple[str, int, bool]]:
        return [(each.view.name, each.count, each.mine) for each in client.get("/encounters/").context["kept"]]

    assert lists(billing) == [("Drafts", 1, True), ("Mine", 1, True)]
    assert lists(colleague) == [("Drafts", 1, False)]
    assert lists(stranger) == []
    view = SavedView.objects.get(name="Drafts")
    for other in (colleague, stranger):
        for sent in ({"name": "Taken"}, {"act": "delete"}):
            assert other.post(f"/encounters/lists/{view.public_id}/", sent).status_code == 404
    billing.post(f"/encounters/lists/{view.public_id}/", {"name": "Old drafts"})
    assert (lists(billing)[1], lists(colleague)) == (("Old drafts", 1, True), [])
    said = billing.post("/encounters/lists/", {"name": "Mine", "query": "view=all"}, follow=True)
    assert "You have a list called Mine already." in said.text
    billing.post(f"/encounters/lists/{view.public_id}/", {"act": "delete"})
    assert lists(billing) == [("Mine", 1, True)]


def test_a_list_is_kept_as_it_is_understood(billing: Client, make: Make) -> None:
    billing.post(
        "/encounters/lists/", {"name": "Odd", "query": "view=all&sort=pk&payer=%27OR 1=1&next=//evil&drug=J2350"}
    )
    assert SavedView.objects.get().query == "view=all&drug=J2350"


def test_the_keys_can_be_turned_off_for_oneself(billing: Client, make: Make, biller: User) -> None:
    make()
    assert 'data-keys="on"' in billing.get("/encounters/").text
    billing.post("/encounters/keys/", {"on": "no", "query": "view=all"})
    assert 'data-keys="off"' in billing.get("/encounters/").text
    biller.refresh_from_db()
    assert not biller.single_keys
