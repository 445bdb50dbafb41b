-- Ids of what a request made whose answer held a secret: whoever has lost the answer knows what to revoke.
ALTER TABLE idempotency_keys ADD COLUMN made text[];
