from django.apps import AppConfig


class PayersConfig(AppConfig):
    name = "payers"
    verbose_name = "Payers"
    default_auto_field = "django.db.models.BigAutoField"
