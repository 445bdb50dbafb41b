-- What else a key carries, and the one view that verifiers read.
ALTER TABLE api_keys
  -- Calls under way at once; NULL: no bound.
  ADD COLUMN concurrency integer CHECK (concurrency BETWEEN 1 AND 1000000),
  -- Uses in a period of UTC's calendar; NULL: no quota.
  ADD COLUMN quota_limit bigint CHECK (quota_limit BETWEEN 1 AND 1000000000000),
  ADD COLUMN quota_refill text CHECK (quota_refill IN ('never', 'day', 'week', 'month')),
  ADD CONSTRAINT api_keys_quota_check CHECK ((quota_limit IS NULL) = (quota_refill IS NULL));

-- The shapes of foreign keys that were imported by their hash. They have no checksum of ours, so verifiers look up nothing
-- that has none of these shapes.
CREATE TABLE key_formats (
  name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
  prefix text NOT NULL CHECK (char_length(prefix) BETWEEN 1 AND 32),
  min_length smallint NOT NULL CHECK (min_length BETWEEN 16 AND 512),
  max_length smallint NOT NULL CHECK (max_length BETWEEN min_length AND 512),
  -- Of what follows the prefix.
  alphabet text NOT NULL CHECK (alphabet IN ('base62', 'base64url', 'hex', 'printable')),
  created_at timestamptz(3) NOT NULL DEFAULT now()
);

-- NULL: a key of ours.
ALTER TABLE api_key_versions ADD COLUMN format text REFERENCES key_formats (name);

GRANT SELECT, INSERT, UPDATE, DELETE ON key_formats TO nexus_keys;
GRANT SELECT ON key_formats TO nexus_api, nexus_ai;

-- Runs with its owner's rights: a verifier finds the key of a hash that it can compute, and reads neither table.
CREATE VIEW verifiable_keys AS
SELECT v.hash, v.version, v.pepper_version, v.format, k.id AS key_id, k.organization_id, k.owner_kind, k.owner_user_id, k.kind,
  k.environment, k.state, least(k.expires_at, v.retires_at) AS expires_at, k.scopes, k.models, k.ip_allow, k.limits, k.concurrency,
  k.quota_limit, k.quota_refill, k.budget_ids, k.tags, k.created_at, k.rev
FROM api_key_versions v JOIN api_keys k ON k.id = v.key_id;

GRANT SELECT ON verifiable_keys TO nexus_api, nexus_ai, nexus_keys;
