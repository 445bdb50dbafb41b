import { answerHeaders, type Exchange, takeOver, watchClient } from "../calls/exchange.ts";
import { asEmbeddingModel, type EmbeddedModel } from "../catalogue/catalogue.ts";
import { noTokens } from "../usage/token-usage.ts";
import type { LocalEmbeddingRequest } from "./local-embedding-request.ts";

interface LocalCall extends Exchange {
  model: EmbeddedModel;
  asked: LocalEmbeddingRequest;
}

/** Resolves when the client has its answer or is gone; rejects when the client is owed an error. */
export async function embedLocally(call: LocalCall): Promise<void> {
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
    const { vectors, inputTokens } = await asEmbeddingModel(call.model.local).embed(call.asked.inputs, abort.signal);
    const data = vectors.map((vector, index) => ({ object: "embedding", index, embedding: encode(vector, call.asked.encoding) }));
    const usage = { prompt_tokens: inputTokens, total_tokens: inputTokens };
    const body = JSON.stringify({ object: "list", data, model: call.model.id, usage });
    const tokens = { ...noTokens, input: inputTokens, output: 0 };
    call.ledger.firstByte();
    call.ledger.finish({ outcome: "ok", httpStatus: 200, usage: { source: "counted", tokens } });
    takeOver(call, 200, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      "x-nexus-cost-nanos": "0",
      ...answerHeaders(call),
    }).end(body);
  } catch (error) {
    if (!abort.signal.aborted || error === call.running.cutBy()) throw error;
  }
}

/** Base64 is the vector's 32-bit floats, little-endian, as every machine that Node runs on holds them. */
function encode(vector: Float32Array, encoding: "float" | "base64"): number[] | string {
  if (encoding === "float") return [...vector];
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString("base64");
}
