-- Owned by puaboai-sdk. What one request's story needs of others' tables, and nothing more.
CREATE FUNCTION request_actors(key_id uuid, user_id uuid) RETURNS TABLE (key_name text, user_name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT (SELECT k.name FROM api_keys k WHERE k.id = key_id), (SELECT u.name FROM users u WHERE u.id = user_id)
$$;

-- The audit entries that a request has left, without what is personal. Within the request's organization and time, so that few
-- rows are looked at.
CREATE FUNCTION request_audit_entries(request_id text, organization_id uuid, since timestamptz, until timestamptz)
RETURNS TABLE (id uuid, recorded_at timestamptz, action text, outcome text, actor jsonb, targets jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT l.id, l.recorded_at, l.action, l.outcome, l.actor, l.targets FROM audit_log l
  WHERE l.organization_id = $2 AND l.recorded_at BETWEEN since AND until AND l.context ->> 'request_id' = $1
  ORDER BY l.recorded_at, l.id LIMIT 100
$$;

REVOKE ALL ON FUNCTION request_actors(uuid, uuid), request_audit_entries(text, uuid, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_actors(uuid, uuid), request_audit_entries(text, uuid, timestamptz, timestamptz) TO nexus_ai;
