import { spawnSync } from "node:child_process";
import type { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, test } from "vitest";
import { embeddingModel } from "./embedding-model.ts";
import { ModelThread, type ModelThreadOptions } from "./model-thread.ts";

const never = new AbortController().signal;
const opened: ModelThread[] = [];
let workers: Worker[] = [];

beforeEach(() => {
  workers = [];
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((thread) => thread.close()));
});

function open(options: Partial<ModelThreadOptions> = {}): ModelThread {
  const thread = new ModelThread({
    rootDirectory: "/nonexistent",
    onThread: (worker) => workers.push(worker),
    ...options,
  });
  opened.push(thread);
  return thread;
}

const cosine = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, at) => sum + value * b[at]!, 0);

test("embeddings have length 1, are the same for the same text and near for what means the same", async () => {
  const model = embeddingModel(open());
  const { vectors, inputTokens } = await model.embed(
    [
      "How do I cancel my subscription?",
      "I want to stop paying for the plan.",
      "The cat sat on the mat.",
      "How do I cancel my subscription?",
    ],
    never,
  );
  const [question, same, other, again] = vectors as [Float32Array, Float32Array, Float32Array, Float32Array];
  for (const vector of vectors) {
    expect(vector).toHaveLength(512);
    expect(cosine(vector, vector)).toBeCloseTo(1, 5);
  }
  expect(cosine(question, again)).toBeCloseTo(1, 5);
  expect(cosine(question, same)).toBeGreaterThan(cosine(question, other) + 0.1);
  expect(inputTokens).toBeGreaterThan(20);
  const alone = await model.embed(["The cat sat on the mat."], never);
  // Its neighbours in the call do not matter.
  expect(cosine(alone.vectors[0]!, other)).toBeCloseTo(1, 5);
});

test("each vector stands at the place of its text, whatever the lengths", async () => {
  const model = embeddingModel(open());
  const texts = Array.from({ length: 40 }, (_, at) => `Text ${at}: ${"a word or two more. ".repeat((at * 7) % 23)}`);
  const { vectors } = await model.embed(texts, never);
  for (const at of [0, 3, 13, 16, 22, 39]) {
    const alone = await model.embed([texts[at]!], never);
    expect(cosine(alone.vectors[0]!, vectors[at]!)).toBeCloseTo(1, 5);
  }
});

test("only the first 128 tokens of an input make its vector, and all are counted", async () => {
  const model = embeddingModel(open());
  const begin = "the key of the gateway was revoked by its owner ".repeat(20);
  const [one, other] = (await model.embed([`${begin} elephants swim in oceans`, `${begin} budgets cost dollars`], never)).vectors;
  expect(cosine(one!, other!)).toBeCloseTo(1, 5);
  expect((await model.embed([begin], never)).inputTokens).toBeGreaterThan(128);
});

