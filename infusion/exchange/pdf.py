"""A batch as a charge sheet to read and print: each claim with its lines, credits first, and what they come to."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import letter
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import inch
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from infusion.exchange import Unwritable
from infusion.exchange.checks import unsound_batch
from infusion.exchange.claim import Claim, ClaimLine, Sender
from infusion.exchange.text import plain_letters
from infusion.services.words import counted, plain

MARGIN = 0.6 * inch
INK, MUTED, RULE, SHADE = (colors.HexColor(each) for each in ("#1b1b1b", "#565c65", "#a9aeb1", "#f0f0f0"))
TEXT = ParagraphStyle("text", fontName="Helvetica", fontSize=9, leading=11.5, textColor=INK)
SMALL = ParagraphStyle("small", parent=TEXT, fontSize=8, leading=10, textColor=MUTED)
BOLD = ParagraphStyle("bold", parent=TEXT, fontName="Helvetica-Bold")
TITLE = ParagraphStyle("title", parent=BOLD, fontSize=16, leading=20)
HEAD = ParagraphStyle("head", parent=BOLD, fontSize=10.5, leading=13)
KINDS = {"1": "Original claim", "7": "Replaces claim {}", "8": "Void of claim {}"}
COLUMNS = ("", "Code", "What it is", "Units", "NDC and quantity", "Charge")
WIDTHS = [0.6 * inch, 1.2 * inch, 1.8 * inch, 0.7 * inch, 1.8 * inch, 1.03 * inch]
LONGEST_LABEL = 28
LOOK = TableStyle(
    [
        ("FONT", (0, 0), (-1, -1), "Helvetica", 9, 11.5),
        ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 9, 11.5),
        ("FONT", (0, -1), (-1, -1), "Helvetica-Bold", 9, 11.5),
        ("TEXTCOLOR", (0, 0), (-1, -1), INK),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("ALIGN", (3, 0), (3, -1), "RIGHT"),
        ("ALIGN", (5, 0), (5, -1), "RIGHT"),
        ("BACKGROUND", (0, 0), (-1, 0), SHADE),
        ("LINEBELOW", (0, 0), (-1, -2), 0.4, RULE),
        ("TOPPADDING", (0, 0), (-1, -1), 3),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ("LEFTPADDING", (0, 0), (0, -1), 0),
        ("LEFTPADDING", (4, 0), (4, -1), 16),
    ]
)


def write(claims: Sequence[Claim], sender: Sender, batch_number: int, written_at: datetime) -> bytes:
    """Letter-size pages, the same bytes for the same batch. Raises Unwritable."""
    if problems := unsound_batch(claims):
        raise Unwritable(problems)
    pages = io.BytesIO()
    title = f"Charge sheet of batch {batch_number}"
    document = SimpleDocTemplate(
        pages,
        pagesize=letter,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN + 0.2 * inch,
        title=title,
        author=_printable(sender.name),
        invariant=1,
    )

    def footer(canvas: Canvas, page: Any) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.setFillColor(MUTED)
        canvas.drawString(MARGIN, MARGIN - 2, f"{title} · {_printable(sender.name)}")
        canvas.drawRightString(letter[0] - MARGIN, MARGIN - 2, f"Page {page.page}")

    document.build([*_opening(claims, sender, title, written_at), *_sheets(claims)], footer, footer)
    return pages.getvalue()


def _printable(text: str) -> str:
    """Text in the letters of the standard fonts; one that they lack loses its marks."""
    return "".join(each if each.encode("cp1252", "ignore") else plain_letters(each) for each in text)


def _paragraph(text: str, style: ParagraphStyle = TEXT) -> Paragraph:
    return Paragraph(escape(_printable(text)), style)


def _dollars(amount: Decimal | None) -> str:
    if amount is None:
        return "not known"
    return f"-${-amount:,.2f}" if amount < 0 else f"${amount:,.2f}"


def _day(day: date) -> str:
    return f"{day:%B} {day.day}, {day.year}"


def _opening(claims: Sequence[Claim], sender: Sender, title: str, written_at: datetime) -> Iterator[Flowable]:
    yield _paragraph(title, TITLE)
    wrote = f"{_day(written_at)}, {written_at:%H:%M} {written_at:%Z}".rstrip()
    yield _paragraph(f"{sender.name} · written {wrote} · {counted(len(claims), 'claim')}", SMALL)
    if sender.test:
        yield _paragraph("Test: nobody may pay this.", BOLD)
    known = [_net(claim) for claim in claims]
    unknown = sum(each is None for each in known)
    total = f"All claims together: {_dollars(sum((each for each in known if each is not None), Decimal(0)))}"
    if unknown:
        total += f", without {counted(unknown, 'claim')} whose charges are not known"
    yield _paragraph(total, BOLD)


def _net(claim: Claim) -> Decimal | None:
    """Charges less credits, or None when one of them is not known."""
    signed = [(line.charge, 1) for line in claim.charges] + [(line.charge, -1) for line in claim.credits]
    if any(charge is None for charge, _ in signed):
        return None
    return sum((charge * sign for charge, sign in signed if charge is not None), Decimal(0))


def _sheets(claims: Sequence[Claim]) -> Iterator[Flowable]:
    for claim in claims:
        # A claim stays on one page where it fits; a longer one breaks between rows, under its headings again.
        yield KeepTogether([Spacer(0, 12), *_heading(claim), _table(claim)])


def _heading(claim: Claim) -> Iterator[Flowable]:
    kind = KINDS[claim.frequency].format(claim.original_number)
    yield _paragraph(f"Claim {claim.number} · {kind}", HEAD)
    who = f"{claim.patient.name} · {claim.patient_reference}" if claim.patient.name.family else claim.patient_reference
    yield _paragraph(f"{who} · {_day(claim.date_of_service)} · {claim.insurer.name}", TEXT)
    details = [f"Place of service {claim.place_of_service}", f"Diagnoses {', '.join(claim.diagnoses) or 'none'}"]
    if claim.authorization_number:
        details.append(f"Authorization {claim.authorization_number}")
    if claim.trial_number:
        details.append(f"Trial {claim.trial_number}")
    yield _paragraph(" · ".join(details), SMALL)


def _table(claim: Claim) -> Table:
    """Short cells are drawn as they are: a paragraph each would make a long batch take minutes."""
    rows: list[list[Any]] = [list(COLUMNS)]
    rows += [_row(line, -1) for line in claim.credits]
    rows += [_row(line, 1) for line in claim.charges]
    rows.append(["Sum", "", "", "", "", _dollars(_net(claim))])
    table = Table(rows, colWidths=WIDTHS, repeatRows=1, spaceBefore=4)
    table.setStyle(LOOK)
    return table


def _row(line: ClaimLine, sign: int) -> list[Any]:
    label = _printable(line.description)
    return [
        "Charge" if sign > 0 else "Credit",
        str(line),
        label if len(label) <= LONGEST_LABEL else _paragraph(label),
        f"{sign * line.units:,}",
        "\n".join(f"{each.ndc} {each.unit} {plain(each.quantity)}" for each in line.ndcs),
        _dollars(None if line.charge is None else sign * line.charge),
    ]
