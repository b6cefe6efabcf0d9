"""The page on which two sources that disagree stand side by side."""

from html import unescape

from django.test import Client
from django.urls import reverse

from infusion.contradictions import contradictions


def test_both_sides_the_choice_and_its_reason_are_shown(client: Client, db: None) -> None:
    page = unescape(client.get(reverse("contradictions")).content.decode())
    for found in contradictions().values():
        assert found.first.says in page
        assert found.second.says in page
        assert found.why in page
    decided = [found for found in contradictions().values() if found.chosen != "neither"]
    assert page.count("Holds here") == len(decided)


def test_each_link_to_a_rule_or_source_leads_somewhere(client: Client, db: None) -> None:
    page = client.get(reverse("contradictions")).content.decode()
    rules = client.get(reverse("rules")).content.decode()
    anchors = {part.split('"')[0] for part in page.split(f'href="{reverse("rules")}#')[1:]}
    assert len(anchors) > 30
    assert {anchor for anchor in anchors if f'id="{anchor}"' not in rules} == set()
