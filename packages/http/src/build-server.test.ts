import { connect } from "node:net";
import { PassThrough } from "node:stream";
import { newId, Problem, systemClock } from "@nexus/core";
import { createLogger, createMetrics } from "@nexus/telemetry";
import { Type } from "typebox";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildServer } from "./build-server.ts";
import type { Caller } from "./caller.ts";
import { bearerOf } from "./guard.ts";
import { callerOf } from "./request-context.ts";
import type { Server, ServerOptions } from "./server-options.ts";

const person: Caller = {
  kind: "person",
  userId: newId("user"),
  organizationId: newId("organization"),
  sessionId: newId("session"),
  roles: ["user"],
};
const key: Caller = {
  kind: "key",
  keyId: newId("key"),
  organizationId: newId("organization"),
  ownerUserId: null,
  scopes: ["ai:*"],
  models: null,
};
const callers: Record<string, Caller> = { person, admin: { ...person, roles: ["admin"] }, key };

const logText: string[] = [];
let dependency: "works" | "refuses" | "hangs" = "works";
let server: Server;
let url: string;
let internalUrl: string;

function options(): ServerOptions {
  const sink = new PassThrough();
  sink.on("data", (chunk: Buffer) => logText.push(chunk.toString()));
  return {
    identity: { name: "example", version: "1.2.3", commit: "abc", description: "An example." },
    logger: createLogger({ service: "example", level: "debug", destination: sink }),
    metrics: createMetrics({ service: "example" }),
    clock: systemClock,
    authenticate: async (request) => {
      const token = bearerOf(request.headers.authorization);
      if (token === undefined) return undefined;
      const caller = callers[token];
      if (!caller)
        throw new Problem("unauthenticated", undefined, { headers: { "www-authenticate": 'Bearer error="invalid_token"' } });
      return caller;
    },
    health: [
      {
        name: "store:connection",
        critical: true,
        deadlineMs: 200,
        probe: () => {
          if (dependency === "refuses") return Promise.reject(new Error("password is hunter2"));
          return dependency === "hangs" ? new Promise(() => {}) : Promise.resolve();
        },
      },
    ],
    serviceTokens: { own: "x", callerOf: (token) => (token === "service-token" ? "friend" : undefined) },
    dialects: [
      {
        matches: (path) => path.startsWith("/dialect/"),
        render: (document) => ({ body: { error: { code: document.code } }, contentType: "application/json" }),
      },
    ],
    bodyLimitBytes: 2000,
  };
}

beforeAll(async () => {
  server = await buildServer(options());
  const { published, internal } = server;
  published.route({
    method: "POST",
    url: "/things",
    config: { permission: "public" },
    schema: {
      body: Type.Object({ name: Type.String(), count: Type.Optional(Type.Integer()) }, { additionalProperties: false }),
    },
    handler: (request) => request.body,
  });
  published.route({
    method: "GET",
    url: "/things/:id",
    config: { permission: "public" },
    schema: {
      querystring: Type.Object(
        { limit: Type.Optional(Type.Integer({ minimum: 1, default: 20 })) },
        { additionalProperties: false },
      ),
    },
    handler: (request) => request.query,
  });
  for (const permission of ["person", "admin", "scope:ai:chat", "scope:keys:verify"] as const) {
    published.route({
      method: "GET",
      url: `/may/${permission.replaceAll(":", "-")}`,
      config: { permission },
      handler: () => ({ ok: true }),
    });
  }
  published.route({
    method: "GET",
    url: "/broken",
    config: { permission: "public" },
    handler: () => {
      throw new Error("the password is hunter2");
    },
  });
  published.route({ method: "POST", url: "/dialect/x", config: { permission: "person" }, handler: () => ({}) });
  internal.route({
    method: "GET",
    url: "/private",
    config: { permission: "service" },
    handler: (request) => callerOf(request),
  });
  ({ url, internalUrl } = await server.listen({ host: "127.0.0.1", port: 0, internalHost: "127.0.0.1", internalPort: 0 }));
});
afterAll(async () => {
  await server.close(100);
});

function post(
  path: string,
  body: string,
  headers: Record<string, string> = { "content-type": "application/json" },
): Promise<Response> {
  return fetch(url + path, { method: "POST", body, headers });
}

async function problemOf(answer: Response): Promise<{ code: string; request_id: string; errors?: { pointer: string }[] }> {
  expect(answer.headers.get("content-type")).toContain("application/problem+json");
  const problem = (await answer.json()) as { code: string; request_id: string };
  expect(problem.request_id).toBe(answer.headers.get("x-request-id"));
  return problem;
}

