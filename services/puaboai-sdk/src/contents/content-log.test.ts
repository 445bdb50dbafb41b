/** The content log by itself: what it costs calls, and how much it holds. On a real HTTP server and a real PostgreSQL. */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { newId, newUuid, toId, uuidOf } from "@nexus/core";
import { type Database, openDatabase } from "@nexus/db";
import { createMetrics } from "@nexus/telemetry";
import { createTestDatabase, type TestDatabase, waitFor } from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { ContentLog } from "./content-log.ts";

let database: TestDatabase;
let ai: Database;
let server: Server;
let url: string;
let answer: (raw: ServerResponse) => void;
let organizationId: `org_${string}`;
const warnings: unknown[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  ai = openDatabase(database.ai, { applicationName: "contents-test" });
  server = createServer((_request, raw) => answer(raw));
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  await ai.close();
  await database.drop();
});
beforeEach(async () => {
  const id = newUuid();
  organizationId = toId("organization", id);
  const { db } = database.openOwner();
  await db.insertInto("organizations").values({ id, name: "test" }).execute();
  const terms = { enabled: true, retention_days: 7, max_bytes: 1024 * 1024, updated_by: newUuid() };
  await db
    .insertInto("content_log_settings")
    .values({ organization_id: id, ...terms })
    .execute();
});

async function open(roomBytes?: number) {
  const metrics = createMetrics({ service: "test" });
  const logger = { warn: (fields: unknown) => void warnings.push(fields) };
  const log = new ContentLog({ db: ai.db, secret: "k".repeat(32), logger, metrics, ...(roomBytes && { roomBytes }) });
  await log.load();
  const counted = async (event: string): Promise<number> =>
    Number(new RegExp(`event="${event}".*\\} (\\d+)`).exec(await metrics.registry.metrics())?.[1] ?? 0);
  /** One call through it. */
  const call = async (
    prompt: string,
    write: (raw: ServerResponse) => void | Promise<void>,
  ): Promise<{ id: string; text: string }> => {
    const id = newId("request");
    answer = (raw) => {
      const recorder = log.record({ organizationId, requestId: id, endpoint: "chat.completions", raw });
      recorder?.asked(Buffer.from(prompt));
      void Promise.resolve(write(raw)).then(() => recorder?.callEnded());
    };
    return { id, text: await (await fetch(url)).text() };
  };
  const keptOf = async (id: string) => {
    const requestId = uuidOf("request", id)!;
    const row = await ai.db
      .selectFrom("request_contents")
      .selectAll()
      .where("request_id", "=", requestId)
      .executeTakeFirstOrThrow();
    const text = (part: "prompt" | "answer") => row[part] && log.textOf({ organizationId, requestId: id, part }, row[part]);
    return { ...row, prompt: text("prompt"), answer: text("answer") };
  };
  return { log, call, counted, keptOf };
}
const streaming = (write: (raw: ServerResponse) => void) => (raw: ServerResponse) => {
  raw.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  write(raw);
  raw.end();
};
const whole = (raw: ServerResponse, text: string) => void raw.setHeader("content-type", "application/json").end(text);
const frame = (content: string) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`;

test("when memory is full a content is let go of and counted, the client has its answer, and the room comes back", async () => {
  const { log, call, counted, keptOf } = await open(10_000);
  const long = "x".repeat(20_000);
  expect((await call("short", (raw) => whole(raw, long))).text).toBe(long);
  expect((await call(long, (raw) => whole(raw, "short"))).text).toBe("short");
  expect(
    (
      await call(
        "short",
        streaming((raw) => raw.write(frame(long))),
      )
    ).text,
  ).toBe(frame(long));
  await waitFor(async () => (await counted("full")) === 3);
  // As many as fit at once, again and again: nothing of the room is lost.
  for (let round = 0; round < 5; round++) {
    const { id } = await call("x".repeat(4000), (raw) => whole(raw, "y".repeat(5000)));
    await waitFor(async () => {
      await log.flush();
      return (await counted("kept")) === round + 1;
    });
    expect(await keptOf(id)).toMatchObject({ prompt: "x".repeat(4000), answer: "y".repeat(5000) });
  }
  expect(await counted("full")).toBe(3);
  await log.close();
});

test("contents that wait while PostgreSQL is slow take their room, and no more", async () => {
  const { log, call, counted } = await open(50_000);
  const { db } = database.openOwner();
  // Whoever changes settings holds them: the writer waits.
  await db.transaction().execute(async (tx) => {
    await tx.selectFrom("content_log_settings").selectAll().forUpdate().execute();
    for (let calls = 0; calls < 20; calls++) expect((await call("x".repeat(9000), (raw) => whole(raw, "ok"))).text).toBe("ok");
    await waitFor(async () => (await counted("full")) === 15);
  });
  await waitFor(async () => (await counted("kept")) === 5);
  await log.close();
});

test("frames that nobody can read, or that never end, harm nobody and are told as cut", async () => {
  const { log, call, keptOf, counted } = await open();
  const deep = `data: ${"[".repeat(40_000)}${"]".repeat(40_000)}\n\n`;
  const endless = "z".repeat(3 * 1024 * 1024);
  const frames = [
    frame("one "),
    deep,
    "data: {not json\n\n",
    ": comment\n\n",
    "event: ping\ndata: {}\n\n",
    frame("two"),
    `data: ${endless}\n\n`,
    frame(" three"),
    "data: [DONE]\n\n",
  ];
  const { id, text } = await call(
    "hostile",
    streaming((raw) => {
      for (const one of frames) raw.write(one);
    }),
  );
  expect(text).toBe(frames.join(""));
  await waitFor(async () => {
    await log.flush();
    return (await counted("kept")) === 1;
  });
  expect(await keptOf(id)).toMatchObject({ answer: "one two three", answer_cut: true, streamed: true });
  await log.close();
});

test.each([1, 3, 7, 100_000])("a stream in pieces of %i bytes is put together, whatever falls between them", async (size) => {
  const { log, call, keptOf, counted } = await open();
  const words = Array.from({ length: 400 }, (_, at) => `wörd${at} ✓ `);
  const bytes = Buffer.from(
    words
      .map(frame)
      .join("")
      .replaceAll("\n\n", size === 7 ? "\r\n\r\n" : "\n\n"),
  );
  const { id } = await call(
    "pieces",
    streaming((raw) => {
      for (let at = 0; at < bytes.length; at += size) raw.write(bytes.subarray(at, at + size));
    }),
  );
  await waitFor(async () => {
    await log.flush();
    return (await counted("kept")) === 1;
  });
  expect(await keptOf(id)).toMatchObject({
    answer: words.join(""),
    answer_bytes: BigInt(Buffer.byteLength(words.join(""))),
    answer_cut: false,
  });
  await log.close();
});

test("where nothing is kept a response is left as it is", async () => {
  const { log, call } = await open();
  let response: ServerResponse | undefined;
  organizationId = newId("organization");
  await call("off", (raw) => whole((response = raw), "ok"));
  expect(Object.hasOwn(response!, "write") || Object.hasOwn(response!, "end")).toBe(false);
  expect(warnings).toEqual([]);
  await log.close();
});
