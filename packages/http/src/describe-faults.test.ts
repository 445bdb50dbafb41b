import { Nanos, printable } from "@nexus/contracts/common";
import { Problem } from "@nexus/core";
import { Type } from "typebox";
import { expect, test } from "vitest";
import { compileRequestSchema } from "./request-schema.ts";

const Body = Type.Object(
  {
    level: Type.Union([Type.Literal("user"), Type.Literal("key"), Type.Literal("tag")]),
    limit: Type.Optional(Nanos),
    days: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
    fixed: Type.Optional(Type.Literal("total")),
    note: Type.Optional(Type.String({ pattern: printable })),
    code: Type.Optional(Type.String({ pattern: "^[a-z]{3}$" })),
    limits: Type.Optional(Type.Array(Nanos)),
  },
  { additionalProperties: false },
);

function told(body: unknown): unknown {
  const check = compileRequestSchema({ schema: Body, method: "POST", url: "/", httpPart: "body" });
  const answer = check(body) as { error?: unknown };
  return answer.error instanceof Problem ? answer.error.errors : undefined;
}

test.each([
  [{ level: "usr" }, "/level", "must be one of user, key, tag"],
  [{ level: "key", limit: "-5" }, "/limit", "must be a whole number of nano-dollars (10^-9 USD) in quotes, not below 0"],
  [
    { level: "key", limits: ["1", "2.5"] },
    "/limits/1",
    "must be a whole number of nano-dollars (10^-9 USD) in quotes, not below 0",
  ],
  [{ level: "key", days: "7" }, "/days", "must be integer or null"],
  [{ level: "key", limit: 5 }, "/limit", "must be string"],
  [{ level: "key", fixed: "day" }, "/fixed", "must be total"],
  [{ level: "key", note: "a\u0007" }, "/note", "must hold no control characters"],
  [{ level: "key", code: "a" }, "/code", 'must match pattern "^[a-z]{3}$"'],
  [{}, "/level", "is required"],
  [{ level: "key", "a/b": 1 }, "/a~1b", "is not a known field"],
])("%j is told its fault in words, once", (body, pointer, detail) => {
  expect(told(body)).toEqual([{ pointer, detail }]);
});

test("what fits is let through", () => {
  expect(told({ level: "key", limit: "5", days: null, fixed: "total", note: "é", code: "abc", limits: [] })).toBeUndefined();
});
