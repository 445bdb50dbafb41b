import { connect, type Socket } from "node:net";
import { systemClock } from "@nexus/core";
import { createLogger, createMetrics } from "@nexus/telemetry";
import { captureLogs } from "@nexus/testing";
import { Type } from "typebox";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildServer } from "./build-server.ts";
import type { Server } from "./server-options.ts";

const logs = captureLogs();
let server: Server;
let port: number;
const sockets: Socket[] = [];

beforeAll(async () => {
  server = await buildServer({
    identity: { name: "example", version: "1", commit: "c", description: "An example." },
    logger: createLogger({ service: "example", level: "info", destination: logs.stream }),
    metrics: createMetrics({ service: "example" }),
    clock: systemClock,
    authenticate: async () => undefined,
    health: [],
    serviceTokens: { own: "x", callerOf: () => undefined },
    timeouts: { headersMs: 300, requestMs: 600, keepAliveMs: 200, checkMs: 50 },
  });
  server.published.route({
    method: "POST",
    url: "/echo",
    config: { permission: "public" },
    schema: { body: Type.Object({ a: Type.Optional(Type.String()) }, { additionalProperties: false }) },
    handler: (request) => request.body,
  });
  server.published.route({
    method: "GET",
    url: "/stream",
    config: { permission: "public" },
    handler: (_request, reply) => {
      reply.hijack();
      reply.raw.writeHead(200, { "content-type": "text/plain" });
      reply.raw.write("first");
    },
  });
  server.published.route({ method: "GET", url: "/closed", config: { permission: "person" }, handler: () => ({}) });
  server.published.route({ method: "POST", url: "/closed", config: { permission: "person" }, handler: () => ({}) });
  const { url } = await server.listen({ host: "127.0.0.1", port: 0, internalHost: "127.0.0.1", internalPort: 0 });
  port = Number(new URL(url).port);
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await server.close(0);
});

interface Connection {
  socket: Socket;
  text: () => string;
  closed: Promise<void>;
}

/** A bare connection that sends exactly these bytes. */
function send(bytes: string | Buffer): Connection {
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.write(bytes);
  return { socket, text: () => text, closed };
}

async function answerTo(bytes: string | Buffer): Promise<{ status: number; head: string; body: string }> {
  const connection = send(bytes);
  await connection.closed;
  const [head = "", body = ""] = connection.text().split("\r\n\r\n");
  return { status: Number(head.slice(9, 12)), head: head.toLowerCase(), body };
}

const get = (path: string, headers = "host: x\r\nconnection: close\r\n"): string => `GET ${path} HTTP/1.1\r\n${headers}\r\n`;

describe("the Host header", () => {
  it.each([
    ["twice", "host: x\r\nHost: y\r\n"],
    ["twice the same", "host: x\r\nhost: x\r\n"],
    ["none", ""],
    ["a list of two", "host: x, y\r\n"],
    ["a path", "host: x/y\r\n"],
    ["a person", "host: somebody@x\r\n"],
    ["a port that is no number", "host: x:http\r\n"],
    ["half an address", "host: [::1\r\n"],
  ])("%s is refused", async (_what, headers) => {
    const { status, head } = await answerTo(get("/livez", `${headers}connection: close\r\n`));
    expect(status).toBe(400);
    expect(head).toContain("application/problem+json");
  });

  it.each(["x", "x:80", "x:", "", "127.0.0.1:4000", "[::1]:4000", "a_b-c.example.", "xn--bcher-kva.example"])(
    "%j is taken",
    async (host) => {
      expect((await answerTo(get("/livez", `host: ${host}\r\nconnection: close\r\n`))).status).toBe(200);
    },
  );
});

