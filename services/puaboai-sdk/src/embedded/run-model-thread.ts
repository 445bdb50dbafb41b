/**
 * The body of the worker thread. It alone loads the embeddings model (about 140 MB) and does the arithmetic, so that
 * neither can stop the gateway's event loop. It is asked one thing at a time (see ModelThread).
 */
import { setTimeout } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "@nexus/core";
import { buildGuideIndex, type Finding, type GuideIndex } from "./guide-index.ts";
import { type Embedder, loadEmbedder } from "./load-embedder.ts";
import type { ThreadAnswer, ThreadRequest, ThreadSettings } from "./model-thread.ts";
import { readPages } from "./read-pages.ts";

assert(parentPort, "this module is the body of a worker thread");
const port = parentPort;
const settings = workerData as ThreadSettings;
let embedder: Promise<Embedder> | undefined;
let guide: Promise<Guide> | undefined;

interface Guide {
  index: GuideIndex;
  /** Resolves when every passage has its vector. */
  embedded: Promise<void>;
}

async function answer(request: ThreadRequest): Promise<ThreadAnswer> {
  embedder ??= loadEmbedder();
  if (request.kind === "embed") return { kind: "embedded", value: await (await embedder).embed(request.texts) };
  guide ??= openGuide(embedder);
  return { kind: "found", value: await find(request, await guide) };
}

async function openGuide(loading: Promise<Embedder>): Promise<Guide> {
  const index = buildGuideIndex(await readPages(settings.rootDirectory));
  return { index, embedded: index.embedAll(await loading) };
}

async function find(
  { question, before, limit }: ThreadRequest & { kind: "search" },
  { index, embedded }: Guide,
): Promise<Finding[]> {
  await Promise.race([embedded, setTimeout(settings.vectorPatienceMs)]);
  const asked = question.trim();
  const vector = asked === "" || !index.isEmbedded() ? undefined : (await (await embedder)?.embed([asked]))?.vectors;
  return index.search({ text: question, before, vector }, limit);
}

async function serve(request: ThreadRequest): Promise<void> {
  try {
    const done = await answer(request);
    port.postMessage(done, done.kind === "embedded" ? [done.value.vectors.buffer as ArrayBuffer] : []);
  } catch (error) {
    port.postMessage({ kind: "failed", message: String(error) } satisfies ThreadAnswer, []);
  }
}

port.on("message", (request: ThreadRequest) => void serve(request));
