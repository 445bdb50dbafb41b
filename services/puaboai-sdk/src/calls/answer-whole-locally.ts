/** An answer of a model inside the gateway that comes whole: counted, free, and ended with its client or its key. */
import type { EmbeddedModel } from "../catalogue/catalogue.ts";
import { noTokens } from "../usage/token-usage.ts";
import { answerHeaders, type Exchange, takeOver, watchClient } from "./exchange.ts";

interface LocalCall extends Exchange {
  model: EmbeddedModel;
}

/**
 * Resolves when the client has its answer or is gone; rejects when the client is owed an error.
 * @param produce the body, and the tokens that were read for it; must stop when its signal aborts
 */
export async function answerWholeLocally(
  call: LocalCall,
  produce: (signal: AbortSignal) => Promise<{ body: object; inputTokens: number }>,
): Promise<void> {
  const abort = new AbortController();
  watchClient(call, () => {
    call.ledger.finish({ outcome: "aborted", httpStatus: null, usage: { source: "none" } });
    abort.abort(new Error("the client went away"));
  });
  call.running.onCut((problem) => {
    if (call.ledger.isEnded()) return;
    call.ledger.finish({ outcome: "aborted", httpStatus: problem.status, errorCode: problem.code, usage: { source: "none" } });
    abort.abort(problem);
  });
  try {
    const { body, inputTokens } = await produce(abort.signal);
    const text = JSON.stringify(body);
    const tokens = { ...noTokens, input: inputTokens, output: 0 };
    call.ledger.firstByte();
    call.ledger.finish({ outcome: "ok", httpStatus: 200, usage: { source: "counted", tokens } });
    takeOver(call, 200, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
      "x-nexus-cost-nanos": "0",
      ...answerHeaders(call),
    }).end(text);
  } catch (error) {
    if (!abort.signal.aborted || error === call.running.cutBy()) throw error;
  }
}
