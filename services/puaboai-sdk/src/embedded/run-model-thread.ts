import { buildGuideIndex, type Finding, type GuideIndex } from "./guide-index.ts";
import { type Embedder, loadEmbedder } from "./load-embedder.ts";
import { type ThreadAnswer, type ThreadRequest, type ThreadSettings } from "./model-thread.ts";
import { readPages } from "./read-pages.ts";
import { assert } from "@nexus/core";
/**
 * The body of the worker thread. It alone loads the embeddings model (about 140 MB) and does the arithmetic, so that
 * neither can stop the gateway's event loop. It is asked one thing at a time (see ModelThread).
 */
import { parentPort, workerData } from "node:worker_threads";

/** A first question waits this long for the passages' vectors, then is answered by its words alone. */
const vectorPatienceMs = 2_000;

assert(parentPort, "this module is the body of a worker thread");
const port = parentPort;
const settings = workerData as ThreadSettings;
let embedder: Promise<Embedder> | undefined;
let index: Promise<GuideIndex> | undefined;

async function answer(request: ThreadRequest): Promise<ThreadAnswer> {
  embedder ??= loadEmbedder();
  if (request.kind === "embed") return { kind: "embedded", value: await (await embedder).embed(request.texts) };
  index ??= readPages(settings.rootDirectory).then(buildGuideIndex);
  return { kind: "found", value: await find(request, await embedder, await index) };
}

async function find(request: ThreadRequest & { kind: "search" }, model: Embedder, guide: GuideIndex): Promise<Finding[]> {
  const ready = await guide.embedMore(model, performance.now() + vectorPatienceMs);
  const vector = ready && request.question.trim() !== "" ? (await model.embed([request.question])).vectors : undefined;
  return guide.search({ text: request.question, before: request.before, vector }, request.limit);
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
