-- Owned by pv-keys. One-time links that hand a key over. The link's token is in nobody's table: one hash of it finds the row,
-- another opens the secret, so neither this table nor the address of a request is of any use to a thief.
CREATE TABLE key_shares (
  id uuid PRIMARY KEY,
  key_id uuid NOT NULL,
  version integer NOT NULL,
  token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
  -- Nonce, AES-256-GCM of the secret, tag. NULL once the link was opened: what was shown is gone.
  ciphertext bytea,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  expires_at timestamptz(3) NOT NULL,
  opened_at timestamptz(3),
  FOREIGN KEY (key_id, version) REFERENCES api_key_versions (key_id, version) ON DELETE CASCADE,
  CHECK (expires_at <= created_at + interval '168 hours'),
  CHECK (opened_at IS NULL OR ciphertext IS NULL)
);
CREATE INDEX key_shares_key_idx ON key_shares (key_id, version);
CREATE INDEX key_shares_expires_at_idx ON key_shares (expires_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON key_shares TO nexus_keys;
