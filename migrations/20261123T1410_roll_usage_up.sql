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
