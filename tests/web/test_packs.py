"""Rule packs: what goes out comes in the same elsewhere, as proposals; what is wrong brings in nothing."""

from datetime import date
from decimal import Decimal

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from payers.actions import Departure, Refused, add_payer, draft_override, publish_override
from payers.models import Payer, PolicyOverride, Proposal
from payers.pack import Unreadable, adopt_pack, differences, pack_text, read_pack
from payers.policy import PARAMETERS
from payers.proposals import publish_proposal
from payers.selectors import overrides_known, policy_for
from payers.shipped import SHIPPED, load_shipped
from tests.web.conftest import everything

pytestmark = pytest.mark.django_db
TODAY = date(2026, 3, 10)
CITED = {"source_document": "Bulletin", "source_read_on": date(2026, 1, 2)}
RULE = """
[[payer]]
slug = "plan"
name = "Plan"

[[payer.override]]
parameter = "additional_hour_minimum_minutes"
value = 30
effective_from = 2026-04-01
source_document = "Bulletin"
source_read_on = 2026-01-02
"""


@pytest.fixture(autouse=True)
def on_march_10():
    with time_machine.travel("2026-03-10T15:00:00Z", tick=False):
        yield


def published(payer, parameter, value, first=date(2024, 1, 1), **more):
    departure = Departure(parameter=parameter, value=value, effective_from=first, **CITED, **more)
    return publish_override(by=None, payer=payer, departure=departure, status="unverified")


def said(payer):
    """What a payer's published rules say, without who and when."""
    return sorted(
        (row.parameter, row.setting, row.drug, str(row.value), row.effective_from, row.effective_until, row.note)
        for row in overrides_known(payer).exclude(status="draft")
    )


def test_what_goes_out_comes_in_the_same(medicare: Payer, admin_user, admin2) -> None:
    published(medicare, "discarded_drug", "not_billed", note='Says "none"\nand more', drug="J2350", setting="office")
    published(medicare, "maximum_claim_charge", Decimal("99999.99"), effective_until=date(2026, 12, 31))
    published(medicare, "maximum_units_per_line", None)
    published(medicare, "accepted_diagnoses", ("G35.A", "G35.D"))
    published(medicare, "ndc_required", True, first=date(2025, 1, 1))
    before = said(medicare)
    pack = read_pack(pack_text([medicare]).replace('"medicare"', '"elsewhere"').replace('"Medicare"', '"Elsewhere"'))
    done = adopt_pack(by=admin_user, pack=pack, today=TODAY)
    assert (done.payers, done.proposed, done.drafts) == (1, 5, 0)
    elsewhere = Payer.objects.get(slug="elsewhere")
    assert said(elsewhere) == []
    for proposal in Proposal.objects.all():
        publish_proposal(by=admin2, proposal=proposal)
    assert said(elsewhere) == before
    assert {found.kind for found in differences(read_pack(pack_text([medicare, elsewhere])))} == {"same"}


def test_nothing_holds_before_a_second_admin_publishes_it(db, admin_user) -> None:
    adopt_pack(by=admin_user, pack=read_pack(RULE), today=TODAY)
    plan = Payer.objects.get(slug="plan")
    assert policy_for(plan).on(date(2026, 5, 1), "office").look_up("additional_hour_minimum_minutes").value == 31
    assert plan.proposals.get().status == "unverified"


def test_the_shipped_file_is_a_pack(db) -> None:
    load_shipped(adopt=True)
    assert {found.kind for found in differences(read_pack(SHIPPED.read_text()))} == {"same"}


def test_drafts_stay_at_home(medicare: Payer, admin_user) -> None:
    departure = Departure(parameter="ndc_required", value=True, effective_from=date(2026, 4, 1), **CITED)
    draft_override(by=admin_user, payer=medicare, departure=departure)
    assert [packed.rules for packed in read_pack(pack_text([medicare]))] == [()]


def test_a_changed_rule_and_one_in_the_way_are_told_apart(db, admin_user) -> None:
    plan = add_payer(by=None, slug="plan", name="Plan")
    published(plan, "additional_hour_minimum_minutes", 60, first=date(2026, 4, 1))
    [found] = differences(read_pack(RULE))
    assert (found.kind, found.value, found.value_here) == ("changed", "30 minutes", "60 minutes")
    [found] = differences(read_pack(RULE.replace("2026-04-01", "2026-05-01")))
    assert found.kind == "in the way"
    done = adopt_pack(by=admin_user, pack=read_pack(RULE.replace("2026-04-01", "2026-05-01")), today=TODAY)
    assert (done.proposed, done.drafts) == (0, 1)
    assert PolicyOverride.objects.filter(status="draft").count() == 1


