-- Sound, images, seconds, characters, searches, and what the provider itself says that a call cost: what is not billed as plain
-- text tokens, as an object with the parts that occurred. The columns of tokens keep their meaning and count all tokens.
ALTER TABLE usage_events ADD COLUMN units jsonb;
