-- The model or route as the client named it; NULL in rows of earlier versions, and where the client named none.
ALTER TABLE usage_events ADD COLUMN requested_model text;
