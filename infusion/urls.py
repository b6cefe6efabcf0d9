from allauth.account import views as account
from allauth.mfa.base import views as factors
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as app
from allauth.mfa.webauthn import views as passkeys
from django.db import transaction
from django.urls import URLPattern, URLResolver, include, path
from django.views.decorators.http import require_http_methods

from infusion import api
from infusion.admin import people
from infusion.second_factor import keeps_one
from infusion.views import desk, imports, record
from infusion.views.batches import batch, batches, download, reference, write
from infusion.views.chairs import begin, chair, chairs
from infusion.views.claim_checklist import checklist
from infusion.views.claim_data import (
    add_authorization,
    add_coverage,
    add_provider,
    authorization,
    claim_facts,
    clinic_claims,
    coverage,
    patient,
    provider,
    providers,
)
from infusion.views.drugs import add_drug, change_drug, drug, drug_proposal, drug_row, drugs
from infusion.views.encounters import encounter, new_encounter
from infusion.views.fees import fees, load, schedule, withdraw
from infusion.views.health import healthz, metrics, readyz
from infusion.views.home import encounters
from infusion.views.impact import impact, impact_encounters, impact_file
from infusion.views.jobs import job
from infusion.views.kept import keep, session, throw_away
from infusion.views.lists import change_view, keys, save_view, search
from infusion.views.orders import new_order, orders, take_off
from infusion.views.paper import downtime_sheet, sheet
from infusion.views.people import alarm, emergency, reset_factor
from infusion.views.people import people as sign_ins
from infusion.views.programs import programs, revoke
from infusion.views.public import calculator, contradictions_page, rules_page
from infusion.views.rechecks import recheck, rechecks
from infusion.views.reports import report_file, reports
from infusion.views.review import approve, review, send_back
from infusion.views.selection import approve_shown, choose, chosen, take_back
from infusion.views.switch import enter, forget_pin, pin, switch
from infusion.views.tables import load as load_table
from infusion.views.tables import table, tables
from infusion.views.tables import withdraw as withdraw_table

