import { connect } from "node:net";
import { Problem, systemClock } from "@nexus/core";
import { createLogger, createMetrics, type Metrics } from "@nexus/telemetry";
import { captureLogs, waitFor } from "@nexus/testing";
import { Type } from "typebox";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildServer } from "./build-server.ts";
import { addLogFields, requestContext } from "./request-context.ts";
import type { Server } from "./server-options.ts";

const logs = captureLogs();
let metrics: Metrics;
let server: Server;
let url: string;
const seen: unknown[] = [];

beforeAll(async () => {
  metrics = createMetrics({ service: "example" });
  server = await buildServer({
    identity: { name: "example", version: "1", commit: "c", description: "An example." },
    logger: createLogger({ service: "example", level: "info", destination: logs.stream }),
    metrics,
    clock: systemClock,
    authenticate: async () => undefined,
    health: [],
    serviceTokens: { own: "x", callerOf: () => undefined },
    bodyLimitBytes: 1000,
    dialects: [
      {
        matches: (path) => path.startsWith("/raw"),
        render: (document) => ({
          body: { error: { code: document.code, id: document.request_id } },
          contentType: "application/json",
        }),
      },
    ],
  });
  const route = { method: "POST", config: { permission: "public", rawBody: true } } as const;
  server.published.route({
    ...route,
    url: "/raw/echo",
    // Described for the reference; the bytes are not held against it.
    schema: { body: Type.Object({ never: Type.Literal("this") }) },
    handler: (request, reply) => {
      seen.push(request.body);
      addLogFields(request, { model: "echo", tokens: 3 });
      reply.hijack();
      reply.raw.writeHead(200, { "content-type": "application/json" });
      reply.raw.end(request.body as unknown as Buffer);
    },
  });
  server.published.route({
    ...route,
    url: "/raw/refuse",
    handler: () => {
      throw new Problem("model_not_found");
    },
  });
  server.published.route({
    ...route,
    url: "/raw/late",
    handler: async (_request, reply) => {
      reply.hijack();
      await Promise.resolve();
      throw new Error("the upstream password is hunter2");
    },
  });
  server.published.route({
    ...route,
    url: "/raw/half",
    handler: async (_request, reply) => {
      reply.hijack();
      reply.raw.writeHead(200, { "content-type": "text/event-stream" });
      await new Promise<void>((resolve) => reply.raw.write("data: 1\n\n", () => resolve()));
      throw new Error("the upstream broke off");
    },
  });
  server.published.route({
    ...route,
    url: "/raw/hang",
    handler: (request, reply) => {
      seen.push(requestContext(request));
      reply.hijack();
    },
  });
  ({ url } = await server.listen({ host: "127.0.0.1", port: 0, internalHost: "127.0.0.1", internalPort: 0 }));
});
afterAll(async () => {
  await server.close(0);
});

function post(path: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url + path, { method: "POST", body, headers: { "content-type": "application/json", ...headers } });
}
const lineOf = (id: string | null): Promise<Record<string, unknown>> =>
  waitFor(() => logs.lines().find((line) => line["request_id"] === id));

describe("a raw route", () => {
  it("hands over the very bytes, unparsed and unchecked", async () => {
    const odd = '{ "a" : 1.0, "a": 2, "__proto__": {}, "\\u0000": 12345678901234567890 , }';
    const answer = await post("/raw/echo", odd);
    expect(await answer.text()).toBe(odd);
    expect(Buffer.isBuffer(seen.at(-1))).toBe(true);
  });

  it("a hijacked answer carries the request id, and is logged and counted once, with what the feature adds", async () => {
    const answer = await post("/raw/echo", "{}", { "x-request-id": "mine" });
    const id = answer.headers.get("x-request-id");
    expect(id).toMatch(/^req_/);
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(await lineOf(id)).toMatchObject({
      route: "/raw/echo",
      status: 200,
      client_request_id: "mine",
      model: "echo",
      tokens: 3,
    });
    expect(logs.lines().filter((line) => line["request_id"] === id)).toHaveLength(1);
    expect(await metrics.registry.metrics()).toMatch(/duration_seconds_count\{[^}]*route="\/raw\/echo",status="200"/);
  });

  it("a problem before the answer begins comes in the dialect of the route", async () => {
    const answer = await post("/raw/refuse", "{}");
    expect(answer.status).toBe(404);
    expect(await answer.json()).toEqual({ error: { code: "model_not_found", id: answer.headers.get("x-request-id") } });
  });

  it("so does one after the answer was hijacked, as long as nothing was sent; its cause stays in the log", async () => {
    const answer = await post("/raw/late", "{}");
    expect(answer.status).toBe(500);
    const text = await answer.text();
    expect(JSON.parse(text)).toEqual({ error: { code: "internal", id: answer.headers.get("x-request-id") } });
    expect(text).not.toContain("hunter2");
    expect(await lineOf(answer.headers.get("x-request-id"))).toMatchObject({
      level: "error",
      problem: "internal",
      err: { message: "the upstream password is hunter2" },
    });
  });

  it("one in the middle of an answer breaks the connection, so that nobody takes the half for the whole", async () => {
    const answer = await post("/raw/half", "{}");
    expect(answer.status).toBe(200);
    await expect(answer.text()).rejects.toThrow("terminated");
    expect(await lineOf(answer.headers.get("x-request-id"))).toMatchObject({ status: 200, aborted: true, problem: "internal" });
  });

  it("a client that goes away before its answer is logged as gone", async () => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.write(
      "POST /raw/hang HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n" +
        `traceparent: 00-${"ab".repeat(16)}-${"cd".repeat(8)}-01\r\nuser-agent: ${"u".repeat(2000)}\r\n\r\n{}`,
    );
    await waitFor(() => logs.text() !== "" && seen.some((value) => (value as { ip?: string }).ip));
    socket.destroy();
    const context = seen.at(-1) as { request_id: string; trace_id: string; user_agent: string };
    expect(context.trace_id).toBe("ab".repeat(16));
    expect(context.user_agent).toHaveLength(512);
    expect(await lineOf(context.request_id)).toMatchObject({
      route: "/raw/hang",
      status: 499,
      aborted: true,
      trace_id: "ab".repeat(16),
    });
  });

  it.each([
    ["a body over the limit", "x".repeat(2000), {}, 413, "body_too_large"],
    ["another content type", "a", { "content-type": "text/plain" }, 415, "unsupported_media_type"],
    ["a compressed body", "a", { "content-encoding": "gzip" }, 415, "unsupported_media_type"],
  ])("%s is refused in the dialect", async (_name, body, headers, status, code) => {
    const answer = await post("/raw/echo", body, headers);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ error: { code } });
  });
});
