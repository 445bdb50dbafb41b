import { expect, test } from "vitest";
import { findTransactionControl } from "./transaction-control.ts";

test.each([
  ["COMMIT", "CREATE TABLE a (); COMMIT; CREATE TABLE b ()"],
  ["BEGIN", "begin;\nCREATE TABLE a ()"],
  ["ROLLBACK", "-- a comment\nROLLBACK"],
  ["START TRANSACTION", "/* x */ START TRANSACTION"],
  ["END", "SELECT 1; end"],
])("%s as a statement is found", (word, sql) => {
  expect(findTransactionControl(sql)).toBe(word);
});

test.each([
  "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN; COMMIT; END $$",
  "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $body$ BEGIN; $$; COMMIT; END $body$",
  "INSERT INTO t VALUES ('; COMMIT;')",
  "INSERT INTO t VALUES (E'\\'; COMMIT;')",
  'CREATE TABLE "; COMMIT; " (n integer)',
  "SELECT 1 -- ; COMMIT;",
  "SELECT CASE WHEN true THEN 1 END; /* ; COMMIT; */ SELECT 2",
])("words inside bodies, strings, names and comments are no statements: %s", (sql) => {
  expect(findTransactionControl(sql)).toBeUndefined();
});
