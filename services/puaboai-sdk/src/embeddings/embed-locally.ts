import { answerWholeLocally } from "../calls/answer-whole-locally.ts";
import type { Exchange } from "../calls/exchange.ts";
import { asEmbeddingModel, type EmbeddedModel } from "../catalogue/catalogue.ts";
import type { LocalEmbeddingRequest } from "./local-embedding-request.ts";

interface LocalCall extends Exchange {
  model: EmbeddedModel;
  asked: LocalEmbeddingRequest;
}

/** Resolves when the client has its answer or is gone; rejects when the client is owed an error. */
export async function embedLocally({ asked, ...call }: LocalCall): Promise<void> {
  const { id, local } = call.model;
  await answerWholeLocally(call, async (signal) => {
    const { vectors, inputTokens } = await asEmbeddingModel(local).embed(asked.inputs, signal);
    const data = vectors.map((vector, index) => ({ object: "embedding", index, embedding: encode(vector, asked.encoding) }));
    const usage = { prompt_tokens: inputTokens, total_tokens: inputTokens };
    return { body: { object: "list", data, model: id, usage }, inputTokens };
  });
}

/** Base64 is the vector's 32-bit floats, little-endian, as every machine that Node runs on holds them. */
function encode(vector: Float32Array, encoding: "float" | "base64"): number[] | string {
  if (encoding === "float") return [...vector];
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString("base64");
}
