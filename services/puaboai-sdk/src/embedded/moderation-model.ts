import { Problem } from "@nexus/core";
import type { LocalModerationModel } from "../local-model.ts";
import { dimensions } from "./dimensions.ts";
import type { ModelThread } from "./model-thread.ts";
import { moderationExamples, ordinaryExamples } from "./moderation-examples.ts";

/** As many inputs as the tests of OpenAI's clients send, and characters in all: a sentence takes about ten milliseconds. */
const mostInputs = 64;
const longestTotal = 32_000;
/** Beyond 128 tokens the sentence encoder reads nothing. */
const longestSentence = 300;
/** Until the examples must have been read. */
const patienceMs = 20_000;
/** Sentences for one turn of the thread: others get theirs in between. */
const turn = 16;

/** How much nearer than to any ordinary sentence, and how near at all, a sentence must be to one of a kind: cosines. */
const leastMargin = 0.12;
const leastLikeness = 0.5;
/** How fast a score rises about these. */
const slope = 12;

type Kind = keyof typeof moderationExamples;
const kinds = Object.keys(moderationExamples) as Kind[];

/**
 * `embedded-moderation`: each sentence is compared with examples of each kind and with ordinary ones, by the vectors of
 * `use-lite-en-512`. It is advice: what is said in other words, between the lines or in another language than English passes.
 */
export function moderationModel(thread: ModelThread): LocalModerationModel {
  let examples: Promise<Examples> | undefined;
  /** Read once, for all callers: the first who leaves ends it for nobody. */
  function known(): Promise<Examples> {
    examples ??= readExamples(thread, AbortSignal.timeout(patienceMs)).catch((error: unknown) => {
      examples = undefined;
      throw error;
    });
    return examples;
  }
  return {
    kind: "moderations",
    id: "embedded-moderation",
    description:
      "Tells seven kinds of harm in English sentences by their likeness to examples; advice, not a safeguard. Runs inside the gateway.",
    contextTokens: 128,
    demo: true,
    async moderate(inputs, signal) {
      checkInputs(inputs);
      const sentences = inputs.map((input) => sentencesOf(input));
      const compared = await known();
      const { vectors, tokens } = await embed(thread, sentences.flat(), signal);
      const scores = sentences.map(({ length }) => scoresOf(vectors.splice(0, length), compared));
      return { scores, inputTokens: tokens };
    },
  };
}

interface Examples {
  byKind: ReadonlyMap<Kind, readonly Float32Array[]>;
  ordinary: readonly Float32Array[];
}

async function readExamples(thread: ModelThread, signal: AbortSignal): Promise<Examples> {
  const byKind = new Map<Kind, readonly Float32Array[]>();
  for (const kind of kinds) byKind.set(kind, (await embed(thread, moderationExamples[kind], signal)).vectors);
  return { byKind, ordinary: (await embed(thread, ordinaryExamples, signal)).vectors };
}

async function embed(
  thread: ModelThread,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<{ vectors: Float32Array[]; tokens: number }> {
  const vectors: Float32Array[] = [];
  let tokens = 0;
  for (let at = 0; at < texts.length; at += turn) {
    const answer = await thread.embed(texts.slice(at, at + turn), signal);
    for (let from = 0; from < answer.vectors.length; from += dimensions)
      vectors.push(answer.vectors.subarray(from, from + dimensions));
    for (const count of answer.tokens) tokens += count;
  }
  return { vectors, tokens };
}

/** Of each kind, that of the sentence which shows it most. */
function scoresOf(sentences: readonly Float32Array[], { byKind, ordinary }: Examples): Record<string, number> {
  const scores = new Map<string, number>(kinds.map((kind) => [kind, 0]));
  for (const sentence of sentences) {
    const usual = nearest(sentence, ordinary);
    for (const [kind, examples] of byKind) {
      const likeness = nearest(sentence, examples);
      const beyond = Math.min(likeness - usual - leastMargin, likeness - leastLikeness);
      scores.set(kind, Math.max(scores.get(kind) ?? 0, 1 / (1 + Math.exp(-slope * beyond))));
    }
  }
  return Object.fromEntries(scores);
}

/** The cosine to the most alike; vectors have the length 1. */
function nearest(vector: Float32Array, others: readonly Float32Array[]): number {
  let most = -1;
  for (const other of others) {
    let dot = 0;
    for (let at = 0; at < dimensions; at++) dot += (vector[at] ?? 0) * (other[at] ?? 0);
    most = Math.max(most, dot);
  }
  return most;
}

/** Split where sentences end, and where one is longer than the encoder reads. */
function sentencesOf(input: string): string[] {
  const pieces = input.split(/(?<=[.!?])\s+|\n+/).flatMap((piece) => {
    const whole = piece.trim();
    const count = Math.ceil(whole.length / longestSentence);
    return Array.from({ length: count }, (_, index) => whole.slice(index * longestSentence, (index + 1) * longestSentence));
  });
  return pieces.filter((piece) => piece.trim() !== "");
}

function checkInputs(inputs: readonly string[]): void {
  const total = inputs.reduce((sum, input) => sum + input.length, 0);
  if (inputs.length > mostInputs) throw refused(`must hold at most ${mostInputs} texts for this model`);
  if (total > longestTotal) throw refused(`must have at most ${longestTotal} characters in all for this model`);
}

function refused(detail: string): Problem {
  return new Problem("invalid_request", `The input ${detail}`, { errors: [{ pointer: "/input", detail }] });
}
