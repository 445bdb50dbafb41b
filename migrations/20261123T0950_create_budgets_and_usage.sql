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
