-- Every change that a verifier must hear of (key, session, freeze) takes its `rev` from a one-row counter whose row lock
-- is held until COMMIT: revisions are gap-free and in commit order, so a reader that has seen rev n has seen all below n.
-- Call `record_change` as the last statements of the transaction: from there on, writers queue behind it.
CREATE TABLE change_counter (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- A restore starts a new generation; revisions of different generations cannot be compared.
  generation uuid NOT NULL DEFAULT gen_random_uuid(),
  rev bigint NOT NULL DEFAULT 0
);
INSERT INTO change_counter DEFAULT VALUES;

CREATE TABLE changes (
  rev bigint PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('key', 'session', 'user', 'freeze')),
  subject_id uuid NOT NULL,
  organization_id uuid,
  recorded_at timestamptz(3) NOT NULL DEFAULT now()
);

CREATE FUNCTION record_change(kind text, subject_id uuid, organization_id uuid) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH next AS (UPDATE change_counter SET rev = rev + 1 RETURNING rev)
  INSERT INTO changes (rev, kind, subject_id, organization_id) SELECT next.rev, $1, $2, $3 FROM next RETURNING rev;
$$;

REVOKE ALL ON FUNCTION record_change(text, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_change(text, uuid, uuid) TO nexus_api, nexus_keys;
GRANT SELECT ON change_counter, changes TO nexus_api, nexus_ai, nexus_keys;
