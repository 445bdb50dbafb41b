-- Written by tools/write-schema.ts from migrations/; do not edit. The platform itself runs the migrations (npm run migrate).
-- For an empty database, in which the roles nexus_api, nexus_ai and nexus_keys exist: psql -v ON_ERROR_STOP=1 -f schema.sql
BEGIN;
SET LOCAL search_path = public;

-- 20261123T0900_create_partitioning.sql
-- Time columns hold whole milliseconds, timestamptz(3): that is what a JavaScript Date holds, so a time read back and
-- compared, as a page cursor does, is the time in the row.

-- Log-like tables are partitioned by month and retained by dropping partitions, never by DELETE.
-- `partitioned_tables` names them; `ensure_month_partitions` keeps every one of them made ahead of time, so that
-- no insert ever meets a month without a partition. Services call it daily; it runs with the owner's rights.
CREATE TABLE partitioned_tables (
  table_name text PRIMARY KEY,
  -- A table whose rows may never change: its partitions refuse TRUNCATE too (statement triggers are not inherited).
  append_only boolean NOT NULL DEFAULT false
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: the table is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION ensure_month_partitions(months_ahead integer DEFAULT 3) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  parent record;
  month timestamptz;
  partition text;
  made integer := 0;
BEGIN
  IF months_ahead NOT BETWEEN 0 AND 24 THEN
    RAISE EXCEPTION 'months_ahead must be from 0 to 24';
  END IF;
  -- Two callers at once would both find the partition missing; the second waits here and then finds it made.
  PERFORM pg_advisory_xact_lock(hashtext('nexus.ensure_month_partitions'));
  FOR parent IN SELECT table_name, append_only FROM partitioned_tables LOOP
    FOR i IN -1..months_ahead LOOP
      month := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
      partition := format('%s_%s', parent.table_name, to_char(month AT TIME ZONE 'UTC', 'YYYYMM'));
      CONTINUE WHEN to_regclass('public.' || quote_ident(partition)) IS NOT NULL;
      -- Made apart and attached: CREATE … PARTITION OF would lock out every insert while it waits for the longest reader.
      EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition, parent.table_name);
      EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        parent.table_name, partition, month, ((month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC');
      IF parent.append_only THEN
        EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.%I EXECUTE FUNCTION refuse_change()', partition);
      END IF;
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;

REVOKE ALL ON FUNCTION ensure_month_partitions(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_month_partitions(integer) TO nexus_api, nexus_ai, nexus_keys;
-- New databases of PostgreSQL 15 have it so; those upgraded from an earlier one do not.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO nexus_api, nexus_ai, nexus_keys;

-- 20261123T0910_create_accounts.sql
-- Owned by puabo-api. A tenant is an organization; every person has a personal one from the moment of sign-up.
CREATE TABLE organizations (
  id uuid PRIMARY KEY,
  name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
  personal boolean NOT NULL DEFAULT false,
  created_at timestamptz(3) NOT NULL DEFAULT now()
);

CREATE TABLE users (
  id uuid PRIMARY KEY,
  email text NOT NULL CHECK (char_length(email) BETWEEN 3 AND 254),
  email_verified boolean NOT NULL DEFAULT false,
  name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
  image text,
  role text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  disabled_at timestamptz(3)
);
CREATE UNIQUE INDEX users_email_key ON users (lower(email));

CREATE TABLE members (
  organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  role text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX members_user_id_idx ON members (user_id);

-- How a person can prove who they are; a password is the provider `credential`.
CREATE TABLE accounts (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  provider_id text NOT NULL,
  account_id text NOT NULL,
  password_hash text,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (provider_id, account_id)
);
CREATE INDEX accounts_user_id_idx ON accounts (user_id);

-- The row is the truth of a session; a cache only repeats it. The token itself is nowhere.
CREATE TABLE sessions (
  id uuid PRIMARY KEY,
  token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  amr text[] NOT NULL,
  aal smallint NOT NULL CHECK (aal BETWEEN 1 AND 3),
  auth_time timestamptz(3) NOT NULL,
  ip inet,
  user_agent text,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  last_seen_at timestamptz(3) NOT NULL DEFAULT now(),
  idle_expires_at timestamptz(3) NOT NULL,
  absolute_expires_at timestamptz(3) NOT NULL,
  revoked_at timestamptz(3),
  revoked_reason text
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id) WHERE revoked_at IS NULL;

-- The one-time code of the set-up link; at most one is open.
CREATE TABLE setup_codes (
  code_hash bytea PRIMARY KEY CHECK (octet_length(code_hash) = 32),
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  expires_at timestamptz(3) NOT NULL,
  used_at timestamptz(3)
);

-- JWT signing keys; the private half rests wrapped by JWT_SECRET.
CREATE TABLE signing_keys (
  kid text PRIMARY KEY,
  algorithm text NOT NULL,
  public_jwk jsonb NOT NULL,
  wrapped_private_jwk bytea NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  active_from timestamptz(3) NOT NULL,
  retired_at timestamptz(3)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON organizations, users, members, accounts, sessions, setup_codes, signing_keys TO nexus_api;

-- 20261123T0920_create_change_feed.sql
-- Every change that a verifier must hear of (key, session, freeze) takes its `rev` from a one-row counter whose row lock
-- is held until COMMIT: revisions are gap-free and in commit order, so a reader that has seen rev n has seen all below n.
-- Call `record_change` as the last statements of the transaction: from there on, writers queue behind it.
CREATE TABLE change_counter (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- A restore starts a new generation; revisions of different generations cannot be compared.
  generation uuid NOT NULL DEFAULT gen_random_uuid(),
  rev bigint NOT NULL DEFAULT 0
);
INSERT INTO change_counter DEFAULT VALUES;

CREATE TABLE changes (
  rev bigint PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('key', 'session', 'user', 'freeze')),
  subject_id uuid NOT NULL,
  organization_id uuid,
  recorded_at timestamptz(3) NOT NULL DEFAULT now()
);

CREATE FUNCTION record_change(kind text, subject_id uuid, organization_id uuid) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH next AS (UPDATE change_counter SET rev = rev + 1 RETURNING rev)
  INSERT INTO changes (rev, kind, subject_id, organization_id) SELECT next.rev, $1, $2, $3 FROM next RETURNING rev;
$$;

REVOKE ALL ON FUNCTION record_change(text, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_change(text, uuid, uuid) TO nexus_api, nexus_keys;
GRANT SELECT ON change_counter, changes TO nexus_api, nexus_ai, nexus_keys;

-- 20261123T0930_create_api_keys.sql
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

-- 20261123T0940_create_audit_log.sql
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

-- 20261123T0950_create_budgets_and_usage.sql
-- Owned by puaboai-sdk. Money is integer nano-dollars. An organization without a budget row may spend nothing.
CREATE TABLE budgets (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organizations (id),
  level text NOT NULL CHECK (level IN ('organization', 'user', 'key', 'model', 'tag', 'session')),
  -- What the level names: a key id, a model, a tag; empty for the organization itself.
  subject text NOT NULL DEFAULT '',
  period text NOT NULL DEFAULT 'total' CHECK (period IN ('total', 'day', 'week', 'month')),
  limit_nanos bigint NOT NULL CHECK (limit_nanos >= 0),
  -- Spent and accounted for.
  settled_nanos bigint NOT NULL DEFAULT 0 CHECK (settled_nanos >= 0),
  -- Set aside for calls under way. `settled + granted` never exceeds the limit by a grant.
  granted_nanos bigint NOT NULL DEFAULT 0 CHECK (granted_nanos >= 0),
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (organization_id, level, subject, period)
);

-- One row an attempt; a second insert of the same attempt is no row.
CREATE TABLE usage_events (
  occurred_at timestamptz(3) NOT NULL,
  request_id uuid NOT NULL,
  attempt smallint NOT NULL CHECK (attempt >= 1),
  organization_id uuid NOT NULL,
  key_id uuid,
  user_id uuid,
  endpoint text NOT NULL,
  model text NOT NULL,
  provider text NOT NULL,
  upstream_model text NOT NULL,
  stream boolean NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('ok', 'error', 'aborted', 'crash', 'overrun')),
  http_status smallint,
  error_code text,
  input_tokens bigint NOT NULL CHECK (input_tokens >= 0),
  output_tokens bigint NOT NULL CHECK (output_tokens >= 0),
  cached_input_tokens bigint NOT NULL DEFAULT 0 CHECK (cached_input_tokens >= 0),
  reasoning_tokens bigint NOT NULL DEFAULT 0 CHECK (reasoning_tokens >= 0),
  -- Who counted: the provider's own figures, or ours where it gave none.
  usage_source text NOT NULL CHECK (usage_source IN ('provider', 'counted', 'bound', 'none')),
  cost_nanos bigint NOT NULL CHECK (cost_nanos >= 0),
  budget_id uuid,
  reserved_nanos bigint NOT NULL DEFAULT 0 CHECK (reserved_nanos >= 0),
  -- The price row that was used, as it stood.
  price jsonb,
  duration_ms integer NOT NULL CHECK (duration_ms >= 0),
  first_byte_ms integer CHECK (first_byte_ms >= 0),
  client_request_id text,
  trace_id text,
  recorded_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (occurred_at, request_id, attempt)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX usage_events_organization_idx ON usage_events (organization_id, occurred_at DESC);
CREATE INDEX usage_events_key_idx ON usage_events (key_id, occurred_at DESC) WHERE key_id IS NOT NULL;
CREATE INDEX usage_events_request_idx ON usage_events (request_id);

INSERT INTO partitioned_tables (table_name) VALUES ('usage_events');

GRANT SELECT, INSERT, UPDATE ON budgets TO nexus_ai;
GRANT SELECT, INSERT ON usage_events TO nexus_ai;

-- 20261123T0955_create_budget_grants.sql
-- Owned by puaboai-sdk. What each gateway process holds of a budget's `granted_nanos`, so that what a killed process held can be
-- given back to the last nano: its journal tells which calls it had begun, this table what it had set aside for all of them.
CREATE TABLE budget_grants (
  process_id uuid NOT NULL,
  budget_id uuid NOT NULL REFERENCES budgets (id),
  granted_nanos bigint NOT NULL CHECK (granted_nanos >= 0),
  PRIMARY KEY (process_id, budget_id)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON budget_grants TO nexus_ai;

-- The month partition of `usage_events` that a row replayed from an old journal needs. Refuses what cannot be a replay: older
-- than two years, or later than the partitions that `ensure_month_partitions` keeps ahead.
CREATE FUNCTION ensure_usage_partition(occurred_at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  month timestamptz := date_trunc('month', occurred_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
  partition text := format('usage_events_%s', to_char(month AT TIME ZONE 'UTC', 'YYYYMM'));
BEGIN
  IF occurred_at NOT BETWEEN now() - interval '24 months' AND now() + interval '3 months' THEN
    RETURN false;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('nexus.ensure_month_partitions'));
  IF to_regclass('public.' || quote_ident(partition)) IS NULL THEN
    EXECUTE format('CREATE TABLE public.%I PARTITION OF public.usage_events FOR VALUES FROM (%L) TO (%L)',
      partition, month, ((month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC');
  END IF;
  RETURN true;
END $$;

REVOKE ALL ON FUNCTION ensure_usage_partition(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_usage_partition(timestamptz) TO nexus_ai;

-- 20261123T1000_create_modules.sql
-- Owned by puabo-api. `modules` holds what is known now, `module_checks` every probe, `module_incidents` the spans between.
CREATE TABLE modules (
  name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]{0,62}$'),
  title text NOT NULL,
  built_in boolean NOT NULL,
  status text NOT NULL DEFAULT 'unknown' CHECK (status IN ('operational', 'degraded', 'down', 'unknown', 'maintenance')),
  since timestamptz(3) NOT NULL DEFAULT now(),
  checked_at timestamptz(3),
  latency_ms integer,
  version text,
  failures_in_a_row integer NOT NULL DEFAULT 0,
  checks jsonb NOT NULL DEFAULT '[]'
);

CREATE TABLE module_checks (
  checked_at timestamptz(3) NOT NULL,
  module text NOT NULL,
  status text NOT NULL,
  latency_ms integer,
  PRIMARY KEY (checked_at, module)
) PARTITION BY RANGE (checked_at);
CREATE INDEX module_checks_module_idx ON module_checks (module, checked_at DESC);

CREATE TABLE module_incidents (
  id uuid PRIMARY KEY,
  module text NOT NULL REFERENCES modules (name) ON DELETE CASCADE,
  status text NOT NULL CHECK (status IN ('degraded', 'down', 'unknown')),
  started_at timestamptz(3) NOT NULL,
  ended_at timestamptz(3)
);
CREATE INDEX module_incidents_module_idx ON module_incidents (module, started_at DESC);
CREATE UNIQUE INDEX module_incidents_open_key ON module_incidents (module) WHERE ended_at IS NULL;

INSERT INTO modules (name, title, built_in) VALUES
  ('auth', 'Accounts and sign-in', true),
  ('keys', 'API keys', true),
  ('ai', 'AI gateway', true),
  ('database', 'PostgreSQL', true),
  ('cache', 'Redis', true),
  ('audit', 'Audit log', true);
INSERT INTO partitioned_tables (table_name) VALUES ('module_checks');

GRANT SELECT, INSERT, UPDATE ON modules, module_incidents TO nexus_api;
GRANT SELECT, INSERT ON module_checks TO nexus_api;

SELECT ensure_month_partitions();

-- 20261123T1010_create_key_peppers.sql
-- Owned by pv-keys. A hash made with another pepper looks like an unknown key, so a wrong pepper would refuse every good
-- key without a word. Each pepper's fingerprint, HMAC-SHA-256(pepper, a fixed text), tells before anything is served.
CREATE TABLE key_peppers (
  version smallint PRIMARY KEY CHECK (version > 0),
  fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
  created_at timestamptz(3) NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT ON key_peppers TO nexus_keys;

-- 20261123T1100_extend_change_feed.sql
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

-- 20261123T1110_extend_api_keys.sql
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

-- 20261123T1115_share_pepper_fingerprints.sql
-- Verifiers that read keys by themselves have to know that their peppers are the right ones: with a wrong one every good key
-- would look unknown. A fingerprint tells peppers apart and tells nothing of them.
GRANT SELECT ON key_peppers TO nexus_api, nexus_ai;

-- 20261123T1120_create_freezes.sql
-- The kill switch: what is frozen is refused by every verifier until somebody thaws it. Rows stay as its history.
CREATE TABLE freezes (
  id uuid PRIMARY KEY,
  -- An administrator's freeze stands beside that of the organization's own people, so that these cannot thaw it.
  authority text NOT NULL CHECK (authority IN ('platform', 'organization')),
  target_kind text NOT NULL
    CHECK (target_kind IN ('everything', 'organization', 'owner', 'environment', 'model', 'provider', 'key')),
  -- An id as the API writes it, `live` or `test`, or the name of a model or a provider; empty for everything.
  target text NOT NULL CHECK (char_length(target) <= 200 AND (target_kind = 'everything') = (target = '')),
  -- Holds within this organization alone; NULL: everywhere.
  organization_id uuid,
  reason text NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 500),
  created_by uuid NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  thawed_at timestamptz(3),
  thawed_by uuid,
  -- Change feed revision of the last change.
  rev bigint NOT NULL,
  CHECK ((thawed_at IS NULL) = (thawed_by IS NULL)),
  CHECK (authority = 'platform' OR organization_id IS NOT NULL)
);

-- Freezing what is frozen finds the freeze that is there; of two at once, one waits for the other.
CREATE UNIQUE INDEX freezes_open_idx ON freezes (target_kind, target, organization_id, authority) NULLS NOT DISTINCT
  WHERE thawed_at IS NULL;
CREATE INDEX freezes_created_at_idx ON freezes (created_at DESC, id DESC);

GRANT SELECT, INSERT, UPDATE ON freezes TO nexus_keys;
GRANT SELECT ON freezes TO nexus_api, nexus_ai;

-- 20261123T1130_create_idempotency_keys.sql
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

-- 20261123T1140_create_key_quotas.sql
-- Owned by pv-keys. What each key has used of its quota, and the blocks of it that processes hold: a process spends its block
-- without asking, and accounts for it when it asks for the next one, is idle, or ends.
CREATE TABLE key_quotas (
  key_id uuid PRIMARY KEY REFERENCES api_keys (id) ON DELETE CASCADE,
  -- Of the period that `used` counts in; 'epoch' where there is no refill.
  period_start timestamptz(3) NOT NULL,
  -- Spent, or in a block that has not been accounted for.
  used bigint NOT NULL CHECK (used >= 0)
);

CREATE TABLE quota_leases (
  process_id uuid NOT NULL,
  key_id uuid NOT NULL REFERENCES key_quotas (key_id) ON DELETE CASCADE,
  -- The block as it was granted. That of a process that was killed stays charged until the period ends.
  held bigint NOT NULL CHECK (held > 0),
  leased_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (process_id, key_id)
);
CREATE INDEX quota_leases_key_id_idx ON quota_leases (key_id);

GRANT SELECT ON key_quotas, quota_leases TO nexus_keys;

CREATE FUNCTION quota_period_start(refill text, moment timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SET search_path = public, pg_temp AS $$
  SELECT CASE WHEN $1 = 'never' THEN timestamptz 'epoch' ELSE date_trunc($1, $2 AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' END;
$$;

-- Trades what a process has left of its block for a new block: what is `asked` for, or what is left of it, and up to
-- `wish` as long as that is no more than a sixteenth of what is left, so that several processes do not hold the rest from one
-- another. `granted` is 0 when less than `needed` is left, NULL when the key has no quota (any more). `ends_in_ms`: until the
-- block is void, NULL for never. The limit is the key's own, as committed; the time is PostgreSQL's.
CREATE FUNCTION lease_quota(process uuid, key uuid, unspent bigint, needed bigint, asked bigint, wish bigint)
RETURNS TABLE (granted bigint, left_over bigint, ends_in_ms bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  quota record;
  ledger record;
  moment timestamptz;
  opened timestamptz;
  returned bigint;
BEGIN
  SELECT quota_limit, quota_refill INTO quota FROM api_keys WHERE id = key;
  IF quota.quota_limit IS NULL THEN
    RETURN QUERY SELECT NULL::bigint, NULL::bigint, NULL::bigint;
    RETURN;
  END IF;
  INSERT INTO key_quotas (key_id, period_start, used) VALUES (key, quota_period_start(quota.quota_refill, clock_timestamp()), 0)
    ON CONFLICT (key_id) DO NOTHING;
  SELECT period_start, used INTO ledger FROM key_quotas WHERE key_id = key FOR UPDATE;
  -- Read when the row is ours: whoever waited for it over midnight is in the new period.
  moment := clock_timestamp();
  opened := quota_period_start(quota.quota_refill, moment);
  -- Only forward: a clock that was set back opens no period twice.
  IF opened > ledger.period_start THEN
    DELETE FROM quota_leases WHERE key_id = key;
    ledger.period_start := opened;
    ledger.used := 0;
  END IF;
  DELETE FROM quota_leases WHERE process_id = process AND key_id = key RETURNING least(unspent, held) INTO returned;
  ledger.used := ledger.used - greatest(coalesce(returned, 0), 0);
  left_over := greatest(quota.quota_limit - ledger.used, 0);
  granted := CASE WHEN left_over < needed THEN 0 ELSE least(left_over, greatest(needed, asked, least(wish, left_over / 16))) END;
  UPDATE key_quotas SET period_start = ledger.period_start, used = ledger.used + granted WHERE key_id = key;
  IF granted > 0 THEN
    INSERT INTO quota_leases (process_id, key_id, held) VALUES (process, key, granted);
  END IF;
  left_over := left_over - granted;
  IF quota.quota_refill <> 'never' THEN
    ends_in_ms := floor(extract(epoch FROM
      (ledger.period_start AT TIME ZONE 'UTC' + ('1 ' || quota.quota_refill)::interval) AT TIME ZONE 'UTC' - moment) * 1000);
  END IF;
  RETURN NEXT;
END $$;

-- A process accounts for its block: all of it is spent but `unspent`.
CREATE FUNCTION return_quota(process uuid, key uuid, unspent bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  returned bigint;
BEGIN
  PERFORM FROM key_quotas WHERE key_id = key FOR UPDATE;
  DELETE FROM quota_leases WHERE process_id = process AND key_id = key RETURNING least(unspent, held) INTO returned;
  UPDATE key_quotas SET used = used - returned WHERE key_id = key AND returned > 0;
END $$;

REVOKE ALL ON FUNCTION quota_period_start(text, timestamptz), lease_quota(uuid, uuid, bigint, bigint, bigint, bigint),
  return_quota(uuid, uuid, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lease_quota(uuid, uuid, bigint, bigint, bigint, bigint), return_quota(uuid, uuid, bigint)
  TO nexus_api, nexus_ai, nexus_keys;

-- 20261123T1160_create_secrets.sql
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

-- 20261123T1180_create_key_shares.sql
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

-- 20261123T1185_record_many_changes.sql
-- As record_change, for many subjects at once: the counter is taken once, and the revisions follow the order of the ids given.
CREATE FUNCTION record_changes(kind text, subject_ids uuid[], organization_id uuid) RETURNS TABLE (subject_id uuid, rev bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH next AS (UPDATE change_counter c SET rev = c.rev + cardinality($2) RETURNING c.rev)
  INSERT INTO changes AS made (rev, kind, subject_id, organization_id)
  SELECT next.rev - cardinality($2) + subject.place, $1, subject.id, $3
  FROM next, unnest($2) WITH ORDINALITY AS subject (id, place)
  RETURNING made.subject_id, made.rev;
$$;

REVOKE ALL ON FUNCTION record_changes(text, uuid[], uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_changes(text, uuid[], uuid) TO nexus_api, nexus_keys;

-- 20261123T1186_revoked_is_for_ever.sql
-- No statement brings a revoked key back: the promise holds for code that is yet to be written, too.
CREATE FUNCTION refuse_revival() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the key % is revoked, which is for ever', OLD.id USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER revoked_is_for_ever BEFORE UPDATE ON api_keys
  FOR EACH ROW WHEN (OLD.state = 'revoked' AND (NEW.state <> 'revoked' OR NEW.revoked_at <> OLD.revoked_at))
  EXECUTE FUNCTION refuse_revival();

-- 20261123T1190_create_key_leaks.sql
-- Owned by pv-keys. Where keys were seen that should not be seen by anybody, and what was done about it.
CREATE TABLE key_leaks (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  key_id uuid NOT NULL,
  -- Which of the key's secrets was seen.
  version integer NOT NULL,
  -- Who told: github:content, github:commit …, or admin.
  source text NOT NULL CHECK (char_length(source) BETWEEN 1 AND 100),
  -- Where it was seen; empty where that was not told.
  url text NOT NULL CHECK (char_length(url) <= 2000),
  -- SHA-256 of source and url: the same report again is no new one, and addresses are too long for an index.
  place bytea NOT NULL CHECK (octet_length(place) = 32),
  reported_at timestamptz(3) NOT NULL DEFAULT now(),
  -- none: the operator's policy is to report only, or there was nothing left to end.
  action text NOT NULL CHECK (action IN ('revoked', 'disabled', 'none')),
  FOREIGN KEY (key_id, version) REFERENCES api_key_versions (key_id, version) ON DELETE CASCADE,
  UNIQUE (key_id, version, place)
);
CREATE INDEX key_leaks_organization_idx ON key_leaks (organization_id, reported_at DESC, id DESC);

GRANT SELECT, INSERT ON key_leaks TO nexus_keys;

-- What one key of one organization did, out of tables that pv-keys may not read: the sums for each endpoint and model, for each
-- day of UTC, and in all. A request counts once, however many attempts it took.
CREATE FUNCTION key_usage_activity(key uuid, tenant uuid, since timestamptz)
RETURNS TABLE (part text, endpoint text, model text, day date, requests bigint, failed bigint, input_tokens bigint,
  output_tokens bigint, cost_nanos bigint, first_at timestamptz, last_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT CASE WHEN grouping(u.endpoint) = 0 THEN 'model' WHEN grouping((u.occurred_at AT TIME ZONE 'UTC')::date) = 0 THEN 'day'
      ELSE 'all' END,
    u.endpoint, u.model, (u.occurred_at AT TIME ZONE 'UTC')::date, count(DISTINCT u.request_id),
    count(DISTINCT u.request_id) FILTER (WHERE u.outcome <> 'ok'), coalesce(sum(u.input_tokens), 0)::bigint,
    coalesce(sum(u.output_tokens), 0)::bigint, coalesce(sum(u.cost_nanos), 0)::bigint, min(u.occurred_at), max(u.occurred_at)
  FROM usage_events u
  WHERE u.key_id = $1 AND u.organization_id = $2 AND u.occurred_at >= $3
  GROUP BY GROUPING SETS ((u.endpoint, u.model), ((u.occurred_at AT TIME ZONE 'UTC')::date), ());
$$;

-- Its last calls, newest first.
CREATE FUNCTION key_last_calls(key uuid, tenant uuid, since timestamptz, most integer)
RETURNS TABLE (request_id uuid, attempt smallint, occurred_at timestamptz, endpoint text, model text, outcome text,
  http_status smallint, cost_nanos bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT u.request_id, u.attempt, u.occurred_at, u.endpoint, u.model, u.outcome, u.http_status, u.cost_nanos
  FROM usage_events u
  WHERE u.key_id = $1 AND u.organization_id = $2 AND u.occurred_at >= $3
  ORDER BY u.occurred_at DESC, u.request_id DESC, u.attempt DESC LIMIT least($4, 1000);
$$;

-- The organization's audit entries that the key made, or that tell of it, newest first. No personal values.
CREATE FUNCTION key_audit_activity(key uuid, tenant uuid, since timestamptz, most integer)
RETURNS TABLE (id uuid, recorded_at timestamptz, action text, outcome text, actor jsonb, targets jsonb, request_id text,
  by_key boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT a.id, a.recorded_at, a.action, a.outcome, a.actor, a.targets, a.context ->> 'request_id',
    coalesce(a.context ->> 'key_id' = 'key_' || $1 OR a.actor ->> 'id' = 'key_' || $1, false)
  FROM audit_log a
  WHERE a.organization_id = $2 AND a.recorded_at >= $3
    AND (a.context ->> 'key_id' = 'key_' || $1 OR a.actor ->> 'id' = 'key_' || $1
      OR a.targets @> jsonb_build_array(jsonb_build_object('kind', 'key', 'id', 'key_' || $1)))
  ORDER BY a.recorded_at DESC, a.id DESC LIMIT least($4, 1000);
$$;

REVOKE ALL ON FUNCTION key_usage_activity(uuid, uuid, timestamptz), key_last_calls(uuid, uuid, timestamptz, integer),
  key_audit_activity(uuid, uuid, timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION key_usage_activity(uuid, uuid, timestamptz), key_last_calls(uuid, uuid, timestamptz, integer),
  key_audit_activity(uuid, uuid, timestamptz, integer) TO nexus_keys;

-- 20261123T1195_index_key_leaks.sql
-- Administrators read the leaks of every organization, newest first.
CREATE INDEX key_leaks_reported_at_idx ON key_leaks (reported_at DESC, id DESC);

-- 20261123T1196_create_key_uses.sql
-- How often each secret of a key was decided about, by the hour. Verifiers count in memory and write here every few seconds.
CREATE TABLE key_uses (
  hour timestamptz(3) NOT NULL,
  key_id uuid NOT NULL,
  version integer NOT NULL,
  service text NOT NULL CHECK (char_length(service) BETWEEN 1 AND 64),
  -- `valid`, or why the key was refused.
  outcome text NOT NULL CHECK (outcome IN ('valid', 'revoked', 'expired', 'disabled', 'frozen')),
  uses bigint NOT NULL CHECK (uses > 0),
  PRIMARY KEY (hour, key_id, version, service, outcome)
) PARTITION BY RANGE (hour);
CREATE INDEX key_uses_key_idx ON key_uses (key_id, hour DESC);
INSERT INTO partitioned_tables (table_name) VALUES ('key_uses');
SELECT ensure_month_partitions();

-- The last batch of each verifier: one that is sent again because its answer was lost is not counted again.
CREATE TABLE key_use_writers (
  writer_id uuid PRIMARY KEY,
  seq bigint NOT NULL,
  written_at timestamptz(3) NOT NULL DEFAULT now()
);

GRANT SELECT ON key_uses TO nexus_keys;

-- Adds a batch: rows of { key_id, version, outcome, uses, last_used_at }. False when it was added before.
CREATE FUNCTION record_key_uses(writer uuid, batch bigint, by_service text, counted jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO key_use_writers AS w (writer_id, seq) VALUES (writer, batch)
    ON CONFLICT (writer_id) DO UPDATE SET seq = excluded.seq, written_at = now() WHERE w.seq < excluded.seq;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM key_use_writers WHERE written_at < now() - interval '1 day';
  -- In one order for all writers, so that no two wait for each other.
  INSERT INTO key_uses AS k (hour, key_id, version, service, outcome, uses)
    SELECT date_trunc('hour', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC', u.key_id, u.version, by_service, u.outcome, sum(u.uses)
    FROM jsonb_to_recordset(counted) AS u (key_id uuid, version integer, outcome text, uses bigint)
    GROUP BY u.key_id, u.version, u.outcome ORDER BY u.key_id, u.version, u.outcome
    ON CONFLICT (hour, key_id, version, service, outcome) DO UPDATE SET uses = k.uses + excluded.uses;
  -- A secret whose row is being changed at this moment hears of its use the next time.
  WITH used AS (
    SELECT u.key_id, u.version, max(u.last_used_at) AS at
    FROM jsonb_to_recordset(counted) AS u (key_id uuid, version integer, outcome text, last_used_at timestamptz)
    WHERE u.outcome = 'valid' GROUP BY u.key_id, u.version
  ), free AS (
    SELECT v.key_id, v.version, used.at FROM api_key_versions v JOIN used USING (key_id, version) FOR NO KEY UPDATE OF v SKIP LOCKED
  )
  UPDATE api_key_versions v SET last_used_at = greatest(v.last_used_at, free.at)
    FROM free WHERE v.key_id = free.key_id AND v.version = free.version;
  RETURN true;
END $$;

REVOKE ALL ON FUNCTION record_key_uses(uuid, bigint, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_key_uses(uuid, bigint, text, jsonb) TO nexus_api, nexus_ai, nexus_keys;

-- 20261123T1197_name_what_was_made.sql
-- Ids of what a request made whose answer held a secret: whoever has lost the answer knows what to revoke.
ALTER TABLE idempotency_keys ADD COLUMN made text[];

-- 20261123T1330_count_cache_writes.sql
-- Part of `input_tokens` that the provider put into its cache, which some bill above plain input.
ALTER TABLE usage_events ADD COLUMN cache_write_tokens bigint NOT NULL DEFAULT 0 CHECK (cache_write_tokens >= 0);

-- 20261123T1340_partition_changes.sql
-- The change feed by month, so that it can be retained: what is old goes with its partition.
ALTER TABLE changes RENAME TO changes_whole;
ALTER TABLE changes_whole RENAME CONSTRAINT changes_pkey TO changes_whole_pkey;
DROP INDEX changes_recorded_at_idx;

CREATE TABLE changes (
  rev bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('key', 'session', 'user', 'freeze', 'secret', 'key_format')),
  subject_id uuid NOT NULL,
  organization_id uuid,
  recorded_at timestamptz(3) NOT NULL DEFAULT now(),
  -- The counter alone makes `rev` unique; a key of a partitioned table has to hold what it is partitioned by.
  PRIMARY KEY (rev, recorded_at)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX changes_recorded_at_idx ON changes (recorded_at);
INSERT INTO partitioned_tables (table_name) VALUES ('changes');
SELECT ensure_month_partitions();

-- What is older has no partition: whoever has not followed for so long begins anew.
INSERT INTO changes SELECT rev, kind, subject_id, organization_id, recorded_at FROM changes_whole
  WHERE recorded_at >= (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month') AT TIME ZONE 'UTC';
DROP TABLE changes_whole;
GRANT SELECT ON changes TO nexus_api, nexus_ai, nexus_keys;

-- Drops the months of the feed before the last one that every verifier alive has behind it; how many.
-- Who was away for longer finds a gap where its next change should be, and begins anew. A verifier without a place begins
-- anew by itself. Dropping waits 200 ms for those who read or write the feed, and else leaves it to the next call: a
-- revocation must not queue behind it.
CREATE FUNCTION drop_old_changes() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
  slowest bigint;
  newest bigint;
  old record;
  dropped integer := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('nexus.drop_old_changes')) THEN
    RETURN 0;
  END IF;
  SELECT min(l.applied_rev) INTO slowest FROM verifier_leases l JOIN change_counter c ON c.generation = l.generation
    WHERE l.applied_rev > 0 AND l.renewed_at > clock_timestamp() - make_interval(secs => l.blind_seconds + 60);
  FOR old IN
    SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'public.changes'::regclass
      AND to_date(right(c.relname, 6), 'YYYYMM') < date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month'
    ORDER BY c.relname
  LOOP
    EXECUTE format('SELECT max(rev) FROM public.%I', old.name) INTO newest;
    CONTINUE WHEN newest > slowest;
    EXECUTE format('DROP TABLE public.%I', old.name);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
EXCEPTION WHEN lock_not_available THEN
  RETURN 0;
END $$;

REVOKE ALL ON FUNCTION drop_old_changes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_old_changes() TO nexus_keys;

-- 20261123T1350_read_members.sql
-- pv-keys asks who of an organization may change the keys of its other members.
GRANT SELECT ON members TO nexus_keys;

-- 20261123T1400_let_the_gateway_record_changes.sql
-- Budgets, prices and settings of the gateway change while it runs: its processes hear of it as verifiers hear of keys.
-- The table was made while its predecessor still had the name, so PostgreSQL numbered the constraint.
ALTER TABLE changes DROP CONSTRAINT changes_kind_check1;
ALTER TABLE changes ADD CONSTRAINT changes_kind_check
  CHECK (kind IN ('key', 'session', 'user', 'freeze', 'secret', 'key_format', 'budget', 'price', 'gateway_settings'));
GRANT EXECUTE ON FUNCTION record_change(text, uuid, uuid) TO nexus_ai;

-- 20261123T1402_charge_several_budgets.sql
-- Owned by puaboai-sdk. A call is charged to every budget that applies to it: of the organization, a user, a key, a model, a tag or an
-- agent session, in total or by the calendar. What is spent and set aside stands in accounts: one for each window of a budget,
-- and for each subject of a budget that is for each of them.
ALTER TABLE budgets DROP CONSTRAINT budgets_level_check;
ALTER TABLE budgets ADD CONSTRAINT budgets_level_check
  CHECK (level IN ('organization', 'user', 'key', 'model', 'tag', 'session', 'pool', 'credit'));
ALTER TABLE budgets
  -- A hard budget refuses what it does not cover; a soft one warns.
  ADD enforcement text NOT NULL DEFAULT 'hard' CHECK (enforcement IN ('hard', 'soft')),
  -- Shares of the limit, in percent, at which somebody is told.
  ADD alert_percents smallint[] NOT NULL DEFAULT '{50,80,100}' CHECK (cardinality(alert_percents) <= 10),
  -- Since when it pays for nothing, because a provider billed more than was set aside.
  ADD frozen_at timestamptz(3),
  ADD deleted_at timestamptz(3),
  -- Credit is spent once and belongs to the organization; a session has an end of its own.
  ADD CHECK (level NOT IN ('credit', 'session') OR period = 'total'),
  ADD CHECK (level <> 'credit' OR enforcement = 'hard');
ALTER TABLE budgets DROP CONSTRAINT budgets_organization_id_level_subject_period_key;
CREATE UNIQUE INDEX budgets_subject_idx ON budgets (organization_id, level, subject, period) WHERE deleted_at IS NULL;

CREATE TABLE budget_accounts (
  id uuid PRIMARY KEY,
  budget_id uuid NOT NULL REFERENCES budgets (id),
  -- Whose account it is where the budget is for each of them (`budgets.subject` is '*'); empty otherwise.
  subject text NOT NULL DEFAULT '',
  -- UTC; the epoch for a budget without a reset.
  window_start timestamptz(3) NOT NULL,
  window_end timestamptz(3),
  -- Spent and accounted for.
  settled_nanos bigint NOT NULL DEFAULT 0 CHECK (settled_nanos >= 0),
  -- Set aside for calls under way. A grant never makes `settled + granted` larger than the limit.
  granted_nanos bigint NOT NULL DEFAULT 0 CHECK (granted_nanos >= 0),
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (budget_id, subject, window_start)
);
INSERT INTO budget_accounts (id, budget_id, window_start, settled_nanos, granted_nanos)
  SELECT id, id, 'epoch', settled_nanos, granted_nanos FROM budgets;
ALTER TABLE budgets DROP COLUMN settled_nanos, DROP COLUMN granted_nanos;

ALTER TABLE budget_grants DROP CONSTRAINT budget_grants_budget_id_fkey;
ALTER TABLE budget_grants RENAME COLUMN budget_id TO account_id;
ALTER TABLE budget_grants ADD FOREIGN KEY (account_id) REFERENCES budget_accounts (id);

ALTER TABLE usage_events
  -- Every account that the call is charged to.
  ADD account_ids uuid[] NOT NULL DEFAULT '{}',
  -- The budgets as they stood when the call was let through.
  ADD budget_decision jsonb;
UPDATE usage_events SET account_ids = ARRAY[budget_id] WHERE budget_id IS NOT NULL;
ALTER TABLE usage_events DROP COLUMN budget_id;

-- A share of a limit was reached: told once for each account and share, until somebody has taken it.
CREATE TABLE budget_alerts (
  account_id uuid NOT NULL REFERENCES budget_accounts (id),
  percent smallint NOT NULL CHECK (percent BETWEEN 1 AND 1000),
  settled_nanos bigint NOT NULL,
  limit_nanos bigint NOT NULL,
  reached_at timestamptz(3) NOT NULL DEFAULT now(),
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz(3) NOT NULL DEFAULT now(),
  delivered_at timestamptz(3),
  PRIMARY KEY (account_id, percent)
);
CREATE INDEX budget_alerts_open_idx ON budget_alerts (next_attempt_at) WHERE delivered_at IS NULL;

-- Credit that was bought: the limit of the organization's credit budget is their sum.
CREATE TABLE credit_entries (
  id uuid PRIMARY KEY,
  budget_id uuid NOT NULL REFERENCES budgets (id),
  -- Below zero: taken back.
  amount_nanos bigint NOT NULL CHECK (amount_nanos <> 0),
  -- Of the payment, by whoever made it: the same one counts once.
  reference text NOT NULL,
  note text,
  created_by text NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (budget_id, reference)
);

GRANT SELECT, INSERT, UPDATE ON budget_accounts, budget_alerts TO nexus_ai;
GRANT SELECT, INSERT ON credit_entries TO nexus_ai;

-- Of the feed, the gateway writes only what is its own.
REVOKE EXECUTE ON FUNCTION record_change(text, uuid, uuid) FROM nexus_ai;
CREATE FUNCTION record_gateway_change(kind text, subject_id uuid, organization_id uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF kind NOT IN ('budget', 'price', 'gateway_settings') THEN
    RAISE insufficient_privilege USING MESSAGE = format('the gateway records no changes of kind %s', kind);
  END IF;
  RETURN record_change(kind, subject_id, organization_id);
END $$;
REVOKE ALL ON FUNCTION record_gateway_change(text, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_gateway_change(text, uuid, uuid) TO nexus_ai;

-- 20261123T1404_note_sessions_and_tags.sql
-- The agent session that a call belongs to, as its client names it, and the tags of its key.
ALTER TABLE usage_events ADD session text, ADD tags text[] NOT NULL DEFAULT '{}';
CREATE INDEX usage_events_session_idx ON usage_events (organization_id, session, occurred_at DESC) WHERE session IS NOT NULL;

-- 20261123T1406_tell_the_story_of_a_request.sql
-- Owned by puaboai-sdk. What one request's story needs of others' tables, and nothing more.
CREATE FUNCTION request_actors(key_id uuid, user_id uuid) RETURNS TABLE (key_name text, user_name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT (SELECT k.name FROM api_keys k WHERE k.id = key_id), (SELECT u.name FROM users u WHERE u.id = user_id)
$$;

-- The audit entries that a request has left, without what is personal. Within the request's organization and time, so that few
-- rows are looked at.
CREATE FUNCTION request_audit_entries(request_id text, organization_id uuid, since timestamptz, until timestamptz)
RETURNS TABLE (id uuid, recorded_at timestamptz, action text, outcome text, actor jsonb, targets jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT l.id, l.recorded_at, l.action, l.outcome, l.actor, l.targets FROM audit_log l
  WHERE l.organization_id = $2 AND l.recorded_at BETWEEN since AND until AND l.context ->> 'request_id' = $1
  ORDER BY l.recorded_at, l.id LIMIT 100
$$;

REVOKE ALL ON FUNCTION request_actors(uuid, uuid), request_audit_entries(text, uuid, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_actors(uuid, uuid), request_audit_entries(text, uuid, timestamptz, timestamptz) TO nexus_ai;

-- 20261123T1410_roll_usage_up.sql
-- Owned by puaboai-sdk. Usage by the minute and by the hour, counted in the transaction that inserts the rows and only of those that it
-- inserts, so that the sums of both are always those of the rows. Nobody's key or user is the nil UUID.
CREATE TABLE usage_hours (
  bucket timestamptz(3) NOT NULL,
  organization_id uuid NOT NULL,
  key_id uuid NOT NULL,
  user_id uuid NOT NULL,
  model text NOT NULL,
  provider text NOT NULL,
  attempts bigint NOT NULL,
  failed bigint NOT NULL,
  input_tokens bigint NOT NULL,
  cached_input_tokens bigint NOT NULL,
  output_tokens bigint NOT NULL,
  reasoning_tokens bigint NOT NULL,
  cost_nanos bigint NOT NULL,
  duration_ms bigint NOT NULL,
  PRIMARY KEY (organization_id, bucket, key_id, user_id, model, provider)
);
CREATE INDEX usage_hours_bucket_idx ON usage_hours (bucket);
CREATE TABLE usage_minutes (LIKE usage_hours INCLUDING ALL);

INSERT INTO usage_hours
  SELECT date_trunc('hour', occurred_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC', organization_id,
    coalesce(key_id, '00000000-0000-0000-0000-000000000000'), coalesce(user_id, '00000000-0000-0000-0000-000000000000'),
    model, provider, count(*), count(*) FILTER (WHERE outcome <> 'ok'), sum(input_tokens), sum(cached_input_tokens),
    sum(output_tokens), sum(reasoning_tokens), sum(cost_nanos), sum(duration_ms)
  FROM usage_events GROUP BY 1, 2, 3, 4, 5, 6;

GRANT SELECT, INSERT, UPDATE ON usage_hours TO nexus_ai;
GRANT SELECT, INSERT, UPDATE, DELETE ON usage_minutes TO nexus_ai;

-- 20261123T1420_count_other_units.sql
-- Sound, images, seconds, characters, searches, and what the provider itself says that a call cost: what is not billed as plain
-- text tokens, as an object with the parts that occurred. The columns of tokens keep their meaning and count all tokens.
ALTER TABLE usage_events ADD COLUMN units jsonb;

-- 20261123T1421_create_model_prices.sql
-- Owned by puaboai-sdk. Prices that administrators set while the gateway runs, each from a moment on. Of those whose moment has
-- come the latest holds, those of gateway.yaml among them; of one moment the one that was set last.
CREATE TABLE model_prices (
  id uuid PRIMARY KEY,
  -- As clients call it.
  model text NOT NULL CHECK (length(model) BETWEEN 1 AND 200),
  effective_from timestamptz(3) NOT NULL,
  -- As it was written: "free", "unknown", or an object with amounts in dollars.
  price jsonb NOT NULL CHECK (jsonb_typeof(price) IN ('string', 'object')),
  note text CHECK (length(note) <= 500),
  created_by uuid NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  -- Taken back before its moment had come.
  withdrawn_at timestamptz(3)
);
CREATE INDEX model_prices_model_idx ON model_prices (model, effective_from DESC);
CREATE INDEX model_prices_created_idx ON model_prices (created_at DESC, id DESC);
GRANT SELECT, INSERT ON model_prices TO nexus_ai;
GRANT UPDATE (withdrawn_at) ON model_prices TO nexus_ai;

-- 20261123T1440_mark_hooked_calls.sql
-- Calls that a kept answer answered (nobody was asked, cost 0), and what a guardrail did to a call: its name, never what it found.
ALTER TABLE usage_events
  ADD COLUMN cached_answer boolean NOT NULL DEFAULT false,
  ADD COLUMN guardrail text CHECK (length(guardrail) <= 63),
  ADD COLUMN guardrail_action text CHECK (guardrail_action IN ('block', 'redact', 'warn'));

-- 20261123T1450_create_gateway_entries.sql
-- Owned by puaboai-sdk: providers, models and routes that were set by API, beside those of gateway.yaml.
CREATE TABLE gateway_entries (
  id uuid PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('provider', 'model', 'route')),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  -- As it would stand in gateway.yaml. It names where a secret is, and holds none.
  document jsonb NOT NULL CHECK (jsonb_typeof(document) = 'object'),
  -- Counts its changes.
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  updated_by text NOT NULL,
  UNIQUE (kind, name)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_entries TO nexus_ai;

-- 20261123T1480_fence_grants.sql
-- Owned by puaboai-sdk. An answer can be lost after PostgreSQL has granted a block or taken one back. What a process was granted in
-- all, less what it gave back, tells it afterwards which was so; the fence, which it raises when it asks, keeps a statement that is
-- still under way from taking effect after that.
ALTER TABLE budget_grants
  ADD obtained_nanos bigint NOT NULL DEFAULT 0,
  ADD fence bigint NOT NULL DEFAULT 1;

-- 20261123T1490_create_content_log.sql
-- Owned by puaboai-sdk. What was asked and answered is kept only for organizations that an administrator has switched it on for.
CREATE TABLE content_log_settings (
  organization_id uuid PRIMARY KEY REFERENCES organizations (id),
  enabled boolean NOT NULL,
  retention_days smallint NOT NULL CHECK (retention_days BETWEEN 1 AND 90),
  -- Longest text that is kept, in bytes; the rest is cut off.
  max_bytes integer NOT NULL CHECK (max_bytes BETWEEN 1024 AND 1048576),
  -- What was kept until then is gone for readers at once, and deleted batch by batch.
  erased_at timestamptz(3),
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  updated_by uuid NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON content_log_settings TO nexus_ai;

CREATE TABLE request_contents (
  request_id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  -- Sealed by the gateway: whoever reads the table, or a copy of it, reads no text.
  prompt bytea,
  answer bytea,
  -- Of the texts before they were cut.
  prompt_bytes bigint NOT NULL CHECK (prompt_bytes >= 0),
  answer_bytes bigint NOT NULL CHECK (answer_bytes >= 0),
  prompt_cut boolean NOT NULL,
  answer_cut boolean NOT NULL,
  -- The answer was a stream, and is its text.
  streamed boolean NOT NULL
);
-- Each organization has a retention of its own.
CREATE INDEX request_contents_age_idx ON request_contents (organization_id, created_at);
GRANT SELECT, INSERT, DELETE ON request_contents TO nexus_ai;

-- 20261123T2045_note_requested_models.sql
-- The model or route as the client named it; NULL in rows of earlier versions, and where the client named none.
ALTER TABLE usage_events ADD COLUMN requested_model text;

-- 20261123T2050_tell_failures_of_providers.sql
-- What happened at the provider in one word, and the status that it answered with; NULL in rows of earlier versions.
ALTER TABLE usage_events ADD COLUMN failure text, ADD COLUMN upstream_status smallint;

CREATE TABLE schema_migrations (
  name text PRIMARY KEY,
  checksum text NOT NULL,
  applied_at timestamptz(3) NOT NULL DEFAULT now(),
  duration_ms integer NOT NULL
);
GRANT SELECT ON schema_migrations TO nexus_api, nexus_ai, nexus_keys;

INSERT INTO schema_migrations (name, checksum, duration_ms) VALUES
  ('20261123T0900_create_partitioning.sql', '68da0a5832ff3e1f12ff74cec494a899ddde40c946d970492a174107bd931f23', 0),
  ('20261123T0910_create_accounts.sql', 'ee01dd0e8befce56eafeb3f5f5a63515cb2e5359582ca633aa23d46a68281d08', 0),
  ('20261123T0920_create_change_feed.sql', 'f7e5346650053b944df27bab933bdd0184c3c8b4f2bfb6c975fb69a3dcb48d11', 0),
  ('20261123T0930_create_api_keys.sql', '9ae1689508aa28e153ff884482dc0d8a7703e1d6e368d6777702365a5ee0341b', 0),
  ('20261123T0940_create_audit_log.sql', '60c33e844fc4c318dc0e21358cd7930d92d767ea3e613da0865f27adf88de588', 0),
  ('20261123T0950_create_budgets_and_usage.sql', 'b3e91d5f9c247f6a74673e77db394753fa1bb4e79d1acda551051633cb432236', 0),
  ('20261123T0955_create_budget_grants.sql', 'bb84a937ac1e26bdd555bb290117a09ca368fa7e61fc1db98b776bbb4d9c6e02', 0),
  ('20261123T1000_create_modules.sql', '00f65cd46a491bcf80a792e2527623dd3b808c3c41dfe162fee2c011b654e973', 0),
  ('20261123T1010_create_key_peppers.sql', 'e598133139573f6ec6709fa9e579f9c94f2e0ae4d6ceee76b0b2d6db5c0750a3', 0),
  ('20261123T1100_extend_change_feed.sql', '19f3f34ee0aa49b716f0857801ce8d3007ead5f35e8bdb14925ec70a7e24975e', 0),
  ('20261123T1110_extend_api_keys.sql', '871a82fd9df1df067b520b280a00ccfe73ab8ff7f570692d2cc18261457cda2e', 0),
  ('20261123T1115_share_pepper_fingerprints.sql', '9e2bc527fa52228231089957b8db70256c519dd88d1e83ddf37f14c90875fc8f', 0),
  ('20261123T1120_create_freezes.sql', 'ee0b07ea35181f640c1ceebbde9ca1c2b19be1c31f58e88cdc69bf0addb1d717', 0),
  ('20261123T1130_create_idempotency_keys.sql', '7c75efef99d4595cda3407f97aacb7793a0dd04dbe2742674489955c98278df5', 0),
  ('20261123T1140_create_key_quotas.sql', '00dd153b142632daa2ace1d1d50980b0a73446c5e979e351cd010c3439f83a78', 0),
  ('20261123T1160_create_secrets.sql', 'b67323ad251fdeb61218280a6e69ec807e2fd840f9748fc9cd63e4d0dd6efdc8', 0),
  ('20261123T1180_create_key_shares.sql', '2fa788cf9fb06c7bfa0d9bc79f3568bfde54c04b7f383888057297d28183e596', 0),
  ('20261123T1185_record_many_changes.sql', '14c68a62cdc025da2531ba6222680ff7845e3a3cef6cbddd78bcddfeb3e4cc80', 0),
  ('20261123T1186_revoked_is_for_ever.sql', '53629376586bc9c68d5083b470f817cddfbcbf5a5f20a2eb3801038035f93e52', 0),
  ('20261123T1190_create_key_leaks.sql', '3d86b63d89539a52293dd90eaf6eca6a2cecbcb9e52dd496805cedb0ce9a0182', 0),
  ('20261123T1195_index_key_leaks.sql', 'ca0ef0c87e3a13db16d0fc659f3af74bc2cf628ec3a6acabc44068c1cd02c317', 0),
  ('20261123T1196_create_key_uses.sql', 'dd67bfdef924469bea7be90f81f422b2a5f12ee78d6518b9be66d904b610c861', 0),
  ('20261123T1197_name_what_was_made.sql', 'edd7f02c0af7c3e0979005f4c63a7377546e159066f77d8b93c072cf80de62ba', 0),
  ('20261123T1330_count_cache_writes.sql', 'd01d93a8bb60166143816c3159122036a7990a1411c3280f00e31c2bacc8fa79', 0),
  ('20261123T1340_partition_changes.sql', 'ee5de66a138120ba0f73c5af35a66afa539d81281cb5446a4a8733495e036b6e', 0),
  ('20261123T1350_read_members.sql', '62997df1a188f9b22c8684ac85bbe831da6ecec136ad2aec04fb08f1e57ab54b', 0),
  ('20261123T1400_let_the_gateway_record_changes.sql', 'e0260bf05b9cef51b02f8e478cad1d36b6b2c865692940e1b3afdd1b75ac0560', 0),
  ('20261123T1402_charge_several_budgets.sql', 'cbed43a9ba44a42293533bff13cc71146df5cc52b2d3e503a0e1e7d3576472e3', 0),
  ('20261123T1404_note_sessions_and_tags.sql', '3fba482db82ca0342a13f75711080f420aca9415363766d9825927b9b6afa913', 0),
  ('20261123T1406_tell_the_story_of_a_request.sql', '7fb061d174f71b8c98a8eb2710872e5273d7ae9ffca0f505c06d1951bcee2d35', 0),
  ('20261123T1410_roll_usage_up.sql', '0e23f3a8569f6fb209d73540d62aae3fa226eeb9e620cac34db70763ee108069', 0),
  ('20261123T1420_count_other_units.sql', 'c934214a3feebd947b2c7c0e2acb376495a75025bc00c6faa0041783d0f723ea', 0),
  ('20261123T1421_create_model_prices.sql', '8d165b2ad7c5dc7771d5afad45e73a4fa0b46a0167f62713d9c3a1ae06c582f9', 0),
  ('20261123T1440_mark_hooked_calls.sql', 'cd7e847eae0bb99297c546a1af9e2dee4816e7c797edc0767c8ad0b9d49db2f5', 0),
  ('20261123T1450_create_gateway_entries.sql', '82bf8df731d8193b37d8cce43b2f32d5fb21d5ccc5223488c589ce09888d8fd7', 0),
  ('20261123T1480_fence_grants.sql', 'c60f7d62c7fa13bed6069b59967861f2ac798fd888b93461a1d40939185be6ca', 0),
  ('20261123T1490_create_content_log.sql', '1be31aaeb71f90853583c4f1344a7312e5e9ad8183dcdbeee9071a61e90b41de', 0),
  ('20261123T2045_note_requested_models.sql', '288e8021a0e675fe833f8503b42dcfd4b71c3a485480ffd3a79447caa6a7ef0a', 0),
  ('20261123T2050_tell_failures_of_providers.sql', '9da2ba44c61bda3aedccf84a1e0f8da076493b2f72f4a906fb10efc8b53238e4', 0);

COMMIT;