describe("what is no good HTTP", () => {
  it.each<[string, string | Buffer, number, string]>([
    ["noise", "\u0016\u0003\u0001GARBAGE\r\n\r\n", 400, "malformed_request"],
    ["a head of more than 16 KiB", get("/", `host: x\r\nx-long: ${"a".repeat(20_000)}\r\n`), 431, "headers_too_large"],
    ["an address of more than 16 KiB", get(`/${"a".repeat(20_000)}`), 431, "headers_too_large"],
    ["no Host header", get("/livez", "connection: close\r\n"), 400, "malformed_request"],
    ["an address that cannot be decoded", get("/livez/%zz"), 400, "malformed_request"],
    ["U+0000 in the address", get("/livez?a=%00"), 400, "malformed_request"],
    ["a space in a header's name", get("/livez", "host: x\r\nbad name: 1\r\n"), 400, "malformed_request"],
    [
      "two ways to say how long the body is",
      "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
      "malformed_request",
    ],
    [
      "two lengths",
      "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcd",
      400,
      "malformed_request",
    ],
    [
      "a chunk whose size is no number",
      "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
      400,
      "malformed_request",
    ],
  ])("%s gets a problem document with a request id", async (_name, bytes, status, code) => {
    const answer = await answerTo(bytes);
    expect(answer.status).toBe(status);
    expect(answer.head).toContain("content-type: application/problem+json");
    const problem = JSON.parse(answer.body) as Record<string, unknown>;
    expect(problem).toMatchObject({ type: `/problems/${code}`, code, status });
    expect(answer.head).toContain(`x-request-id: ${String(problem["request_id"])}`);
    expect(logs.text()).toContain(String(problem["request_id"]));
  });

  it("a head that drips is cut off with 408", async () => {
    const connection = send("GET / HTTP/1.1\r\nhost: x\r\n");
    const drip = setInterval(() => connection.socket.write("x-a: 1\r\n"), 50);
    await connection.closed;
    clearInterval(drip);
    expect(connection.text()).toMatch(/^HTTP\/1.1 408 [\s\S]*"code":"request_timeout"/);
  });

  it("a body that drips is cut off with 408", async () => {
    const connection = send("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n");
    const drip = setInterval(() => connection.socket.write(" "), 50);
    await connection.closed;
    clearInterval(drip);
    expect(connection.text()).toMatch(/^HTTP\/1.1 408 [\s\S]*"code":"request_timeout"/);
    const id = /x-request-id: (\S+)/.exec(connection.text())?.[1];
    const lines = (): unknown[] => logs.lines().filter((line) => line["request_id"] === id);
    await expect.poll(lines).toMatchObject([{ route: "/echo", status: 408, problem: "request_timeout", aborted: true }]);
  });

  it("a connection that sends nothing, or nothing more, is closed", async () => {
    await send("").closed;
    await send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").closed;
  });

  it("noise behind a running answer breaks the connection instead of getting into the answer", async () => {
    const connection = send("GET /stream HTTP/1.1\r\nhost: x\r\n\r\n");
    await expect.poll(connection.text).toContain("first");
    connection.socket.write("GARBAGE\r\n\r\n");
    await connection.closed;
    expect(connection.text()).not.toContain("problem");
  });

  it("a client that leaves in the middle of its body is logged as gone, not as our failure", async () => {
    const before = logs.lines().length;
    const headers = "host: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\nexpect: 100-continue\r\n";
    const connection = send(`POST /echo HTTP/1.1\r\n${headers}\r\n`);
    await expect.poll(connection.text).toContain("100 Continue");
    connection.socket.destroy();
    await expect
      .poll(() => logs.lines().slice(before))
      .toMatchObject([{ route: "/echo", status: 499, aborted: true, level: "info" }]);
  });
});

describe("a stranger", () => {
  it("is refused before a byte of the body is read", async () => {
    const connection = send(
      "POST /closed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\nconnection: close\r\n\r\n",
    );
    await expect.poll(connection.text).toContain("401 Unauthorized");
  });

  it("learns an unknown method's Allow header as well", async () => {
    const answer = await answerTo(`PROPFIND /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    expect([answer.status, /allow: (.*)/.exec(answer.head)?.[1]]).toEqual([405, "get, head, options"]);
  });

  it("gets an answer for OPTIONS * and for an absolute address too", async () => {
    expect((await answerTo("OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).status).toBe(204);
    expect((await answerTo(get("http://x/livez?a=1"))).status).toBe(200);
    expect((await answerTo(get("http://x"))).status).toBe(200);
    expect((await answerTo(get("livez"))).status).toBe(400);
  });

  it("that expects something odd gets an answer like any other", async () => {
    const answer = await answerTo(get("/livez", "host: x\r\nexpect: 200-maybe\r\nconnection: close\r\n"));
    expect(answer.status).toBe(200);
    expect(answer.head).toContain("x-request-id: ");
  });

  it("sees neither who we are nor a stack in any of it", async () => {
    const answer = await answerTo(get("/closed"));
    expect(answer.head).not.toMatch(/^(server|x-powered-by):/m);
    expect(answer.body).not.toMatch(/node_modules|\.ts|at /);
  });
});
