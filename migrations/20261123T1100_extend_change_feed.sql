-- More that a verifier must hear of, and who the verifiers are.
ALTER TABLE changes DROP CONSTRAINT changes_kind_check;
ALTER TABLE changes ADD CONSTRAINT changes_kind_check
  CHECK (kind IN ('key', 'session', 'user', 'freeze', 'secret', 'key_format'));
-- A process that starts asks for what ended within the life of a token.
CREATE INDEX changes_recorded_at_idx ON changes (recorded_at);

-- One row for each process that decides about keys. A process makes its row and commits it before it first reads its position
-- in the feed: so whoever lists the rows after committing a change finds every process that may not have seen the change.
CREATE TABLE verifier_leases (
  verifier_id uuid PRIMARY KEY,
  service text NOT NULL CHECK (char_length(service) BETWEEN 1 AND 64),
  -- What a receipt calls it: host and process.
  node text NOT NULL CHECK (char_length(node) BETWEEN 1 AND 300),
  generation uuid NOT NULL,
  -- Everything up to here was applied when the renewal was sent.
  applied_rev bigint NOT NULL,
  -- How long beyond its lease it goes on with what it knows.
  blind_seconds integer NOT NULL CHECK (blind_seconds BETWEEN 0 AND 86400),
  renewals bigint NOT NULL DEFAULT 0,
  renewed_at timestamptz(3) NOT NULL DEFAULT clock_timestamp()
);

GRANT SELECT, INSERT, UPDATE, DELETE ON verifier_leases TO nexus_api, nexus_ai, nexus_keys;
