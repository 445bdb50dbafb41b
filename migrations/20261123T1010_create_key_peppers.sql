-- Owned by pv-keys. A hash made with another pepper looks like an unknown key, so a wrong pepper would refuse every good
-- key without a word. Each pepper's fingerprint, HMAC-SHA-256(pepper, a fixed text), tells before anything is served.
CREATE TABLE key_peppers (
  version smallint PRIMARY KEY CHECK (version > 0),
  fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
  created_at timestamptz(3) NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT ON key_peppers TO nexus_keys;
