import { createHash } from "node:crypto";
import { dimensions, type Embedder } from "./load-embedder.ts";
import { buildKeywordIndex, type KeywordIndex } from "./keyword-index.ts";
import { addressOf, type Passage } from "./passage.ts";
import { plainText } from "./split-page.ts";
import { synonymsOf } from "./synonyms.ts";
import { wordsOf } from "./words-of.ts";

/** A passage found, best first. */
export interface Finding {
  passage: Passage;
  address: string;
  score: number;
  /** How much of the question's weight in rare words the passage and its headings hold, 0 to 1. */
  coverage: number;
  /** Cosine of question and passage; `undefined` while the passages have no vectors yet. */
  similarity: number | undefined;
}

export interface GuideIndex {
  readonly passages: readonly Passage[];
  /** Gives vectors to passages that have none until all have or `deadline` (of `performance.now()`) is past. */
  embedMore(embedder: Embedder, deadline: number): Promise<boolean>;
  search(question: { text: string; before: string; vector: Float32Array | undefined }, limit: number): Finding[];
}

const batch = 8;
/** Weight of a synonym beside the word that was written, and of the words of the user's message before this one. */
const synonymWeight = 0.35;
const beforeWeight = 0.3;

/** Builds the keyword half at once (a few milliseconds a page); the vectors come with `embedMore`. */
export function buildGuideIndex(passages: readonly Passage[]): GuideIndex {
  const keywords = buildKeywordIndex(passages.map(searchableWords));
  const vectors = new Float32Array(passages.length * dimensions);
  let embedded = 0;
  return {
    passages,
    async embedMore(embedder, deadline) {
      while (embedded < passages.length && performance.now() < deadline) {
        const texts = passages.slice(embedded, embedded + batch).map(searchableText);
        vectors.set((await embedder.embed(texts)).vectors, embedded * dimensions);
        embedded += texts.length;
      }
      return embedded >= passages.length;
    },
    search(question, limit) {
      const similarities = question.vector && embedded >= passages.length ? dotProducts(vectors, question.vector) : undefined;
      return rank({ passages, keywords, similarities }, question, limit);
    },
  };
}
