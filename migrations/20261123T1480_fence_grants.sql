-- Owned by puaboai-sdk. An answer can be lost after PostgreSQL has granted a block or taken one back. What a process was granted in
-- all, less what it gave back, tells it afterwards which was so; the fence, which it raises when it asks, keeps a statement that is
-- still under way from taking effect after that.
ALTER TABLE budget_grants
  ADD obtained_nanos bigint NOT NULL DEFAULT 0,
  ADD fence bigint NOT NULL DEFAULT 1;
