from django.urls import path

from payers.views import (
    add,
    compare,
    detail,
    history,
    identity,
    new_rule,
    pack,
    pack_file,
    parameter,
    payer_list,
    proposal,
    rule,
)

app_name = "payers"

urlpatterns = [
    path("", payer_list, name="list"),
    path("add/", add, name="add"),
    path("pack/", pack, name="pack"),
    path("pack/payers.toml", pack_file, name="pack-file"),
    path("<slug:slug>/", detail, name="detail"),
    path("<slug:slug>/history/", history, name="history"),
    path("<slug:slug>/compare/", compare, name="compare"),
    path("<slug:slug>/claims/", identity, name="identity"),
    path("<slug:slug>/rules/<uuid:public_id>/", rule, name="rule"),
    path("<slug:slug>/proposals/<uuid:public_id>/", proposal, name="proposal"),
    path("<slug:slug>/<slug:parameter>/", parameter, name="parameter"),
    path("<slug:slug>/<slug:parameter>/new/", new_rule, name="new-rule"),
]
