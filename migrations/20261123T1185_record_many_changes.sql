-- As record_change, for many subjects at once: the counter is taken once, and the revisions follow the order of the ids given.
CREATE FUNCTION record_changes(kind text, subject_ids uuid[], organization_id uuid) RETURNS TABLE (subject_id uuid, rev bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH next AS (UPDATE change_counter c SET rev = c.rev + cardinality($2) RETURNING c.rev)
  INSERT INTO changes AS made (rev, kind, subject_id, organization_id)
  SELECT next.rev - cardinality($2) + subject.place, $1, subject.id, $3
  FROM next, unnest($2) WITH ORDINALITY AS subject (id, place)
  RETURNING made.subject_id, made.rev;
$$;

REVOKE ALL ON FUNCTION record_changes(text, uuid[], uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_changes(text, uuid[], uuid) TO nexus_api, nexus_keys;
