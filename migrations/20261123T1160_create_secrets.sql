-- Owned by pv-keys. What others gave us, such as the keys of model providers. Every version of a value is sealed with a data
-- key of its own, which a key-encryption key outside the database wraps; both are bound to organization, secret and version,
-- so what is moved to another row does not open.

-- The key-encryption keys that this database was used with. A fingerprint tells keys apart and tells nothing of them.
CREATE TABLE key_encryption_keys (
  fingerprint text PRIMARY KEY CHECK (fingerprint ~ '^[0-9a-z][0-9a-z:._-]{7,199}$'),
  -- `file:2`, or what a KMS calls it. A name never stands for another key later.
  name text NOT NULL UNIQUE CHECK (char_length(name) BETWEEN 1 AND 200),
  created_at timestamptz(3) NOT NULL DEFAULT now()
);

CREATE TABLE secrets (
  id uuid PRIMARY KEY,
  -- NULL: the installation's own, such as the keys of its model providers.
  organization_id uuid REFERENCES organizations (id),
  name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9._-]{0,62}$'),
  -- The services that may read the value.
  readers text[] NOT NULL CHECK (cardinality(readers) BETWEEN 1 AND 20),
  -- The newest.
  version integer NOT NULL CHECK (version > 0),
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  created_by uuid NOT NULL,
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  deleted_at timestamptz(3),
  -- The change feed's number of the last change to this secret.
  rev bigint NOT NULL
);
-- The name of a deleted secret is free again.
CREATE UNIQUE INDEX secrets_name_idx ON secrets (organization_id, name) NULLS NOT DISTINCT WHERE deleted_at IS NULL;
CREATE INDEX secrets_organization_idx ON secrets (organization_id, created_at DESC, id DESC);

CREATE TABLE secret_versions (
  secret_id uuid NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
  version integer NOT NULL CHECK (version > 0),
  -- Nonce, AES-256-GCM of the value, tag. NULL: destroyed.
  ciphertext bytea CHECK (octet_length(ciphertext) <= 16500),
  -- The data key, wrapped. NULL: destroyed.
  wrapped_key bytea CHECK (octet_length(wrapped_key) <= 8192),
  -- What it was wrapped with.
  wrapped_by text NOT NULL REFERENCES key_encryption_keys (fingerprint),
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  created_by uuid NOT NULL,
  destroyed_at timestamptz(3),
  -- The rewrapping that could not open the wrapped key, so that it is not tried for ever.
  rewrap_failed uuid,
  PRIMARY KEY (secret_id, version),
  CHECK ((destroyed_at IS NULL) = (ciphertext IS NOT NULL) AND (destroyed_at IS NULL) = (wrapped_key IS NOT NULL))
);
CREATE INDEX secret_versions_wrapped_by_idx ON secret_versions (wrapped_by) WHERE wrapped_key IS NOT NULL;

-- Runs that bring every data key under one key-encryption key. One at a time; any process may go on with it.
CREATE TABLE secret_rewraps (
  id uuid PRIMARY KEY,
  to_fingerprint text NOT NULL REFERENCES key_encryption_keys (fingerprint),
  -- What there was to do when it began.
  from_fingerprints text[] NOT NULL,
  done bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  started_at timestamptz(3) NOT NULL DEFAULT now(),
  started_by uuid NOT NULL,
  finished_at timestamptz(3),
  -- Another key became the current one before it was through.
  superseded boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX secret_rewraps_running_idx ON secret_rewraps ((true)) WHERE finished_at IS NULL;

GRANT SELECT, INSERT ON key_encryption_keys TO nexus_keys;
GRANT SELECT, INSERT, UPDATE ON secrets, secret_versions, secret_rewraps TO nexus_keys;