# Names and views of the package; what changes a second factor is one transaction with its audit row.
second_factor: list[URLPattern] = [
    path("", factors.index, name="mfa_index"),
    path("second-factor/", factors.authenticate, name="mfa_authenticate"),
    path("code-again/", factors.reauthenticate, name="mfa_reauthenticate"),
    path("app/", transaction.atomic(app.activate_totp), name="mfa_activate_totp"),
    path("app/remove/", keeps_one(transaction.atomic(app.deactivate_totp)), name="mfa_deactivate_totp"),
    path("recovery-codes/", recovery_codes.view_recovery_codes, name="mfa_view_recovery_codes"),
    path(
        "recovery-codes/new/",
        transaction.atomic(recovery_codes.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path("recovery-codes/file/", recovery_codes.download_recovery_codes, name="mfa_download_recovery_codes"),
    path("passkeys/", factors.index, name="mfa_list_webauthn"),
    path("passkeys/add/", transaction.atomic(passkeys.add_webauthn), name="mfa_add_webauthn"),
    path("passkeys/again/", passkeys.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
    # Another method is counted as a try, and any page that somebody has open can send a HEAD.
    path(
        "passkeys/sign-in/",
        require_http_methods(["GET", "POST"])(passkeys.login_webauthn),
        name="mfa_login_webauthn",
    ),
    path("passkeys/<int:pk>/", keeps_one(transaction.atomic(passkeys.remove_webauthn)), name="mfa_remove_webauthn"),
]

# Nobody signs up; the name has to be there because the sign-in page looks it up.
accounts: list[URLPattern | URLResolver] = [
    path("login/", account.login, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("signup/", account.signup, name="account_signup"),
    path("session/", session, name="session"),
    path("password/change/", account.password_change, name="account_change_password"),
    path("again/", account.reauthenticate, name="account_reauthenticate"),
    path("emergency/", emergency, name="emergency"),
    path("switch/", switch, name="switch"),
    path("switch/<uuid:public_id>/", enter, name="enter"),
    path("pin/", pin, name="pin"),
    path("pin/forgotten/", forget_pin, name="pin-forget"),
    path("you/", include(second_factor)),
]

handler500 = "infusion.views.errors.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", calculator, name="calculator"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("api/v1/", include(api.urls, namespace="api")),
    path("rules/", rules_page, name="rules"),
    path("rules/disagreements/", contradictions_page, name="contradictions"),
    path("accounts/", include(accounts)),
    path("admin/", people.urls),
    path("people/", sign_ins, name="people"),
    path("people/<uuid:public_id>/second-factor/", reset_factor, name="factor-reset"),
    path("people/programs/", programs, name="programs"),
    path("people/programs/<uuid:public_id>/revoke/", revoke, name="program-revoke"),
    path("people/alarms/<uuid:public_id>/", alarm, name="alarm"),
    path("encounters/", encounters, name="encounters"),
    path("encounters/new/", new_encounter, name="encounter-new"),
    path("encounters/search/", search, name="search"),
    path("encounters/lists/", save_view, name="view-save"),
    path("encounters/lists/<uuid:public_id>/", change_view, name="view-change"),
    path("encounters/keys/", keys, name="keys"),
    path("encounters/chosen/", choose, name="choose"),
    path("encounters/chosen/<uuid:public_id>/", chosen, name="chosen"),
    path("encounters/<uuid:public_id>/approve-shown/", approve_shown, name="approve-shown"),
    path("encounters/<uuid:public_id>/take-back/", take_back, name="take-back"),
    path("encounters/kept/", keep, name="keep"),
    path("encounters/kept/thrown-away/", throw_away, name="throw-away"),
    path("encounters/<uuid:public_id>/", encounter, name="encounter"),
    path("encounters/<uuid:public_id>/sheet/", sheet, name="sheet"),
    path("downtime-sheet/", downtime_sheet, name="downtime-sheet"),
    path("encounters/<uuid:public_id>/review/", review, name="review"),
    path("encounters/<uuid:public_id>/review/approve/", approve, name="approve"),
    path("encounters/<uuid:public_id>/review/return/", send_back, name="return"),
    path("encounters/<uuid:public_id>/review/hold/", desk.hold, name="hold"),
    path("encounters/<uuid:public_id>/review/release/", desk.release, name="release"),
    path("encounters/<uuid:public_id>/review/skip/", desk.skip, name="skip"),
    path("encounters/<uuid:public_id>/review/end-skip/", desk.end_skip, name="end-skip"),
    path("encounters/<uuid:public_id>/review/correct/", desk.correct, name="correct"),
    path("encounters/<uuid:public_id>/review/void/", desk.void, name="void"),
    path("encounters/<uuid:public_id>/review/payers/", desk.beside, name="review-payers"),
    path("encounters/<uuid:public_id>/review/approvals/<int:number>/", desk.approval, name="approval"),
    path("chairs/", chairs, name="chairs"),
    path("chairs/orders/<uuid:public_id>/begin/", begin, name="order-begin"),
    path("encounters/<uuid:public_id>/live/", chair, name="chair"),
    path("orders/", orders, name="orders"),
    path("orders/new/", new_order, name="order-new"),
    path("orders/<uuid:public_id>/take-off/", take_off, name="order-take-off"),
    path("encounters/<uuid:public_id>/claim/", claim_facts, name="claim-facts"),
    path("encounters/<uuid:public_id>/record/", record.of_encounter, name="encounter-record"),
    path("patients/<uuid:public_id>/record/", record.of_patient, name="patient-record"),
    path("patients/<uuid:public_id>/", patient, name="patient"),
    path("patients/<uuid:public_id>/coverages/add/", add_coverage, name="coverage-add"),
    path("patients/<uuid:public_id>/authorizations/add/", add_authorization, name="authorization-add"),
    path("coverages/<uuid:public_id>/", coverage, name="coverage"),
    path("authorizations/<uuid:public_id>/", authorization, name="authorization"),
    path("providers/", providers, name="providers"),
    path("providers/add/", add_provider, name="provider-add"),
    path("providers/<uuid:public_id>/", provider, name="provider"),
    path("clinic/", clinic_claims, name="clinic-claims"),
    path("encounters/<uuid:public_id>/review/checklist/", checklist, name="claim-checklist"),
    path("tables/", tables, name="tables"),
    path("tables/load/", load_table, name="tables-load"),
    path("tables/<uuid:public_id>/", table, name="table"),
    path("tables/<uuid:public_id>/withdraw/", withdraw_table, name="table-withdraw"),
    path("fees/", fees, name="fees"),
    path("fees/load/", load, name="fee-load"),
    path("fees/<uuid:public_id>/", schedule, name="fee-schedule"),
    path("fees/<uuid:public_id>/withdraw/", withdraw, name="fee-withdraw"),
    path("reports/", reports, name="reports"),
    path("reports/file/", report_file, name="report-file"),
    path("imports/", imports.imports, name="imports"),
    path("imports/<uuid:public_id>/", imports.one, name="import"),
    path("imports/<uuid:public_id>/confirm/", imports.confirm, name="import-confirm"),
    path("imports/<uuid:public_id>/throw-away/", imports.throw_away, name="import-throw-away"),
    path("imports/<uuid:public_id>/problems/", imports.problems_file, name="import-problems"),
    path("batches/", batches, name="batches"),
    path("batches/<uuid:public_id>/", batch, name="batch"),
    path("batches/<uuid:public_id>/files/", write, name="batch-write"),
    path("batches/<uuid:public_id>/files/<slug:format>/", download, name="batch-file"),
    path("batches/<uuid:public_id>/reference/", reference, name="batch-reference"),
    path("rechecks/", rechecks, name="rechecks"),
    path("rechecks/<uuid:public_id>/", recheck, name="recheck"),
    path("jobs/<uuid:public_id>/", job, name="job"),
    path("payers/", include("payers.urls")),
    path("impact/<uuid:public_id>/", impact, name="impact"),
    path("impact/<uuid:public_id>/encounters/", impact_encounters, name="impact-encounters"),
    path("impact/<uuid:public_id>/encounters.csv", impact_file, name="impact-file"),
    path("drugs/", drugs, name="drugs"),
    path("drugs/add/", add_drug, name="drug-add"),
    path("drugs/rows/<uuid:public_id>/", drug_row, name="drug-row"),
    path("drugs/rows/<uuid:public_id>/impact/", impact, {"drug": True}, name="drug-impact"),
    path(
        "drugs/rows/<uuid:public_id>/impact/encounters/",
        impact_encounters,
        {"drug": True},
        name="drug-impact-encounters",
    ),
    path("drugs/rows/<uuid:public_id>/impact/encounters.csv", impact_file, {"drug": True}, name="drug-impact-file"),
    path("drugs/proposals/<uuid:public_id>/", drug_proposal, name="drug-proposal"),
    path("drugs/<slug:code>/", drug, name="drug"),
    path("drugs/<slug:code>/change/", change_drug, name="drug-change"),
]
