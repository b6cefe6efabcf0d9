"""What the demo's claims need beside their lines, all of it invented: names, addresses, numbers, memberships."""

from __future__ import annotations

from datetime import date
from typing import Any

from infusion.access import ADMIN, BILLING
from infusion.actions import (
    add_coverage,
    add_provider,
    change_clinic_claims,
    correct_patient,
    keep_claim_facts,
)
from infusion.actions.claim_data import shown_digest
from infusion.models import Clinic, Coverage, Encounter, Patient, Provider, User
from payers.actions import identify_payer, on_claims
from payers.models import Payer

# Numbers that pass their check digits and belong to nobody; telephone numbers of the range for inventions.
IDENTITIES: dict[str, dict[str, Any]] = {
    "Riverside Infusion Center": {
        "legal_name": "Riverside Infusion Center LLC", "npi": "1999999984", "tax_id": "12-3456789",
        "taxonomy": "261QI0500X", "address": "200 River Road", "city": "Rochester", "state_code": "NY",
        "postal_code": "14604-1201", "contact_name": "D. Reyes", "contact_phone": "585-555-0143",
        "sender_id": "RIVERSIDE", "receiver_name": "Demo Clearinghouse", "receiver_id": "DEMOCLEAR",
    },
    "Hillside Infusion": {
        "legal_name": "Hillside Hospital", "npi": "1999999992", "tax_id": "98-7654321", "taxonomy": "282N00000X",
        "address": "1 Hill Street", "city": "Madison", "state_code": "WI", "postal_code": "53703-0001",
        "contact_name": "T. Vance", "contact_phone": "608-555-0117", "sender_id": "HILLSIDE",
        "receiver_name": "Demo Clearinghouse", "receiver_id": "DEMOCLEAR",
    },
}  # fmt: skip
PROVIDERS = {
    "Riverside Infusion Center": ("Imai", "Rin", "1999999976", "207RR0500X"),
    "Hillside Infusion": ("Okafor", "Chidi", "1999999968", "207RG0100X"),
}
PAYERS = {
    "medicare": ("13202", "MB"), "medicaid": ("DEMOMCD", "MC"), "unitedhealthcare": ("87726", "CI"),
    "anthem-bcbs": ("00803", "BL"), "cigna": ("62308", "CI"), "aetna": ("60054", "CI"), "bcbs": ("DEMOBCBS", "BL"),
    "30-minute-plan": ("DEMO30", "CI"),
}  # fmt: skip
STREETS = ("Elm Street", "Maple Avenue", "Birch Lane", "Cedar Court", "Oak Road")
SINCE = date(2024, 1, 1)


def record_claim_data() -> None:
    """Complete what is not there yet. What someone has entered stays."""
    for slug, (electronic_id, filing_code) in PAYERS.items():
        payer = Payer.objects.filter(slug=slug, electronic_id="").first()
        if payer is not None:
            identify_payer(
                by=None, payer=payer, shown=on_claims(payer), electronic_id=electronic_id, filing_code=filing_code
            )
    for clinic in Clinic.objects.filter(name__in=IDENTITIES):
        _of_a_clinic(clinic)


def _of_a_clinic(clinic: Clinic) -> None:
    biller = User.objects.filter(clinic=clinic, groups__name=BILLING).order_by("pk").first()
    admin = User.objects.filter(clinic=clinic, groups__name=ADMIN).order_by("pk").first() or biller
    if biller is None or admin is None:
        return
    if not clinic.legal_name:
        change_clinic_claims(by=admin, clinic=clinic, shown=shown_digest(clinic), values=IDENTITIES[clinic.name])
    family, given, npi, taxonomy = PROVIDERS[clinic.name]
    provider = Provider.objects.filter(clinic=clinic).first() or add_provider(
        by=biller, clinic=clinic,
        values={"family_name": family, "given_name": given, "npi": npi, "taxonomy": taxonomy, "left_on": None},
    )  # fmt: skip
    for encounter in Encounter.objects.filter(clinic=clinic, attending=None).select_related("patient", "payer"):
        keep_claim_facts(by=biller, encounter=encounter, shown=shown_digest(encounter), values={"attending": provider})
        _of_a_patient(biller, encounter.patient, encounter.payer)


def _of_a_patient(by: User, patient: Patient, payer: Payer) -> None:
    if not patient.family_name and patient.name:
        given, _, family = patient.name.rpartition(" ")
        values = {
            "family_name": family, "given_name": given, "sex": patient.sex or "FM"[patient.pk % 2],
            "birth_date": patient.birth_date or date(1950 + patient.pk % 45, 1 + patient.pk % 12, 1 + patient.pk % 28),
            "address": f"{10 + patient.pk} {STREETS[patient.pk % len(STREETS)]}", "city": "Rochester",
            "state_code": "NY", "postal_code": f"146{patient.pk % 90 + 10}",
        }  # fmt: skip
        correct_patient(by=by, patient=patient, shown=shown_digest(patient), values=values)
    if not Coverage.objects.filter(patient=patient, payer=payer).exists():
        add_coverage(
            by=by, patient=patient,
            values={
                "payer": payer, "member_id": f"DEMO{patient.pk:07d}", "relationship": "18", "effective_from": SINCE,
                "effective_until": None,
            },
        )  # fmt: skip
