"""How ready encounters are, kept as rows, so that a list of thousands need not calculate any of them.

A judgement says under which version of the record and under which rules it was made. It is written in the transaction
of the change itself, and whoever is about to look at a list first makes anew those that are out of date, whatever made
them so: a rule published since, a table loaded, the program updated. What an approval covers is not judged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from django.db.models import F, Q, QuerySet
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver

from infusion import audit
from infusion.claim_review import claim_findings_of_many
from infusion.models import Authorization, Clinic, Coverage, EditTable, Encounter, FeeSchedule, Judgement, Patient, Skip
from infusion.reference_now import current_reference
from infusion.selectors import Review, encounters_of, facts_of, with_record
from infusion.services import calculate as rules
from infusion.services.calculate import calculate
from infusion.services.findings import Finding, Severity
from infusion.skips import OF_A_CLAIM, unskipped
from payers.models import Payer, PolicyOverride
from payers.policy import PayerPolicy, national_baseline
from payers.selectors import layers_of

State = Encounter.State
JUDGED = (State.DRAFT, State.WITH_BILLING)
ROWS_AT_ONCE = 250

Policies = Mapping[int, PayerPolicy]


def policies_of_payers() -> Policies:
    """The published rules of every payer that departs from the baseline, in one query."""
    rows = (
        PolicyOverride.objects.filter(known_until__isnull=True)
        .exclude(status=PolicyOverride.Status.DRAFT)
        .select_related("payer")
        .order_by("payer", *(PolicyOverride._meta.ordering or ()))
    )
    return {
        payer.pk: national_baseline().with_layers(layers_of(payer, group))
        for payer, group in groupby(rows, key=lambda row: row.payer)
    }


def review_under(encounter: Encounter, policies: Policies) -> Review:
    """The encounter's lines and findings; `selectors.review_of` for many of them."""
    recorded = facts_of(encounter)
    policy = policies.get(encounter.payer_id) or national_baseline()
    return Review(recorded, policy, calculate(recorded, policy, current_reference()))


# What a judgement rests on beside the record ------------------------------------------------------------------------


@lru_cache(maxsize=1)
def program_digest() -> str:
    """Changes with any file of the rules, so that an update of the program leaves no judgement of the one before."""
    here = Path(__file__).resolve().parent
    files = [
        *Path(rules.__file__).parent.glob("*.py"),
        *(here / f"{name}.py" for name in ("judgements", "money", "selectors", "skips")),
        *here.glob("claim_*.py"),
        here.parent / "payers" / "policy.py",
    ]
    return audit.digest("\0".join(path.read_text() for path in sorted(files)))


def rules_of(clinic: Clinic, policies: Policies) -> dict[int, str]:
    """By payer, a digest of all that a judgement rests on beside the record and the patient's own rows."""
    common = [
        program_digest(),
        current_reference().version,
        Clinic.objects.filter(pk=clinic.pk).values().get(),
        list(clinic.providers.order_by("pk").values()),
        list(EditTable.objects.order_by("pk").values_list("pk", "withdrawn_at")),
        list(FeeSchedule.objects.filter(clinic=clinic).order_by("pk").values_list("pk", "withdrawn_at")),
    ]
    shared = audit.digest(repr(common))
    digests = {}
    for payer in Payer.objects.values():
        policy = policies.get(payer["id"]) or national_baseline()
        layers = [layer.override_id for layer in policy.layers]
        digests[payer["id"]] = audit.digest(repr([shared, payer, layers]))
    return digests


def outdated(clinic: Clinic, digests: Mapping[int, str]) -> QuerySet[Encounter]:
    """The encounters that a judgement is missing of, or was made of another version or under other rules."""
    current = Q(pk__in=[])
    for payer, digest in digests.items():
        current |= Q(payer=payer, judgement__rules=digest)
    judged = Encounter.objects.filter(clinic=clinic, state__in=JUDGED)
    return judged.exclude(Q(judgement__isnull=False) & Q(judgement__encounter_version=F("version")) & current)


# Writing --------------------------------------------------------------------------------------------------------------


