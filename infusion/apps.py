from django.apps import AppConfig


class InfusionConfig(AppConfig):
    name = "infusion"
    verbose_name = "Infusions"
    default_auto_field = "django.db.models.BigAutoField"
