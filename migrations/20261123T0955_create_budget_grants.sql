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
