-- Owned by puaboai-sdk. A call is charged to every budget that applies to it: of the organization, a user, a key, a model, a tag or an
-- agent session, in total or by the calendar. What is spent and set aside stands in accounts: one for each window of a budget,
-- and for each subject of a budget that is for each of them.
ALTER TABLE budgets DROP CONSTRAINT budgets_level_check;
ALTER TABLE budgets ADD CONSTRAINT budgets_level_check
  CHECK (level IN ('organization', 'user', 'key', 'model', 'tag', 'session', 'pool', 'credit'));
ALTER TABLE budgets
  -- A hard budget refuses what it does not cover; a soft one warns.
  ADD enforcement text NOT NULL DEFAULT 'hard' CHECK (enforcement IN ('hard', 'soft')),
  -- Shares of the limit, in percent, at which somebody is told.
  ADD alert_percents smallint[] NOT NULL DEFAULT '{50,80,100}' CHECK (cardinality(alert_percents) <= 10),
  -- Since when it pays for nothing, because a provider billed more than was set aside.
  ADD frozen_at timestamptz(3),
  ADD deleted_at timestamptz(3),
  -- Credit is spent once and belongs to the organization; a session has an end of its own.
  ADD CHECK (level NOT IN ('credit', 'session') OR period = 'total'),
  ADD CHECK (level <> 'credit' OR enforcement = 'hard');
ALTER TABLE budgets DROP CONSTRAINT budgets_organization_id_level_subject_period_key;
CREATE UNIQUE INDEX budgets_subject_idx ON budgets (organization_id, level, subject, period) WHERE deleted_at IS NULL;

CREATE TABLE budget_accounts (
  id uuid PRIMARY KEY,
  budget_id uuid NOT NULL REFERENCES budgets (id),
  -- Whose account it is where the budget is for each of them (`budgets.subject` is '*'); empty otherwise.
  subject text NOT NULL DEFAULT '',
  -- UTC; the epoch for a budget without a reset.
  window_start timestamptz(3) NOT NULL,
  window_end timestamptz(3),
  -- Spent and accounted for.
  settled_nanos bigint NOT NULL DEFAULT 0 CHECK (settled_nanos >= 0),
  -- Set aside for calls under way. A grant never makes `settled + granted` larger than the limit.
  granted_nanos bigint NOT NULL DEFAULT 0 CHECK (granted_nanos >= 0),
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (budget_id, subject, window_start)
);
INSERT INTO budget_accounts (id, budget_id, window_start, settled_nanos, granted_nanos)
  SELECT id, id, 'epoch', settled_nanos, granted_nanos FROM budgets;
ALTER TABLE budgets DROP COLUMN settled_nanos, DROP COLUMN granted_nanos;

ALTER TABLE budget_grants DROP CONSTRAINT budget_grants_budget_id_fkey;
ALTER TABLE budget_grants RENAME COLUMN budget_id TO account_id;
ALTER TABLE budget_grants ADD FOREIGN KEY (account_id) REFERENCES budget_accounts (id);

ALTER TABLE usage_events
  -- Every account that the call is charged to.
  ADD account_ids uuid[] NOT NULL DEFAULT '{}',
  -- The budgets as they stood when the call was let through.
  ADD budget_decision jsonb;
UPDATE usage_events SET account_ids = ARRAY[budget_id] WHERE budget_id IS NOT NULL;
ALTER TABLE usage_events DROP COLUMN budget_id;

-- A share of a limit was reached: told once for each account and share, until somebody has taken it.
CREATE TABLE budget_alerts (
  account_id uuid NOT NULL REFERENCES budget_accounts (id),
  percent smallint NOT NULL CHECK (percent BETWEEN 1 AND 1000),
  settled_nanos bigint NOT NULL,
  limit_nanos bigint NOT NULL,
  reached_at timestamptz(3) NOT NULL DEFAULT now(),
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz(3) NOT NULL DEFAULT now(),
  delivered_at timestamptz(3),
  PRIMARY KEY (account_id, percent)
);
CREATE INDEX budget_alerts_open_idx ON budget_alerts (next_attempt_at) WHERE delivered_at IS NULL;

-- Credit that was bought: the limit of the organization's credit budget is their sum.
CREATE TABLE credit_entries (
  id uuid PRIMARY KEY,
  budget_id uuid NOT NULL REFERENCES budgets (id),
  -- Below zero: taken back.
  amount_nanos bigint NOT NULL CHECK (amount_nanos <> 0),
  -- Of the payment, by whoever made it: the same one counts once.
  reference text NOT NULL,
  note text,
  created_by text NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (budget_id, reference)
);

GRANT SELECT, INSERT, UPDATE ON budget_accounts, budget_alerts TO nexus_ai;
GRANT SELECT, INSERT ON credit_entries TO nexus_ai;

-- Of the feed, the gateway writes only what is its own.
REVOKE EXECUTE ON FUNCTION record_change(text, uuid, uuid) FROM nexus_ai;
CREATE FUNCTION record_gateway_change(kind text, subject_id uuid, organization_id uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF kind NOT IN ('budget', 'price', 'gateway_settings') THEN
    RAISE insufficient_privilege USING MESSAGE = format('the gateway records no changes of kind %s', kind);
  END IF;
  RETURN record_change(kind, subject_id, organization_id);
END $$;
REVOKE ALL ON FUNCTION record_gateway_change(text, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_gateway_change(text, uuid, uuid) TO nexus_ai;
