from django.urls import URLPattern, URLResolver, path

from infusion.views.public import calculator, rules_page

urlpatterns: list[URLPattern | URLResolver] = [
    path("", calculator, name="calculator"),
    path("rules/", rules_page, name="rules"),
]