describe("bad input", () => {
  it.each([
    ["{", 400, "malformed_json"],
    ["", 422, "invalid_request"],
    ['{"name":1}', 422, "invalid_request"],
    ['{"name":"a","count":"5"}', 422, "invalid_request"],
    ["{}", 422, "invalid_request"],
    ['{"name":"a","__proto__":{"x":1}}', 400, "malformed_json"],
    [JSON.stringify({ name: "a".repeat(3000) }), 413, "body_too_large"],
  ])("%.60s is answered with %i %s", async (body, status, code) => {
    const answer = await post("/things", body);
    expect(answer.status).toBe(status);
    expect((await problemOf(answer)).code).toBe(code);
  });

  it("an unknown field is named, not dropped", async () => {
    const answer = await post("/things", '{"name":"a","colour":"red"}');
    expect(answer.status).toBe(422);
    expect((await problemOf(answer)).errors).toEqual([{ pointer: "/colour", detail: "is not a known field" }]);
  });

  it("a field of the wrong type is named", async () => {
    expect((await problemOf(await post("/things", '{"name":[]}'))).errors?.[0]?.pointer).toBe("/name");
  });

  it("a missing field is named", async () => {
    expect((await problemOf(await post("/things", '{"count":1}'))).errors?.[0]?.pointer).toBe("/name");
  });

  it("query parameters are converted, given defaults, and refused when unknown or wrong", async () => {
    expect(await (await fetch(`${url}/things/1?limit=5`)).json()).toEqual({ limit: 5 });
    expect(await (await fetch(`${url}/things/1`)).json()).toEqual({ limit: 20 });
    for (const query of ["limit=five", "limit=0", "lim=1"]) {
      const answer = await fetch(`${url}/things/1?${query}`);
      expect(answer.status).toBe(422);
      expect((await problemOf(answer)).errors?.[0]?.pointer).toMatch(/^\?lim/);
    }
  });

  it("another content type is 415", async () => {
    expect((await problemOf(await post("/things", "a=1", { "content-type": "text/csv" }))).code).toBe("unsupported_media_type");
  });

  it("an unknown path is 404, a wrong method 405 with Allow, an undecodable path 400", async () => {
    expect((await fetch(`${url}/nowhere`)).status).toBe(404);
    const wrong = await fetch(`${url}/things`, { method: "DELETE" });
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "OPTIONS, POST"]);
    const read = await fetch(`${url}/things/7`, { method: "PUT" });
    expect([read.status, read.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
    expect((await problemOf(await fetch(`${url}/things/%zz`))).code).toBe("malformed_request");
  });

  it("what Node's parser refuses is answered too", async () => {
    for (const [text, status] of [
      ["GARBAGE\r\n\r\n", 400],
      [`GET / HTTP/1.1\r\nhost: x\r\nx-long: ${"a".repeat(20_000)}\r\n\r\n`, 431],
    ] as const) {
      expect(await rawStatus(text)).toBe(status);
    }
  });

  it("a failure inside shows its title and request id, and nothing else", async () => {
    const answer = await fetch(`${url}/broken`);
    expect(answer.status).toBe(500);
    const text = await answer.text();
    expect(Object.keys(JSON.parse(text) as object).toSorted()).toEqual(["code", "request_id", "status", "title", "type"]);
    expect(text).not.toContain("hunter2");
    expect(logText.join("")).toContain("the password is hunter2");
  });

  it("a route of another dialect keeps that dialect's shape", async () => {
    expect(await (await post("/dialect/x", "{}")).json()).toEqual({ error: { code: "unauthenticated" } });
  });
});

describe("who may call", () => {
  it.each([
    ["/may/person", { person: 200, admin: 200, key: 403 }],
    ["/may/admin", { person: 403, admin: 200, key: 403 }],
    ["/may/scope-ai-chat", { person: 200, admin: 200, key: 200 }],
    ["/may/scope-keys-verify", { person: 200, admin: 200, key: 403 }],
  ])("%s", async (path, expected) => {
    for (const [token, status] of Object.entries(expected)) {
      expect((await fetch(url + path, { headers: { authorization: `Bearer ${token}` } })).status).toBe(status);
    }
    for (const headers of [{}, { authorization: "Bearer wrong" }, { authorization: "Bearer service-token" }]) {
      const refused = await fetch(url + path, { headers });
      expect(refused.status).toBe(401);
      expect(refused.headers.get("www-authenticate")).toContain("Bearer");
    }
  });

  it("a service reaches the private listener with its token alone, and nobody else does", async () => {
    const ask = (token: string): Promise<Response> =>
      fetch(`${internalUrl}/private`, { headers: { authorization: `Bearer ${token}` } });
    expect(await (await ask("service-token")).json()).toEqual({ kind: "service", name: "friend" });
    expect((await ask("admin")).status).toBe(401);
    expect((await fetch(`${internalUrl}/private`)).status).toBe(401);
  });

  it("a route without a permission cannot be made", async () => {
    const unstarted = await buildServer(options());
    expect(() => unstarted.internal.route({ method: "GET", url: "/forgotten", handler: () => ({}) })).toThrow(
      "names no permission",
    );
  });
});

