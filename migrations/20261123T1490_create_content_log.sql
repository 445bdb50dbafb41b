-- Owned by puaboai-sdk. What was asked and answered is kept only for organizations that an administrator has switched it on for.
CREATE TABLE content_log_settings (
  organization_id uuid PRIMARY KEY REFERENCES organizations (id),
  enabled boolean NOT NULL,
  retention_days smallint NOT NULL CHECK (retention_days BETWEEN 1 AND 90),
  -- Longest text that is kept, in bytes; the rest is cut off.
  max_bytes integer NOT NULL CHECK (max_bytes BETWEEN 1024 AND 1048576),
  -- What was kept until then is gone for readers at once, and deleted batch by batch.
  erased_at timestamptz(3),
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  updated_by uuid NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON content_log_settings TO nexus_ai;

CREATE TABLE request_contents (
  request_id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  -- Sealed by the gateway: whoever reads the table, or a copy of it, reads no text.
  prompt bytea,
  answer bytea,
  -- Of the texts before they were cut.
  prompt_bytes bigint NOT NULL CHECK (prompt_bytes >= 0),
  answer_bytes bigint NOT NULL CHECK (answer_bytes >= 0),
  prompt_cut boolean NOT NULL,
  answer_cut boolean NOT NULL,
  -- The answer was a stream, and is its text.
  streamed boolean NOT NULL
);
-- Each organization has a retention of its own.
CREATE INDEX request_contents_age_idx ON request_contents (organization_id, created_at);
GRANT SELECT, INSERT, DELETE ON request_contents TO nexus_ai;
