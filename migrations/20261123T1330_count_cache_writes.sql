-- Part of `input_tokens` that the provider put into its cache, which some bill above plain input.
ALTER TABLE usage_events ADD COLUMN cache_write_tokens bigint NOT NULL DEFAULT 0 CHECK (cache_write_tokens >= 0);
