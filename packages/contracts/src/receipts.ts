/** What is known of a change's way to those who decide about keys. */
import { type Static, Type } from "typebox";
import { strictObject } from "./common.ts";

const Milliseconds = Type.Number({ minimum: 0, description: "milliseconds since the commit" });

export const ReceiptNode = strictObject({
  node: Type.String({ description: "host and port of the process" }),
  service: Type.String(),
  state: Type.Union([Type.Literal("applied"), Type.Literal("run_out"), Type.Literal("pending")], {
    description:
      "applied: it acts on the change. run_out: silent for so long that it relies on nothing it knew. pending: it may not know yet",
  }),
  elapsed_ms: Milliseconds,
  until: Type.Optional(
    Type.String({ format: "date-time", description: "of a pending node: from then on it no longer goes by what was before" }),
  ),
});

export const Receipt = strictObject({
  rev: Type.Integer({ description: "change feed revision" }),
  confirmed: Type.Boolean({
    description: "true: from now on no check that starts anywhere goes by what was before",
  }),
  elapsed_ms: Milliseconds,
  nodes: Type.Array(ReceiptNode, { description: "every process that decides about keys" }),
});
export type Receipt = Static<typeof Receipt>;

export const ReceiptQuery = strictObject({
  wait: Type.Optional(
    Type.Union([Type.Literal("0"), Type.Literal("1")], {
      description: "1: answer with the receipt, at most two seconds later; 202 when nodes are pending",
    }),
  ),
});
