-- Administrators read the leaks of every organization, newest first.
CREATE INDEX key_leaks_reported_at_idx ON key_leaks (reported_at DESC, id DESC);
