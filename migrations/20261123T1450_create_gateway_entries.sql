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
