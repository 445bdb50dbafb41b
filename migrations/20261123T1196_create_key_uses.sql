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
