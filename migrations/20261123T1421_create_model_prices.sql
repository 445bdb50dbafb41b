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
