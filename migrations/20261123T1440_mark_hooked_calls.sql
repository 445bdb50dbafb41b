-- Calls that a kept answer answered (nobody was asked, cost 0), and what a guardrail did to a call: its name, never what it found.
ALTER TABLE usage_events
  ADD COLUMN cached_answer boolean NOT NULL DEFAULT false,
  ADD COLUMN guardrail text CHECK (length(guardrail) <= 63),
  ADD COLUMN guardrail_action text CHECK (guardrail_action IN ('block', 'redact', 'warn'));
