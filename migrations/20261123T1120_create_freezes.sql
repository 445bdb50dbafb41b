-- The kill switch: what is frozen is refused by every verifier until somebody thaws it. Rows stay as its history.
CREATE TABLE freezes (
  id uuid PRIMARY KEY,
  -- An administrator's freeze stands beside that of the organization's own people, so that these cannot thaw it.
  authority text NOT NULL CHECK (authority IN ('platform', 'organization')),
  target_kind text NOT NULL
    CHECK (target_kind IN ('everything', 'organization', 'owner', 'environment', 'model', 'provider', 'key')),
  -- An id as the API writes it, `live` or `test`, or the name of a model or a provider; empty for everything.
  target text NOT NULL CHECK (char_length(target) <= 200 AND (target_kind = 'everything') = (target = '')),
  -- Holds within this organization alone; NULL: everywhere.
  organization_id uuid,
  reason text NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 500),
  created_by uuid NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  thawed_at timestamptz(3),
  thawed_by uuid,
  -- Change feed revision of the last change.
  rev bigint NOT NULL,
  CHECK ((thawed_at IS NULL) = (thawed_by IS NULL)),
  CHECK (authority = 'platform' OR organization_id IS NOT NULL)
);

-- Freezing what is frozen finds the freeze that is there; of two at once, one waits for the other.
CREATE UNIQUE INDEX freezes_open_idx ON freezes (target_kind, target, organization_id, authority) NULLS NOT DISTINCT
  WHERE thawed_at IS NULL;
CREATE INDEX freezes_created_at_idx ON freezes (created_at DESC, id DESC);

GRANT SELECT, INSERT, UPDATE ON freezes TO nexus_keys;
GRANT SELECT ON freezes TO nexus_api, nexus_ai;
