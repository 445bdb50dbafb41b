-- Requests that made something under an Idempotency-Key. The row is written in the transaction of what was made, so there is
-- neither without the other, and whoever sends the request again within 24 hours makes nothing twice.
CREATE TABLE idempotency_keys (
  service text NOT NULL CHECK (char_length(service) BETWEEN 1 AND 64),
  -- Whose key it is: `usr_…` or `key_…`.
  caller text NOT NULL CHECK (char_length(caller) BETWEEN 1 AND 64),
  key text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
  -- SHA-256 of method, path and body.
  request_hash bytea NOT NULL CHECK (octet_length(request_hash) = 32),
  -- NULL: it held a secret, which is revealed once.
  answer jsonb,
  expires_at timestamptz(3) NOT NULL,
  PRIMARY KEY (service, caller, key)
);
CREATE INDEX idempotency_keys_expires_at_idx ON idempotency_keys (expires_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO nexus_api, nexus_ai, nexus_keys;
