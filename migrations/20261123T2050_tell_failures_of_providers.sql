-- What happened at the provider in one word, and the status that it answered with; NULL in rows of earlier versions.
ALTER TABLE usage_events ADD COLUMN failure text, ADD COLUMN upstream_status smallint;
