-- Owned by pv-keys. The id of a key never changes; its secrets are versions, so that a rotation can overlap.
CREATE TABLE api_keys (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organizations (id),
  owner_kind text NOT NULL CHECK (owner_kind IN ('user', 'organization', 'service')),
  owner_user_id uuid REFERENCES users (id),
  name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
  kind text NOT NULL CHECK (kind IN ('sk', 'rk', 'svc')),
  environment text NOT NULL CHECK (environment IN ('live', 'test')),
  -- Expiry is not a state: it is a time that every reader compares for itself.
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'revoked')),
  scopes text[] NOT NULL DEFAULT '{}',
  -- NULL: every model that the organization may call.
  models text[],
  -- NULL: from anywhere.
  ip_allow cidr[],
  limits jsonb NOT NULL DEFAULT '[]',
  budget_ids uuid[] NOT NULL DEFAULT '{}',
  metadata jsonb NOT NULL DEFAULT '{}' CHECK (octet_length(metadata::text) <= 16384),
  tags text[] NOT NULL DEFAULT '{}',
  expires_at timestamptz(3),
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  created_by uuid,
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  revoked_at timestamptz(3),
  -- The change feed's number of the last change to this key.
  rev bigint NOT NULL,
  CHECK ((owner_kind = 'user') = (owner_user_id IS NOT NULL)),
  CHECK ((state = 'revoked') = (revoked_at IS NOT NULL))
);
CREATE INDEX api_keys_organization_idx ON api_keys (organization_id, created_at DESC, id DESC);

CREATE TABLE api_key_versions (
  key_id uuid NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
  version integer NOT NULL CHECK (version > 0),
  -- HMAC-SHA-256(pepper, SHA-256(key)); the pepper is not in the database.
  hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
  pepper_version smallint NOT NULL,
  -- The part that may be shown again: pv_sk_live_ab12cd34ef.
  display_prefix text NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  last_used_at timestamptz(3),
  retires_at timestamptz(3),
  PRIMARY KEY (key_id, version)
);

GRANT SELECT, INSERT, UPDATE ON api_keys, api_key_versions TO nexus_keys;
