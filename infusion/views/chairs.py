"""The chair board and live mode: who runs where, and one tap for each thing that happens at the chair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import cast
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from infusion.access import NURSE, allow
from infusion.actions import Late, Refused, Stale, begin_order, confirm_dose, hand_to_billing, tap, undo_tap
from infusion.chair_board import Board, board_of
from infusion.models import Administration, Clinic, Encounter, Order, Tap, User
from infusion.premedication import premedication_for
from infusion.readings import proof_of_telling
from infusion.selectors import encounter_for
from infusion.services import facts
from infusion.time_entry import EntryProblem, TimeOfDay, date_in_words, occurrences, plain_text, read_time
from infusion.views.live import Live

Kind = Tap.Kind
HANDED_OVER = "Handed to billing."
CHANGED = "This encounter changed meanwhile. Look at what is there now, then press again."
OLD_PAGE = "This button was of an older page. Look at what is there now, then press again."
REASONS = ("At the bedside", "Tablet not at hand", "System was down", "Written down first")
LONGEST_REASON = 200


@dataclass(slots=True)
class LateEntry:
    """A time typed afterwards: what happened, when, and why it was not tapped then."""

    what: str = ""
    at: str = ""
    day: str = ""
    turn: str = ""
    reason: str = ""
    tap_id: UUID = field(default_factory=uuid4)
    problems: dict[str, str] = field(default_factory=dict)
    asks_turn: bool = False

    def read(self, now: datetime, days: list[date]) -> Late | None:
        """The moment and the reason, or None with what is wrong in `problems`."""
        zone = cast(ZoneInfo, now.tzinfo)
        typed = read_time(self.at, TimeOfDay(now.hour, now.minute))
        if typed is None:
            self.problems["at"] = "Write the time at which it happened, for example 0915."
        elif isinstance(typed, EntryProblem):
            self.problems["at"] = typed.message
        reason = as_the_form_takes(self.reason)
        if not reason:
            self.problems["reason"] = "Say why the time is entered late, so that the record shows it."
        if not isinstance(typed, TimeOfDay):
            return None
        day = next((each for each in days if each.isoformat() == self.day), days[-1])
        moments = occurrences(day, typed, zone)
        if not moments:
            self.problems["at"] = f"{typed.clock} does not exist on this night, when the clocks go forward."
        self.asks_turn = len(moments) > 1
        if self.asks_turn and self.turn not in ("first", "second"):
            self.problems["turn"] = f"{typed.clock} comes twice on this night. Choose which one it was."
        if self.problems:
            return None
        return Late(moments[-1 if self.turn == "second" else 0], reason[:LONGEST_REASON].strip())


def as_the_form_takes(typed: str) -> str:
    """What was typed, as the form takes it: one plain space between words, and nothing that is not seen.

    >>> as_the_form_takes(" pump\u00a0alarm\u200e ")
    'pump alarm'
    """
    return "".join(each for each in " ".join(plain_text(typed).split()) if each.isprintable()).strip()


def clinic_of(request: HttpRequest) -> Clinic:
    clinic = cast(User, request.user).clinic
    if clinic is None:
        raise Http404
    return clinic


def part(request: HttpRequest, template: str, name: str) -> str:
    """The fragment that a page renews by itself, or the whole page."""
    return f"{template}#{name}" if request.headers.get("X-Idle") else template


# The board ------------------------------------------------------------------------------------------------------------


@require_safe
@allow(NURSE)
def chairs(request: HttpRequest) -> HttpResponse:
    """Every chair and everyone being treated. Renewed by itself, it is only the board."""
    board = board_of(clinic_of(request), timezone.now())
    here = request.GET.get("here", "")
    context = {**board_context(board), "here": here, "beside": bool(here)}
    return render(request, part(request, "infusion/chairs/board.html", "board"), context)


def board_context(board: Board) -> dict[str, object]:
    return {"board": board, **time_context(board.now)}


def time_context(now: datetime) -> dict[str, object]:
    """The clinic's time, which the page shows and holds the tablet's own against."""
    return {"clinic_time": f"{now:%H:%M}", "clinic_zone": str(now.tzinfo), "server_now": now.isoformat()}


@require_http_methods(["GET", "HEAD", "POST"])
@allow(NURSE)
def begin(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Begin what was ordered, and go to its live page. Begun twice, it is one encounter.

    Whoever signs in again after the tap comes here without it, and goes to the board.
    """
    order = Order.objects.filter(clinic=clinic_of(request), public_id=public_id).first()
    if order is None:
        raise Http404
    if request.method != "POST":
        return redirect("chairs")
    premedication = premedication_for(order.premedication)
    try:
        encounter = begin_order(by=cast(User, request.user), order=order, premedication=premedication)
    except Refused as refusal:
        messages.warning(request, str(refusal))
        return redirect("chairs")
    return redirect("chair", encounter.public_id)


