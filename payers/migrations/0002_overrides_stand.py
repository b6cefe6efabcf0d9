"""The database itself keeps override rows as they are and refuses two answers for one day.

The only change it lets through is setting, once, until when a row was known.
"""

from django.db import migrations

SQLITE = (
    """
    CREATE TRIGGER payers_policyoverride_no_delete BEFORE DELETE ON payers_policyoverride
    BEGIN SELECT RAISE(ABORT, 'an override row is never removed'); END
    """,
    """
    CREATE TRIGGER payers_policyoverride_no_update BEFORE UPDATE ON payers_policyoverride
    WHEN OLD.known_until IS NOT NULL OR NEW.known_until IS NULL
      OR NEW.id IS NOT OLD.id OR NEW.payer_id IS NOT OLD.payer_id OR NEW.public_id IS NOT OLD.public_id
      OR NEW.thread IS NOT OLD.thread OR NEW.parameter IS NOT OLD.parameter OR NEW.setting IS NOT OLD.setting
      OR NEW.drug IS NOT OLD.drug OR NEW.value IS NOT OLD.value OR NEW.effective_from IS NOT OLD.effective_from
      OR NEW.effective_until IS NOT OLD.effective_until OR NEW.source_document IS NOT OLD.source_document
      OR NEW.source_address IS NOT OLD.source_address OR NEW.source_read_on IS NOT OLD.source_read_on
      OR NEW.status IS NOT OLD.status OR NEW.note IS NOT OLD.note OR NEW.author_id IS NOT OLD.author_id
      OR NEW.publisher_id IS NOT OLD.publisher_id OR NEW.known_from IS NOT OLD.known_from
    BEGIN SELECT RAISE(ABORT, 'an override row is never changed'); END
    """,
    """
    CREATE TRIGGER payers_policyoverride_no_overlap BEFORE INSERT ON payers_policyoverride
    WHEN NEW.status <> 'draft' AND NEW.known_until IS NULL AND EXISTS (
      SELECT 1 FROM payers_policyoverride other
      WHERE other.payer_id = NEW.payer_id AND other.parameter = NEW.parameter AND other.setting = NEW.setting
        AND other.drug = NEW.drug AND other.status <> 'draft' AND other.known_until IS NULL
        AND other.effective_from <= COALESCE(NEW.effective_until, '9999-12-31')
        AND NEW.effective_from <= COALESCE(other.effective_until, '9999-12-31'))
    BEGIN SELECT RAISE(ABORT, 'two overrides of one scope overlap'); END
    """,
)

POSTGRESQL = (
    "CREATE EXTENSION IF NOT EXISTS btree_gist",
    """
    ALTER TABLE payers_policyoverride ADD CONSTRAINT payers_policyoverride_no_overlap EXCLUDE USING gist (
      payer_id WITH =, parameter WITH =, setting WITH =, drug WITH =,
      daterange(effective_from, effective_until, '[]') WITH &&
    ) WHERE (status <> 'draft' AND known_until IS NULL)
    """,
    """
    CREATE FUNCTION payers_override_stands() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'UPDATE' AND OLD.known_until IS NULL AND NEW.known_until IS NOT NULL
         AND to_jsonb(NEW) - 'known_until' = to_jsonb(OLD) - 'known_until' THEN
        RETURN NEW;
      END IF;
      RAISE EXCEPTION 'an override row is never changed or removed';
    END $$
    """,
    """
    CREATE TRIGGER payers_policyoverride_stands BEFORE UPDATE OR DELETE ON payers_policyoverride
    FOR EACH ROW EXECUTE FUNCTION payers_override_stands()
    """,
    """
    CREATE TRIGGER payers_policyoverride_no_truncate BEFORE TRUNCATE ON payers_policyoverride
    FOR EACH STATEMENT EXECUTE FUNCTION payers_override_stands()
    """,
)


def guard(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("payers", "0001_initial")]
    operations = [migrations.RunPython(guard, migrations.RunPython.noop)]
