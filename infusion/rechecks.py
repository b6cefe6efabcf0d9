"""What today's rules and tables would answer to approved encounters, where that differs from what was approved.

An approval stands as it was given. After a rule was put right, or the program was updated, a site wants to know which
would come out otherwise: units that were lost, or billed without support. Nothing but the list is written.
"""

from __future__ import annotations

from datetime import date

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, QuerySet
from django.urls import reverse
from django.utils import timezone

from infusion import jobs
from infusion.actions.encounters import Refused
from infusion.approved import approved_content
from infusion.judgements import Policies, policies_of_payers
from infusion.models import Approval, Encounter, Job, Recheck, RecheckDifference, User
from infusion.reference_now import current_reference
from infusion.services.away import units_of
from infusion.services.calculate import calculate
from infusion.services.lines import ServiceLine
from payers.policy import national_baseline

KIND = "recheck"
AT_ONCE = 200
Line = tuple[str, list[str], int, int]


@transaction.atomic
def begin_recheck(*, by: User, since: date, until: date) -> tuple[Recheck, Job]:
    """Fix which approvals are looked at, and have it done behind the pages."""
    if by.clinic is None:
        raise Refused("Only someone of a clinic has its encounters looked at.")
    last = Approval.objects.filter(encounter__clinic=by.clinic).aggregate(last=Max("pk"))["last"] or 0
    recheck = Recheck.objects.create(
        clinic=by.clinic, since=since, until=until, asked_by=by, asked_at=timezone.now(), last_approval=last
    )
    total = looked_at(recheck).count()
    if not total:
        raise Refused("No encounter with a date of service between these days is approved. Choose other days.")
    return recheck, jobs.begin(KIND, recheck.public_id, total, by)


def looked_at(recheck: Recheck) -> QuerySet[Approval]:
    """The latest approval of each encounter as it was at the beginning, in their order."""
    approvals = Approval.objects.filter(pk__lte=recheck.last_approval)
    later = approvals.filter(encounter=OuterRef("encounter"), pk__gt=OuterRef("pk"))
    days = {"encounter__date_of_service__gte": recheck.since, "encounter__date_of_service__lte": recheck.until}
    mine = approvals.filter(encounter__clinic=recheck.clinic_id, **days)
    return mine.filter(~Exists(later)).select_related("encounter").order_by("pk")


@jobs.kind(KIND, title="Today's rules over approved encounters", page=lambda job: page_of(job.subject))
def portion(job: Job) -> int:
    recheck = Recheck.objects.select_for_update(of=("self",), no_key=True).get(public_id=job.subject)
    rest = looked_at(recheck).filter(pk__gt=recheck.after)
    is_last = job.position + AT_ONCE >= job.total
    # A date of service that is put right meanwhile may bring one more or one less.
    part = list(rest if is_last else rest[:AT_ONCE])
    policies = policies_of_payers()
    found = [(each, lines) for each in part if (lines := difference(each, policies))]
    RecheckDifference.objects.bulk_create(
        RecheckDifference(recheck=recheck, approval=approval, lines=lines) for approval, lines in found
    )
    recheck.after = part[-1].pk if part else recheck.after
    recheck.save(update_fields=["after"])
    return job.total if is_last or len(part) < AT_ONCE else job.position + AT_ONCE


def difference(approval: Approval, policies: Policies) -> list[Line]:
    """The lines that differ, with their units as approved and as today; none of an encounter that is open again."""
    if approval.encounter.state != Encounter.State.APPROVED:
        return []
    then = approved_content(approval)
    policy = policies.get(approval.encounter.payer_id) or national_baseline()
    return differing(then.statement.lines, calculate(then.facts, policy, current_reference()).lines)


def differing(was: tuple[ServiceLine, ...], now: tuple[ServiceLine, ...]) -> list[Line]:
    before, after = units_of(was), units_of(now)
    keys = sorted(key for key in {**before, **after} if before.get(key) != after.get(key))
    return [(key[0], list(key[1]), before.get(key, 0), after.get(key, 0)) for key in keys]


def page_of(subject: str) -> str:
    return reverse("recheck", args=[subject])