@pytest.mark.parametrize(("old", "new", "sentence"), [
    ("30\n", "61\n", "takes a whole number from 1 to 60"),
    ("30\n", '"30"\n', "takes a whole number from 1 to 60"),
    ("additional_hour_minimum_minutes", "no_such", "no_such is not a policy parameter"),
    ("2026-04-01", '"soon"', "effective_from has to be a day"),
    ('source_document = "Bulletin"\n', "", "source_document is missing"),
    ("value = 30", "value = 30\ntypo = 1", "typo is not known here"),
    ("value = 30", 'value = 30\nsetting = "ward"', "ward is not a setting"),
    ("value = 30", "value = 30\neffective_until = 2026-03-31", "its last day lies before its first"),
    ('slug = "plan"', 'slug = "No Slug"', "its slug is missing or not made of"),
    ('name = "Plan"', 'name = ""', "its name is missing"),
    ("[[payer]]", "[payer", "not readable as TOML"),
    ('"Bulletin"', f'"{"x" * 201}"', "at most 200 characters"),
])  # fmt: skip
def test_what_is_wrong_is_said_and_brings_in_nothing(db, old, new, sentence) -> None:
    assert old in RULE
    with pytest.raises(Unreadable) as refused:
        read_pack(RULE.replace(old, new, 1))
    assert any(sentence in problem for problem in refused.value.problems), refused.value.problems


def test_nothing_is_half_brought_in(db, admin_user) -> None:
    before = everything()
    pack = read_pack(RULE + RULE.replace('"plan"', '"plan-two"'))
    with pytest.raises(Refused, match="A payer called Plan is here already"):
        adopt_pack(by=admin_user, pack=pack, today=TODAY)
    assert everything() == before


def test_every_parameter_survives_the_journey(medicare: Payer) -> None:
    for name, parameter in PARAMETERS.items():
        published(medicare, name, parameter.default)
    [packed] = read_pack(pack_text([medicare]))
    assert {rule.parameter: PARAMETERS[rule.parameter].clean(rule.value) for rule in packed.rules} == {
        name: parameter.default for name, parameter in PARAMETERS.items()
    }


# The pages ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(client: Client, admin_user) -> Client:
    client.force_login(admin_user)
    return client


def test_a_pack_is_looked_at_and_then_proposed(admin: Client) -> None:
    before = everything()
    file = SimpleUploadedFile("payers.toml", RULE.encode())
    response = admin.post(reverse("payers:pack"), {"file": file, "act": "look"})
    assert [found.kind for found in response.context["differences"]] == ["new"]
    assert {label: rows for label, rows in everything().items() if label != "sessions.Session"} == {
        label: rows for label, rows in before.items() if label != "sessions.Session"
    }
    admin.post(reverse("payers:pack"), {"text": response.context["text"], "act": "adopt"})
    assert Payer.objects.get().proposals.count() == 1


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[[payer]]\n", b"x" * 1_000_001])
def test_what_is_no_pack_is_said_at_the_field(admin: Client, content: bytes) -> None:
    file = SimpleUploadedFile("payers.toml", content)
    response = admin.post(reverse("payers:pack"), {"file": file, "act": "look"})
    assert {issue["field"] for issue in response.context["issues"]} == {"file"}
    assert not Payer.objects.exists()


def test_more_tables_than_any_pack_has_are_refused_before_they_are_read() -> None:
    with pytest.raises(Unreadable, match="more than 5,000 rules"):
        read_pack(" [[payer]]\n" * 20_001 + "not toml")
    with pytest.raises(Unreadable, match="not readable as TOML"):
        read_pack("[[payer]]\n" * 20_000 + "not toml")


def test_the_file_is_what_the_pack_says(admin: Client, medicare: Payer) -> None:
    published(medicare, "ndc_required", True)
    assert admin.get(reverse("payers:pack-file")).content.decode() == pack_text([medicare])


def test_two_payers_side_by_side(admin: Client, medicare: Payer) -> None:
    plan = add_payer(by=None, slug="plan", name="Plan")
    published(plan, "discarded_drug", "not_billed", first=date(2026, 2, 1))
    page = admin.get(reverse("payers:compare", args=["plan"]), {"other": "medicare"})
    assert page.context["differing"] == 1
    page = admin.get(reverse("payers:compare", args=["plan"]), {"other": "medicare", "on": "2026-01-31"})
    assert page.context["differing"] == 0
