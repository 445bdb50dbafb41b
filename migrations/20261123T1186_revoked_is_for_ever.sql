-- No statement brings a revoked key back: the promise holds for code that is yet to be written, too.
CREATE FUNCTION refuse_revival() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the key % is revoked, which is for ever', OLD.id USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER revoked_is_for_ever BEFORE UPDATE ON api_keys
  FOR EACH ROW WHEN (OLD.state = 'revoked' AND (NEW.state <> 'revoked' OR NEW.revoked_at <> OLD.revoked_at))
  EXECUTE FUNCTION refuse_revival();
