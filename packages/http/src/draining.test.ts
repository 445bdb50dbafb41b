import { createServer, get, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { systemClock } from "@nexus/core";
import { createLogger, createMetrics } from "@nexus/telemetry";
import { captureLogs, waitFor } from "@nexus/testing";
import { afterEach, describe, expect, it } from "vitest";
import { buildServer } from "./build-server.ts";
import type { Server } from "./server-options.ts";

interface Running {
  server: Server;
  url: string;
  internalUrl: string;
  logs: ReturnType<typeof captureLogs>;
  /** The open streams' ways to go on. */
  streams: { write(text: string): void; end(): void; closed: boolean }[];
}

const open: Running[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map(({ server }) => server.close(0)));
});

async function start(): Promise<Running> {
  const logs = captureLogs();
  const streams: Running["streams"] = [];
  const server = await buildServer({
    identity: { name: "example", version: "1", commit: "c", description: "An example." },
    logger: createLogger({ service: "example", level: "debug", destination: logs.stream }),
    metrics: createMetrics({ service: "example" }),
    clock: systemClock,
    authenticate: async () => undefined,
    health: [],
    serviceTokens: { own: "x", callerOf: () => undefined },
  });
  server.published.route({
    method: "GET",
    url: "/stream",
    config: { permission: "public", rawBody: true },
    handler: (_request, reply) => {
      reply.hijack();
      const { raw } = reply;
      raw.writeHead(200, { "content-type": "text/event-stream" });
      raw.write("data: first\n\n");
      const stream = { write: (text: string) => void raw.write(text), end: () => void raw.end(), closed: false };
      raw.once("close", () => (stream.closed = true));
      streams.push(stream);
    },
  });
  server.published.route({
    method: "GET",
    url: "/slow",
    config: { permission: "public" },
    handler: () => new Promise((resolve) => streams.push({ write: () => {}, end: () => resolve({ done: true }), closed: false })),
  });
  const urls = await server.listen({ host: "127.0.0.1", port: 0, internalHost: "127.0.0.1", internalPort: 0 });
  const running = { server, ...urls, logs, streams };
  open.push(running);
  return running;
}

interface Answer {
  response: IncomingMessage;
  text: () => string;
  ended: Promise<boolean>;
}

function ask(url: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = get(url, { headers: { connection: "keep-alive" } }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.on("error", () => {});
      resolve({
        response,
        text: () => text,
        ended: new Promise((settle) => response.once("close", () => settle(response.complete))),
      });
    });
    request.on("error", reject);
  });
}

describe("closing", () => {
  it("a running stream gets to its end, and the server waits for it", async () => {
    const { server, url, streams } = await start();
    const answer = await ask(`${url}/stream`);
    await waitFor(() => streams[0]);
    let closed = false;
    const closing = server.close(10_000).then(() => (closed = true));
    streams[0]!.write("data: second\n\n");
    await waitFor(() => answer.text().includes("second"));
    expect(closed).toBe(false);
    streams[0]!.end();
    expect(await answer.ended).toBe(true);
    await closing;
  });

  it("a stream that does not end is cut at the deadline", async () => {
    const { server, url, streams, logs } = await start();
    const answer = await ask(`${url}/stream`);
    await waitFor(() => streams[0]);
    const began = performance.now();
    await server.close(200);
    expect(performance.now() - began).toBeLessThan(3000);
    expect(await answer.ended).toBe(false);
    expect(streams[0]!.closed).toBe(true);
    expect(logs.lines()).toContainEqual(expect.objectContaining({ route: "/stream", status: 200, aborted: true }));
  });

  it("an answer given meanwhile asks to close its connection, and is whole", async () => {
    const { server, url, streams } = await start();
    const asked = ask(`${url}/slow`);
    await waitFor(() => streams[0]);
    const closing = server.close(10_000);
    streams[0]!.end();
    const answer = await asked;
    expect(await answer.ended).toBe(true);
    expect(answer.response.headers.connection).toBe("close");
    expect(JSON.parse(answer.text())).toEqual({ done: true });
    await closing;
  });

  it("nobody new is let in, and idle connections are closed at once", async () => {
    const { server, url, streams } = await start();
    const idle = connect(Number(new URL(url).port), "127.0.0.1");
    idle.write("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
    await new Promise((resolve) => idle.once("data", resolve));
    const idleClosed = new Promise((resolve) => idle.once("close", resolve));
    await ask(`${url}/stream`);
    await waitFor(() => streams[0]);
    const closing = server.close(10_000);
    await idleClosed;
    await expect(ask(`${url}/livez`)).rejects.toThrow("ECONNREFUSED");
    streams[0]!.end();
    await closing;
  });

  it("/readyz says so on a connection that is still busy, and /livez goes on", async () => {
    const { server, internalUrl, url, streams } = await start();
    await ask(`${url}/stream`);
    await waitFor(() => streams[0]);
    const socket = connect(Number(new URL(internalUrl).port), "127.0.0.1");
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    // Half a request keeps the connection from being idle.
    socket.write("GET /readyz HTTP/1.1\r\nhost: x\r\n");
    await waitFor(() => socket.bytesWritten > 0);
    await ask(`${internalUrl}/livez`);
    const closing = server.close(10_000);
    socket.write("\r\n");
    await waitFor(() => text.includes("draining"));
    expect(text).toMatch(/^HTTP\/1.1 503 /);
    expect(text).toContain('{"ready":false,"reasons":["draining"]}');
    streams[0]!.end();
    await closing;
  });

  it("can be asked twice, and before anything was opened", async () => {
    const { server } = await start();
    await Promise.all([server.close(), server.close()]);
    await server.close();
    const logs = captureLogs();
    const unopened = await buildServer({
      identity: { name: "example", version: "1", commit: "c", description: "" },
      logger: createLogger({ service: "example", level: "info", destination: logs.stream }),
      metrics: createMetrics({ service: "example" }),
      clock: systemClock,
      authenticate: async () => undefined,
      health: [],
      serviceTokens: { own: "x", callerOf: () => undefined },
    });
    await unopened.close();
  });
});

describe("opening", () => {
  it("a taken published port names itself and leaves the private one free again", async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
    const { port } = holder.address() as AddressInfo;
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
    const internalPort = (free.address() as AddressInfo).port;
    await new Promise((resolve) => free.close(resolve));
    const logs = captureLogs();
    const server = await buildServer({
      identity: { name: "example", version: "1", commit: "c", description: "" },
      logger: createLogger({ service: "example", level: "info", destination: logs.stream }),
      metrics: createMetrics({ service: "example" }),
      clock: systemClock,
      authenticate: async () => undefined,
      health: [],
      serviceTokens: { own: "x", callerOf: () => undefined },
    });
    const listening = server.listen({ host: "127.0.0.1", port, internalHost: "127.0.0.1", internalPort });
    await expect(listening).rejects.toMatchObject({ code: "EADDRINUSE", port });
    const again = createServer();
    await new Promise<void>((resolve, reject) => again.once("error", reject).listen(internalPort, "127.0.0.1", resolve));
    again.close();
    holder.close();
  });
});
