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
