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
