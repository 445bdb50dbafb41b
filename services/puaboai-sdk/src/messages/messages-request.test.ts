import { Problem } from "@nexus/core";
import { expect, test } from "vitest";
import { boundUsage } from "../budgets/bound-usage.ts";
import { readMessagesRequest, upstreamMessagesBody } from "./messages-request.ts";

const limits = { contextTokens: 100_000, maxOutputTokens: 1000 };
const base = { model: "m", max_tokens: 50, messages: [{ role: "user", content: "hi" }] };
const read = (more: object = {}) => readMessagesRequest(Buffer.from(JSON.stringify({ ...base, ...more })));
const boundOf = (more: object = {}) => boundUsage({ ...read(more), bodyBytes: 100 }, limits);
const block = (more: object) => ({ messages: [{ role: "user", content: [more] }] });

test("what may be cached is bound at what writing it costs, and media at the whole context", () => {
  expect(boundOf()).toMatchObject({ input: 1124, output: 50, cacheWriteHour: 0 });
  const cacheControl = { cache_control: { type: "ephemeral", ttl: "1h" } };
  expect(boundOf(cacheControl)).toMatchObject({ input: 1124, cacheWriteHour: 1124 });
  expect(boundOf(block({ type: "text", text: "x", ...cacheControl }))).toMatchObject({ input: 1124, cacheWriteHour: 1124 });
  const image = { type: "image", source: { type: "url", url: "https://example.com/a.png" } };
  expect(boundOf(block(image))).toMatchObject({ input: 100_000 });
  expect(boundOf(block({ ...image, Cache_Control: {} }))).toMatchObject({ input: 100_000, cacheWriteHour: 100_000 });
});

test("tools that run at the provider are told from those that a client runs", () => {
  const own = [
    { name: "a", input_schema: {} },
    { type: "custom", name: "b" },
    { type: "bash_20250124" },
    { type: "text_editor_20250728" },
  ];
  expect(read({ tools: own }).paidTools).toEqual([]);
  expect(read({ tools: [...own, { type: "web_search_20250305" }, { type: "next_year_20290101" }] }).paidTools).toEqual([
    "web_search_20250305",
    "next_year_20290101",
  ]);
  expect(read({ mcp_servers: [] }).paidTools).toEqual(["mcp_servers"]);
});

test.each([
  [{ model: undefined }, "/model"],
  [{ model: null }, "/model"],
  [{ max_tokens: undefined }, "/max_tokens"],
  [{ max_tokens: null }, "/max_tokens"],
  [{ max_tokens: 0 }, "/max_tokens"],
  [{ max_tokens: "9" }, "/max_tokens"],
  [{ stream: "yes" }, "/stream"],
])("a request that is wrong is refused by the name of its field: %j", (change, pointer) => {
  const refusal = (() => {
    try {
      return read(change);
    } catch (error) {
      return error;
    }
  })();
  expect(refusal).toBeInstanceOf(Problem);
  expect((refusal as Problem).errors).toMatchObject([{ pointer }]);
});

test("only the name of the model is changed, and a cap above what it writes", () => {
  const body = (more: object, mostTokens: number) =>
    JSON.parse(upstreamMessagesBody(read(more), { upstreamModel: "theirs", mostTokens }).toString()) as object;
  expect(body({ odd: [1] }, 1000)).toEqual({ ...base, model: "theirs", odd: [1] });
  expect(body({ max_tokens: 5000 }, 1000)).toEqual({ ...base, model: "theirs", max_tokens: 1000 });
});
