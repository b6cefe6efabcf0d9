"""Every format in which a batch can leave. Each is a pure function: the same batch, the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from infusion.exchange import charge_csv, dft, fhir, pdf, x12
from infusion.exchange.claim import Claim, Sender

Writer = Callable[[Sequence[Claim], Sender, int, datetime], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """`write(claims, sender, batch_number, written_at)` answers with the file or raises `exchange.Unwritable`.

    `form` is the only form of claim that it carries, or empty: a batch of both leaves in two files.
    """

    label: str
    extension: str
    media_type: str
    write: Writer
    form: str = ""

    def takes(self, claims: Sequence[Claim]) -> bool:
        """Whether any of the claims would be in the file."""
        return any(self.form in ("", claim.form) for claim in claims)


FORMATS = {
    "csv": Format(label="CSV for a billing system", extension="csv", media_type="text/csv", write=charge_csv.write),
    "csv-spreadsheet": Format(
        label="CSV for a spreadsheet", extension="csv", media_type="text/csv", write=charge_csv.write_for_spreadsheet
    ),
    "837p": Format(
        label="Professional claims (837P)",
        extension="x12",
        media_type="application/edi-x12",
        write=x12.write_professional,
        form="professional",
    ),
    "837i": Format(
        label="Institutional claims (837I)",
        extension="x12",
        media_type="application/edi-x12",
        write=x12.write_institutional,
        form="institutional",
    ),
    "fhir": Format(label="FHIR R4 bundle", extension="json", media_type="application/fhir+json", write=fhir.write),
    "dft": Format(label="HL7 charges (DFT)", extension="hl7", media_type="x-application/hl7-v2+er7", write=dft.write),
    "pdf": Format(label="Charge sheet to print", extension="pdf", media_type="application/pdf", write=pdf.write),
}
