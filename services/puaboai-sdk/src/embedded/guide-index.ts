import { setImmediate } from "node:timers/promises";
import { dimensions } from "./dimensions.ts";
import { buildKeywordIndex, type KeywordIndex, type Term } from "./keyword-index.ts";
import type { Embedder } from "./load-embedder.ts";
import { addressOf, type Passage } from "./passage.ts";
import { plainText } from "./split-page.ts";
import { synonymsOf } from "./synonyms.ts";
import { wordsOf } from "./words-of.ts";

/** A passage found. */
export interface Finding {
  passage: Passage;
  /** `docs/api-keys.md#revoke-a-key`. */
  address: string;
  score: number;
  /** How much of the question's weight in rare words the passage and its headings hold, 0 to 1. */
  coverage: number;
  /** Cosine of question and passage; `undefined` while the passages have no vectors yet. */
  similarity: number | undefined;
}

interface GuideQuestion {
  text: string;
  /** What the user said before, for a question that continues it. */
  before: string;
  vector: Float32Array | undefined;
}

export interface GuideIndex {
  /** Gives every passage its vector, a few at a time, so that the thread serves others in between. To be called once. */
  embedAll(embedder: Embedder): Promise<void>;
  /** Whether every passage has its vector, so that a question's vector is of use. */
  isEmbedded(): boolean;
  /** The best passages, best first. */
  search(question: GuideQuestion, limit: number): Finding[];
}

const batch = 8;
/** How much a synonym, and a word of the message before, counts beside a word of the question. */
const synonymWeight = 0.5;
const beforeWeight = 0.3;
/** How much the meaning (vectors) counts beside the words; tried on the questions of the quality test. */
const similarityWeight = 0.5;
/** Of a passage this much makes its vector: more costs time (0.1 ms a character) and found nothing more. */
const vectorCharacters = 160;
/** The BM25 score at which the words count half of what they can. */
const halfScore = 8;

/** Indexes the words at once (well under a millisecond a page); the vectors come with `embedMore`. */
export function buildGuideIndex(passages: readonly Passage[]): GuideIndex {
  const keywords = buildKeywordIndex(passages.map(searchableWords));
  const vectors = new Float32Array(passages.length * dimensions);
  let embedded = 0;
  return {
    async embedAll(embedder) {
      const waiting = passages.map((passage, at) => ({ at, text: searchableText(passage) }));
      // Texts of about one length make the fastest batches.
      waiting.sort((one, other) => one.text.length - other.text.length);
      while (waiting.length > 0) {
        const taken = waiting.splice(0, batch);
        const made = await embedder.embed(taken.map(({ text }) => text));
        for (const [i, { at }] of taken.entries()) {
          vectors.set(made.vectors.subarray(i * dimensions, (i + 1) * dimensions), at * dimensions);
        }
        embedded += taken.length;
        await setImmediate();
      }
    },
    isEmbedded: () => embedded >= passages.length,
    search(question, limit) {
      const similarities = question.vector ? dotProducts(vectors, question.vector) : undefined;
      const findings = findingsOf({ passages, keywords, similarities }, question);
      return findings.toSorted((one, other) => other.score - one.score).slice(0, limit);
    },
  };
}

interface Index {
  passages: readonly Passage[];
  keywords: KeywordIndex;
  similarities: Float32Array | undefined;
}

function findingsOf(index: Index, question: GuideQuestion): Finding[] {
  const found = index.keywords.search(termsOf(question));
  return index.passages.map((passage, at) => {
    const { score: words, coverage } = found[at] ?? { score: 0, coverage: 0 };
    const similarity = index.similarities?.[at];
    const score = words / (words + halfScore) + similarityWeight * (similarity ?? 0);
    return { passage, address: addressOf(passage), score, coverage, similarity };
  });
}

function termsOf(question: GuideQuestion): Term[] {
  const terms = new Map<string, Term>();
  const add = (word: string, weight: number, synonyms: readonly string[]) => {
    if (!terms.has(word))
      terms.set(word, { word, weight, synonyms: new Map(synonyms.map((other) => [other, weight * synonymWeight])) });
  };
  for (const word of wordsOf(question.text)) add(word, 1, synonymsOf(word));
  for (const word of wordsOf(question.before)) add(word, beforeWeight, []);
  return [...terms.values()];
}

/** The headings say best what a passage is about: they count four times, the page's title once. */
function searchableWords(passage: Passage): string[] {
  const heading = wordsOf(passage.heading);
  return [...wordsOf(passage.title), ...heading, ...heading, ...heading, ...heading, ...wordsOf(passage.text)];
}

/** What the vector is made of: prose without code, as the model knows sentences and not `curl`. */
function searchableText(passage: Passage): string {
  const prose = plainText(passage.text.replaceAll(/^(`{3,}|~{3,})[\s\S]*?^\1/gm, " "));
  return `${passage.title}. ${passage.heading}. ${prose.replaceAll(/\s+/g, " ")}`.slice(0, vectorCharacters);
}

/** All vectors have length 1, so this is the cosine. */
function dotProducts(vectors: Float32Array, query: Float32Array): Float32Array {
  const products = new Float32Array(vectors.length / dimensions);
  for (let at = 0; at < products.length; at++) {
    let sum = 0;
    for (let i = 0, from = at * dimensions; i < dimensions; i++) sum += (vectors[from + i] ?? 0) * (query[i] ?? 0);
    products[at] = sum;
  }
  return products;
}
