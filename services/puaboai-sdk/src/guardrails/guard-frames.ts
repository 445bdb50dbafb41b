import { framesIn } from "../wire/frames-in.ts";
import { type Leaf, readFrame } from "../wire/stream-texts.ts";
import type { GuardedCall } from "./guarded-call.ts";
import type { Guardrail } from "./guardrail.ts";

/** A whole stream as the guardrails leave it: its pieces are judged as the texts that they make. @throws Problem */
export async function guardFrames(guarded: GuardedCall, guardrails: readonly Guardrail[], stream: Buffer): Promise<Buffer> {
  const frames = Array.from(framesIn(stream), readFrame);
  const texts = textsOf(frames.flatMap(({ leaves }) => leaves));
  const given = texts.map(({ at, leaves, isPieced }) => {
    return { at, text: isPieced ? leaves.map(({ text }) => text).join("") : (leaves[0]?.text ?? "") };
  });
  const now = await guarded.texts("output", given, guardrails);
  for (const [index, { leaves, isPieced }] of texts.entries()) {
    const text = now[index] ?? "";
    if (text !== given[index]?.text) rewrite(leaves, text, isPieced);
  }
  return Buffer.concat(frames.map((frame) => frame.write()));
}

interface StreamText {
  at: string;
  leaves: Leaf[];
  /** The leaves are pieces of it; otherwise each is the whole. */
  isPieced: boolean;
}

/** What was written in pieces first, as a client would read it; then what frames tell as a whole, the same text once. */
function textsOf(leaves: readonly Leaf[]): StreamText[] {
  const pieces = Map.groupBy(leaves, ({ channel }) => channel ?? "");
  const others = Map.groupBy(pieces.get("") ?? [], ({ text }) => text);
  pieces.delete("");
  others.delete("");
  const pieced = Array.from(pieces.values(), (of, index): StreamText => ({ at: `/stream/${index}`, leaves: of, isPieced: true }));
  return [...pieced, ...Array.from(others.values(), (of): StreamText => ({ at: "/stream", leaves: of, isPieced: false }))];
}

/** A changed text goes out with the first of its pieces: where in it the others stood nobody can tell any more. */
function rewrite(leaves: readonly Leaf[], text: string, isPieced: boolean): void {
  for (const [index, leaf] of leaves.entries()) {
    leaf.text = isPieced && index > 0 ? "" : text;
    leaf.isChanged = true;
  }
}