test("the model is loaded in its thread only, and with the first call only", () => {
  // In Node itself, as it runs in production: a test runner drops imports that Node keeps.
  const program = `
    import Module from "node:module";
    import { openEmbeddedModels } from ${JSON.stringify(new URL("open-embedded-models.ts", import.meta.url).href)};
    const loaded = () => Object.keys(Module._cache).some((path) => path.includes("@energetic-ai"));
    const listeners = () => process.listenerCount("uncaughtException") + process.listenerCount("unhandledRejection");
    const opened = await openEmbeddedModels();
    const before = process.getActiveResourcesInfo().includes("MessagePort");
    await opened.models.find((model) => model.kind === "embeddings").embed(["x"], new AbortController().signal);
    const during = process.getActiveResourcesInfo().includes("MessagePort");
    await opened.close();
    console.log(JSON.stringify({ loaded: loaded(), listeners: listeners(), before, during }));
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" });
  expect(JSON.parse(stdout || JSON.stringify(stderr))).toStrictEqual({
    loaded: false,
    listeners: 0,
    before: false,
    during: true,
  });
});

test.each([
  ["no input", []],
  ["an empty input", ["a", ""]],
  ["an input of a megabyte", ["x".repeat(1_000_000)]],
  ["too many inputs", Array.from({ length: 2_049 }, () => "a")],
  ["too much in all", Array.from({ length: 40 }, () => "a ".repeat(3_999))],
])("%s is refused before any work", async (_, inputs) => {
  await expect(embeddingModel(open()).embed(inputs, never)).rejects.toMatchObject({ name: "Problem", code: "invalid_request" });
  expect(workers).toHaveLength(0);
});

test("hostile text is embedded like any other", async () => {
  const inputs = ["\u0000", "\ud800", "😀😀", "   ", "\u202e", "﷽", "a".repeat(8_000), "__proto__", "日本語"];
  const { vectors } = await embeddingModel(open()).embed(inputs, never);
  for (const vector of vectors) expect(cosine(vector, vector)).toBeCloseTo(1, 4);
});

test("the event loop stays free while the model loads and computes", async () => {
  const model = embeddingModel(open());
  const start = performance.now();
  let longest = 0;
  let last = start;
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 5);
  await model.embed(
    Array.from({ length: 100 }, (_, at) => `Sentence number ${at} about a key and its budget.`),
    never,
  );
  clearInterval(timer);
  expect(longest).toBeLessThan((performance.now() - start) / 3);
});

test("what runs when the thread dies fails as unavailable, what waits is served by the next thread", async () => {
  const thread = open();
  await thread.embed(["warm"], never);
  const texts = Array.from({ length: 200 }, () => "a long sentence about nothing in particular");
  const outcomes = Promise.allSettled([thread.embed(texts, never), thread.embed(["after"], never)]);
  await workers[0]!.terminate();
  expect(await outcomes).toMatchObject([
    { status: "rejected", reason: { code: "unavailable" } },
    { status: "fulfilled", value: { tokens: [expect.any(Number)] } },
  ]);
  expect(workers).toHaveLength(2);
});

test("a thread that hangs costs its request the deadline, and the next call works", async () => {
  const thread = open({ deadlineMs: 400 });
  const slow = thread.embed(
    Array.from({ length: 2_000 }, () => "a sentence of some length for the model to read"),
    never,
  );
  await expect(slow).rejects.toMatchObject({ code: "unavailable" });
  const patient = open();
  expect((await patient.embed(["x"], never)).tokens).toHaveLength(1);
});

test("a full queue is refused at once and told when to come back", async () => {
  const thread = open({ queueLimit: 2 });
  const accepted = [1, 2, 3].map(() => thread.embed(["x"], never));
  await expect(thread.embed(["x"], never)).rejects.toMatchObject({ code: "unavailable", headers: { "retry-after": "1" } });
  await expect(Promise.all(accepted)).resolves.toHaveLength(3);
});

test("an aborted request leaves the queue and fails with the signal's reason", async () => {
  const thread = open({ queueLimit: 1 });
  const running = thread.embed(["x"], never);
  const controller = new AbortController();
  const reason = new Error("gone");
  const waiting = thread.embed(["y"], controller.signal);
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  await expect(thread.embed(["z"], controller.signal)).rejects.toBe(reason);
  // Its place is free again.
  await expect(thread.embed(["w"], never)).resolves.toMatchObject({ tokens: [expect.any(Number)] });
  await running;
});

test("closing ends the thread, answers what runs and waits, and refuses what comes later", async () => {
  const thread = open();
  const outcomes = Promise.allSettled([thread.embed(["a"], never), thread.embed(["b"], never)]);
  await thread.close();
  for (const outcome of await outcomes) expect(outcome).toMatchObject({ status: "rejected", reason: { code: "unavailable" } });
  await expect(thread.embed(["c"], never)).rejects.toMatchObject({ code: "unavailable" });
  expect(workers.map((worker) => worker.threadId)).toStrictEqual([-1]);
  await thread.close();
});

test("the thread ends by itself after the idle time and comes back with the next call", async () => {
  const thread = open({ idleMs: 20 });
  await thread.embed(["x"], never);
  await expect.poll(() => workers[0]!.threadId, { timeout: 10_000 }).toBe(-1);
  await thread.embed(["x"], never);
  expect(workers).toHaveLength(2);
});
