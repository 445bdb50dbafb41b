import { Problem } from "@nexus/core";
import type { LocalEmbeddingModel } from "../local-model.ts";
import { dimensions } from "./dimensions.ts";
import type { ModelThread } from "./model-thread.ts";

/** As many inputs as OpenAI takes in one call. */
const mostInputs = 2_048;
/** The model was trained on sentences; its tokeniser's time grows with the square of the length (8,000 characters: 45 ms). */
const longestInput = 8_000;
const longestTotal = 256_000;
/** Texts for one turn of the thread: others get theirs in between. */
const turn = 16;

/**
 * `use-lite-en-512`: Universal Sentence Encoder Lite (English), 512 numbers of L2 length 1 for each input, so that the dot
 * product of two is their cosine. Tokens are those of the model's own vocabulary; the model reads the first 128 of them, as
 * sentence encoders do, and all are counted.
 */
export function embeddingModel(thread: ModelThread): LocalEmbeddingModel {
  return {
    kind: "embeddings",
    id: "use-lite-en-512",
    description:
      "Sentence embeddings in English, 512 dimensions, length 1; reads the first 128 tokens of an input. Runs inside the gateway.",
    contextTokens: 128,
    demo: false,
    dimensions,
    async embed(inputs, signal) {
      checkInputs(inputs);
      const vectors: Float32Array[] = [];
      let inputTokens = 0;
      for (let at = 0; at < inputs.length; at += turn) {
        const answer = await thread.embed(inputs.slice(at, at + turn), signal);
        for (let from = 0; from < answer.vectors.length; from += dimensions)
          vectors.push(answer.vectors.subarray(from, from + dimensions));
        for (const tokens of answer.tokens) inputTokens += tokens;
      }
      return { vectors, inputTokens };
    },
  };
}

function checkInputs(inputs: readonly string[]): void {
  if (inputs.length === 0 || inputs.length > mostInputs) {
    throw refused("/input", `must hold from 1 to ${mostInputs} texts`);
  }
  let total = 0;
  for (const [at, input] of inputs.entries()) {
    const pointer = inputs.length === 1 ? "/input" : `/input/${at}`;
    if (input === "") throw refused(pointer, "must not be empty");
    if (input.length > longestInput) throw refused(pointer, `must have at most ${longestInput} characters`);
    total += input.length;
  }
  if (total > longestTotal) throw refused("/input", `must have at most ${longestTotal} characters in all`);
}

function refused(pointer: string, detail: string): Problem {
  return new Problem("invalid_request", `The input ${detail}`, { errors: [{ pointer, detail }] });
}
