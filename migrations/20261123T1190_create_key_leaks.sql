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
