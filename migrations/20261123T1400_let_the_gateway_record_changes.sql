-- Budgets, prices and settings of the gateway change while it runs: its processes hear of it as verifiers hear of keys.
ALTER TABLE changes DROP CONSTRAINT changes_kind_check;
ALTER TABLE changes ADD CONSTRAINT changes_kind_check
  CHECK (kind IN ('key', 'session', 'user', 'freeze', 'secret', 'key_format', 'budget', 'price', 'gateway_settings'));
GRANT EXECUTE ON FUNCTION record_change(text, uuid, uuid) TO nexus_ai;
