-- One log for everything that matters. Rows are inserted in the transaction of the change that they describe and never
-- touched again: every role may INSERT, only puabo-api may SELECT, and triggers refuse the rest to the owner too.
CREATE TABLE audit_log (
  id uuid NOT NULL,
  recorded_at timestamptz(3) NOT NULL,
  occurred_at timestamptz(3) NOT NULL,
  -- NULL where no tenant is known yet, as for a failed sign-in.
  organization_id uuid,
  action text NOT NULL CHECK (action ~ '^[a-z_]+(\.[a-z_]+)+$'),
  outcome text NOT NULL CHECK (outcome IN ('success', 'failure', 'denied')),
  actor jsonb NOT NULL,
  targets jsonb NOT NULL,
  context jsonb NOT NULL,
  details jsonb NOT NULL,
  schema_version smallint NOT NULL,
  writer_id uuid NOT NULL,
  writer_seq bigint NOT NULL,
  -- The entry as RFC 8785 canonical JSON: what is hashed, proved and exported. Personal fields are commitments in it.
  canonical bytea NOT NULL,
  -- HMAC-SHA-256 over `canonical` by the writer's key: covers the time until the entry is sealed.
  mac bytea NOT NULL CHECK (octet_length(mac) = 32),
  PRIMARY KEY (recorded_at, id)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX audit_log_organization_idx ON audit_log (organization_id, recorded_at DESC);
CREATE INDEX audit_log_action_idx ON audit_log (action, recorded_at DESC);
CREATE INDEX audit_log_id_idx ON audit_log (id);

CREATE TRIGGER refuse_update BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit_log EXECUTE FUNCTION refuse_change();

-- What the sealer has yet to give an index.
CREATE TABLE audit_inbox (
  entry_id uuid PRIMARY KEY,
  recorded_at timestamptz(3) NOT NULL
);

-- The values behind the salted commitments. Deleting a row erases the person; every proof still holds.
CREATE TABLE audit_personal (
  entry_id uuid NOT NULL,
  field text NOT NULL,
  salt bytea NOT NULL CHECK (octet_length(salt) = 16),
  value text NOT NULL,
  PRIMARY KEY (entry_id, field)
);

INSERT INTO partitioned_tables (table_name, append_only) VALUES ('audit_log', true);

GRANT INSERT ON audit_log, audit_inbox, audit_personal TO nexus_api, nexus_ai, nexus_keys;
GRANT SELECT ON audit_log, audit_inbox, audit_personal TO nexus_api;
