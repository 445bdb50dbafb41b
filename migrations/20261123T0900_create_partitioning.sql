-- Time columns hold whole milliseconds, timestamptz(3): that is what a JavaScript Date holds, so a time read back and
-- compared, as a page cursor does, is the time in the row.

-- Log-like tables are partitioned by month and retained by dropping partitions, never by DELETE.
-- `partitioned_tables` names them; `ensure_month_partitions` keeps every one of them made ahead of time, so that
-- no insert ever meets a month without a partition. Services call it daily; it runs with the owner's rights.
CREATE TABLE partitioned_tables (
  table_name text PRIMARY KEY,
  -- A table whose rows may never change: its partitions refuse TRUNCATE too (statement triggers are not inherited).
  append_only boolean NOT NULL DEFAULT false
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: the table is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION ensure_month_partitions(months_ahead integer DEFAULT 3) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  parent record;
  month timestamptz;
  partition text;
  made integer := 0;
BEGIN
  IF months_ahead NOT BETWEEN 0 AND 24 THEN
    RAISE EXCEPTION 'months_ahead must be from 0 to 24';
  END IF;
  -- Two callers at once would both find the partition missing; the second waits here and then finds it made.
  PERFORM pg_advisory_xact_lock(hashtext('nexus.ensure_month_partitions'));
  FOR parent IN SELECT table_name, append_only FROM partitioned_tables LOOP
    FOR i IN -1..months_ahead LOOP
      month := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
      partition := format('%s_%s', parent.table_name, to_char(month AT TIME ZONE 'UTC', 'YYYYMM'));
      CONTINUE WHEN to_regclass('public.' || quote_ident(partition)) IS NOT NULL;
      -- Made apart and attached: CREATE … PARTITION OF would lock out every insert while it waits for the longest reader.
      EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition, parent.table_name);
      EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        parent.table_name, partition, month, ((month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC');
      IF parent.append_only THEN
        EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.%I EXECUTE FUNCTION refuse_change()', partition);
      END IF;
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;

REVOKE ALL ON FUNCTION ensure_month_partitions(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_month_partitions(integer) TO nexus_api, nexus_ai, nexus_keys;
-- New databases of PostgreSQL 15 have it so; those upgraded from an earlier one do not.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO nexus_api, nexus_ai, nexus_keys;