def refresh(clinic: Clinic, policies: Policies | None = None) -> int:
    """Make anew what is out of date, in bulk. How many there were."""
    policies = policies_of_payers() if policies is None else policies
    digests = rules_of(clinic, policies)
    late = list(outdated(clinic, digests).values_list("pk", flat=True))
    for start in range(0, len(late), ROWS_AT_ONCE):
        chosen = encounters_of(clinic).filter(pk__in=late[start : start + ROWS_AT_ONCE])
        keep(judged(with_record(chosen).prefetch_related("skips"), policies, digests))
    return len(late)


def judge(encounter: Encounter) -> None:
    """Keep how ready an encounter is, in the transaction that changed it.

    A draft waits until a list is looked at, which its new version asks for: a tap at the chair has no time to lose.
    The patient's others are judged anew: what was given on one day bears on the doses and the visits of another.
    """
    forget(Encounter.objects.filter(patient=encounter.patient_id).exclude(pk=encounter.pk))
    if encounter.state not in (State.WITH_BILLING, State.APPROVED):
        return
    policies = policies_of_payers()
    keep(judged([encounter], policies, rules_of(encounter.clinic, policies)))


def judged(encounters: Iterable[Encounter], policies: Policies, digests: Mapping[int, str]) -> Iterator[Judgement]:
    reviewed = [(encounter, review_under(encounter, policies)) for encounter in encounters]
    of_claims = claim_findings_of_many(reviewed)
    for encounter, review in reviewed:
        yield judgement_of(encounter, review, of_claims.get(encounter.pk, ()), digests[encounter.payer_id])


def judgement_of(encounter: Encounter, review: Review, of_claim: Sequence[Finding], digest: str) -> Judgement:
    """What a list shows of a review: how many findings are left to see to, their codes, and the lines."""
    found = unskipped(encounter, (*review.statement.findings, *of_claim))
    held_back = [each for each in found if each.code.startswith(OF_A_CLAIM) and each.severity is Severity.ERROR]
    own = [each for each in found if not each.code.startswith(OF_A_CLAIM)]
    return Judgement(
        encounter=encounter,
        encounter_version=encounter.version,
        rules=digest,
        errors=sum(each.severity is Severity.ERROR for each in own),
        warnings=sum(each.severity is Severity.WARNING for each in own),
        claim_findings=len(held_back),
        findings=list(dict.fromkeys(each.code for each in found if each.severity is not Severity.INFO)),
        lines=[[line.code, list(line.modifiers), line.units] for line in review.statement.lines],
        content_hash=review.content_hash,
    )


def keep(rows: Iterable[Judgement]) -> None:
    changing = [
        "encounter_version", "rules", "errors", "warnings", "claim_findings", "findings", "lines", "content_hash",
    ]  # fmt: skip
    Judgement.objects.bulk_create(rows, update_conflicts=True, unique_fields=["encounter"], update_fields=changing)


def forget(encounters: QuerySet[Encounter]) -> None:
    """Have these judged anew before anyone looks; what is approved keeps what it was approved with."""
    Judgement.objects.filter(encounter__in=encounters.filter(state__in=JUDGED)).delete()


@receiver(pre_save, sender=Encounter)
def forget_patient_before(sender: object, instance: Any, **_: object) -> None:
    """A visit that turns out to be another patient's bears no more on those of the first."""
    stored = Encounter.objects.filter(pk=instance.pk).exclude(patient=instance.patient_id)
    for patient in stored.values_list("patient", flat=True):
        forget(Encounter.objects.filter(patient=patient))


@receiver([post_save, post_delete], sender=Coverage)
@receiver([post_save, post_delete], sender=Authorization)
def forget_patient_of(sender: object, instance: Any, **_: object) -> None:
    """Who pays for a patient, and what was authorized, bears on each of the patient's encounters."""
    forget(Encounter.objects.filter(patient=instance.patient_id))


@receiver(post_save, sender=Patient)
def forget_patient(sender: object, instance: Any, **_: object) -> None:
    forget(Encounter.objects.filter(patient=instance.pk))


@receiver([post_save, post_delete], sender=Skip)
def forget_skipped(sender: object, instance: Any, **_: object) -> None:
    forget(Encounter.objects.filter(pk=instance.encounter_id))