# Live mode ------------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@allow(NURSE)
def chair(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """One encounter at the chair: its clock, and a button for each thing that can happen now."""
    stored = encounter_for(request.user, public_id)
    if stored is None:
        raise Http404
    if request.method == "POST":
        return pressed(request, stored)
    live = Live(stored, cast(User, request.user), timezone.now())
    seen = request.GET.get("seen", "")
    if request.headers.get("X-Idle") and seen == str(stored.version):
        context = {**live_context(live), "only_so_far": True}
        response = render(request, "infusion/chairs/live.html#so-far", context)
        response["HX-Retarget"] = "#so-far"
        return response
    return live_page(request, live)


def live_page(request: HttpRequest, live: Live, entry: LateEntry | None = None, status: int = 200) -> HttpResponse:
    context = {**live_context(live, entry), "told": proof_of_telling(request)}
    if not request.headers.get("X-Idle"):
        board = board_of(live.encounter.clinic, live.now)
        context |= {**board_context(board), "here": str(live.encounter.public_id), "beside": True}
    return render(request, part(request, "infusion/chairs/live.html", "live"), context, status=status)


def live_context(live: Live, entry: LateEntry | None = None) -> dict[str, object]:
    choices = late_choices(live)
    if entry is None:
        entry = LateEntry(what=choice_of("stop", live.lost.row) if live.lost and live.is_open else "")
    elif choices and entry.what not in dict(choices):
        choices = [("", "Choose what happened"), *choices]
    return {
        "live": live,
        "encounter": live.encounter,
        "late": entry,
        "late_choices": choices,
        "late_days": [(day.isoformat(), date_in_words(day)) for day in days_of(live)],
        "late_reasons": REASONS,
        **time_context(live.now),
    }


def choice_of(kind: str, row: Administration) -> str:
    return f"{kind}-{row.position}-{row.pk}"


def late_choices(live: Live) -> list[tuple[str, str]]:
    """What can have happened, given what is recorded."""
    drugs = [drug for drug in (live.main, *live.others) if drug is not None]
    found = []
    for drug in drugs:
        for press in (*drug.presses, *((drug.new_bag,) if drug.new_bag else ())):
            words = "Given" if press.kind == Kind.START and not drug.course.is_timed else press.words
            words = f"{drug.course.name}: {words}" if live.several else words
            found.append((choice_of(press.kind, drug.course.row), words))
    return found


def days_of(live: Live) -> list[date]:
    """The days on which something of this encounter can have happened: a visit may pass midnight."""
    first, today = live.encounter.date_of_service, live.now.date()
    if first >= today:
        return [today]
    return list(dict.fromkeys([first, first + timedelta(days=1), today]))


def pressed(request: HttpRequest, stored: Encounter) -> HttpResponse:
    """What a button asks for. Pressed twice, it is done once; what cannot be done is said."""
    act = request.POST.get("act", "")
    if act == "late":
        return enter_late(request, stored)
    by = cast(User, request.user)
    done: dict[str, Callable[[], object]] = {
        "undo": lambda: take_back(request, stored, by),
        "dose": lambda: confirm_all(request, stored, by),
        "hand-over": lambda: hand_over(request, stored, by),
        **dict.fromkeys(Kind.values, lambda: press(request, stored, by, act)),
    }
    try:
        if act in done:
            done[act]()
    except Stale:
        messages.warning(request, CHANGED)
    except Refused as refusal:
        messages.warning(request, str(refusal))
    else:
        if act == "hand-over":
            messages.success(request, HANDED_OVER)
            return redirect("chairs")
    return redirect("chair", stored.public_id)


def press(request: HttpRequest, stored: Encounter, by: User, kind: str) -> None:
    position, drug = (number_of(request.POST.get(name, "")) for name in ("position", "drug"))
    tap(by=by, encounter=stored, position=position, drug=drug, kind=kind, tap_id=tap_id_of(request))


def take_back(request: HttpRequest, stored: Encounter, by: User) -> None:
    tap_id = tap_id_of(request)
    if not stored.taps.filter(client_id=tap_id, undone_at__isnull=False).exists():
        undo_tap(by=by, encounter=stored, tap_id=tap_id)


def confirm_all(request: HttpRequest, stored: Encounter, by: User) -> None:
    """All that was ordered reached the patient, and the rest of each vial was thrown away."""
    live = Live(stored, by, timezone.now())
    doses = [dose for dose in live.doses if f"amount-{dose.position}" in request.POST]
    if not doses:
        return  # the second of two taps
    if request.POST.get("version") != str(stored.version):
        raise Stale(stored)
    witness = User.objects.filter(
        clinic=stored.clinic, groups__name=NURSE, is_active=True, username=request.POST.get("witness", "")
    ).first()
    rows = {row.position: row for row in stored.administrations.all()}
    version = stored.version
    with transaction.atomic():
        for dose in doses:
            if dose.administered is None or request.POST.get(f"amount-{dose.position}") != dose.amount:
                raise Stale(stored)
            changed = confirm_dose(
                by=by, encounter=stored, version=version, position=dose.position, administered=dose.administered,
                vials=[
                    facts.Vial(
                        amount=vial.amount, count=vial.count, single_dose=vial.single_dose, ndc=vial.ndc,
                        lot=vial.lot, expires=vial.expires,
                    )
                    for vial in rows[dose.position].vials.all()
                ],
                discards=[facts.Discard(amount=dose.discarded, reason="vial_remainder")] if dose.discarded else [],
                witness=witness if dose.needs_witness else None,
            )  # fmt: skip
            version = changed.version


def hand_over(request: HttpRequest, stored: Encounter, by: User) -> None:
    if stored.state != Encounter.State.DRAFT:
        return  # the second of two taps
    sent = request.POST.get("version", "")
    hand_to_billing(by=by, encounter=stored, version=int(sent) if sent.isdecimal() and len(sent) < 10 else -1)


def enter_late(request: HttpRequest, stored: Encounter) -> HttpResponse:
    """A time that was not tapped when it happened; the form stays with what was typed until it can be kept."""
    by = cast(User, request.user)
    live = Live(stored, by, timezone.now())

    def sent(name: str) -> str:
        return request.POST.get(name, "")[: 2 * LONGEST_REASON]

    entry = LateEntry(what=sent("what"), at=sent("at"), day=sent("day"), turn=sent("turn"), reason=sent("reason"))
    late = entry.read(live.now, days_of(live))
    kind, *place = entry.what.split("-")
    try:
        entry.tap_id = tap_id_of(request)
        if kind not in Kind.values or len(place) != 2:
            entry.problems["what"] = "Choose what happened."
        if late is not None and not entry.problems:
            position, drug = map(number_of, place)
            tap(by=by, encounter=stored, position=position, drug=drug, kind=kind, tap_id=entry.tap_id, late=late)
            return redirect("chair", stored.public_id)
    except Refused as refusal:
        stored = encounter_for(by, stored.public_id) or stored
        live = Live(stored, by, live.now)
        there = entry.what in dict(late_choices(live))
        entry.problems.setdefault("at" if there else "what", str(refusal))
    return live_page(request, live, entry, status=422)


def number_of(sent: str) -> int:
    if not sent.isdecimal() or len(sent) > 18:
        raise Refused(OLD_PAGE)
    return int(sent)


def tap_id_of(request: HttpRequest) -> UUID:
    try:
        return UUID(request.POST.get("tap", ""))
    except ValueError:
        raise Refused(OLD_PAGE) from None
