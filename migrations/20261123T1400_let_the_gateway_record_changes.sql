-- Budgets, prices and settings of the gateway change while it runs: its processes hear of it as verifiers hear of keys.
-- The table was made while its predecessor still had the name, so PostgreSQL numbered the constraint.
ALTER TABLE changes DROP CONSTRAINT changes_kind_check1;
ALTER TABLE changes ADD CONSTRAINT changes_kind_check
  CHECK (kind IN ('key', 'session', 'user', 'freeze', 'secret', 'key_format', 'budget', 'price', 'gateway_settings'));
GRANT EXECUTE ON FUNCTION record_change(text, uuid, uuid) TO nexus_ai;