describe("every service", () => {
  it("mints the request id and only keeps the caller's", async () => {
    const answer = await fetch(`${url}/livez`, { headers: { "x-request-id": "mine-1" } });
    expect(answer.headers.get("x-request-id")).toMatch(/^req_[0-9a-f-]{36}$/);
    expect(logText.join("")).toContain('"client_request_id":"mine-1"');
  });

  it("says what it is, with an OpenAPI 3.1 document of its own routes", async () => {
    expect(await (await fetch(url)).json()).toMatchObject({ name: "example", version: "1.2.3", commit: "abc" });
    const document = (await (await fetch(`${url}/openapi.json`)).json()) as {
      openapi: string;
      paths: Record<string, Record<string, { "x-permission"?: string }>>;
    };
    expect(document.openapi).toBe("3.1.0");
    expect(Object.keys(document.paths)).toContain("/things");
    expect(Object.keys(document.paths).some((path) => path.startsWith("/docs"))).toBe(false);
    expect(document.paths["/may/admin"]!["get"]!["x-permission"]).toBe("admin");
  });

  it("serves its reference page from its own origin, allowed to call nobody else", async () => {
    const page = await fetch(`${url}/docs/`);
    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toContain("connect-src 'self'");
    const assets = [...(await page.text()).matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);
    expect(assets.length).toBeGreaterThan(2);
    for (const asset of assets) {
      expect(asset).not.toMatch(/^(https?:)?\/\//);
      expect((await fetch(new URL(asset, `${url}/docs/`))).status).toBe(200);
    }
  });

  it("shows its metrics on the private listener alone", async () => {
    expect((await fetch(`${url}/metrics`)).status).toBe(404);
    const text = await (await fetch(`${internalUrl}/metrics`)).text();
    expect(text).toMatch(/http_server_request_duration_seconds_count\{[^}]*route="\/livez"/);
    expect(text).not.toContain("req_");
  });

  it("is healthy when its dependency is, and says 503 when it refuses or hangs, without the reason", async () => {
    for (const [state, status] of [
      ["works", 200],
      ["refuses", 503],
      ["hangs", 503],
    ] as const) {
      dependency = state;
      await expect.poll(async () => (await fetch(`${url}/health`)).status, { timeout: 3000 }).toBe(status);
    }
    const answer = await fetch(`${internalUrl}/health`);
    expect(answer.headers.get("content-type")).toContain("application/health+json");
    expect(await answer.text()).not.toContain("hunter2");
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    dependency = "works";
  });

  it("finishes a running answer before it stops, and is not ready meanwhile", async () => {
    const draining = await buildServer(options());
    let finish: (() => void) | undefined;
    draining.published.route({
      method: "GET",
      url: "/slow",
      config: { permission: "public" },
      handler: () => new Promise((resolve) => (finish = () => resolve({ done: true }))),
    });
    const address = await draining.listen({ host: "127.0.0.1", port: 0, internalHost: "127.0.0.1", internalPort: 0 });
    const running = fetch(`${address.url}/slow`);
    await expect.poll(() => finish).toBeDefined();
    const probe = await keepAliveProbe(address.internalUrl);
    const closed = draining.close(5000);
    expect(await probe()).toContain("503");
    finish!();
    expect(await (await running).json()).toEqual({ done: true });
    await closed;
    await expect(fetch(`${address.url}/livez`)).rejects.toThrow("fetch failed");
  });
});

/** A connection opened before the server drains: afterwards no new one is taken. Sends the request line when called. */
async function keepAliveProbe(base: string): Promise<() => Promise<string>> {
  const socket = connect(Number(new URL(base).port), "127.0.0.1");
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write("GET /readyz HTTP/1.1\r\nhost: x\r\n");
  await new Promise((resolve) => setImmediate(resolve));
  return () =>
    new Promise((resolve, reject) => {
      socket.once("data", (chunk: Buffer) => resolve(chunk.toString().split("\r\n")[0]!));
      socket.once("error", reject);
      socket.write("\r\n");
    });
}

function rawStatus(text: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(text));
    socket.once("data", (chunk: Buffer) => resolve(Number(chunk.toString().split(" ")[1])));
    socket.once("error", reject);
  });
}
