-- The agent session that a call belongs to, as its client names it, and the tags of its key.
ALTER TABLE usage_events ADD session text, ADD tags text[] NOT NULL DEFAULT '{}';
CREATE INDEX usage_events_session_idx ON usage_events (organization_id, session, occurred_at DESC) WHERE session IS NOT NULL;
