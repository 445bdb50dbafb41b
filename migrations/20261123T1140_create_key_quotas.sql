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
