import { connect } from "node:net";
import { PassThrough } from "node:stream";
import { newId, Problem, systemClock } from "@nexus/core";
import { createLogger, createMetrics } from "@nexus/telemetry";
import { Type } from "typebox";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildServer } from "./build-server.ts";
import type { Caller } from "./caller.ts";
import { bearerOf } from "./guard.ts";
import { callerOf, personOf, requestContext } from "./request-context.ts";
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
  keyKind: "sk",
  organizationId: newId("organization"),
  ownerUserId: null,
  scopes: ["ai:*"],
  models: null,
};
const callers: Record<string, Caller> = { person, admin: { ...person, roles: ["admin"] }, key };

const logText: string[] = [];
let trusted: string[] = [];
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
      if (token === "database-away") throw Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
      const caller = callers[token];
      if (!caller) throw new Problem("unauthenticated");
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
    trustedProxies: trusted,
    translate: (error) =>
      (error as { code?: string }).code === "ECONNREFUSED"
        ? new Problem("unavailable", "the host db-7 is away", { cause: error, headers: { "retry-after": "2" } })
        : undefined,
    homePage: (request, reply) => {
      if (!request.headers.accept?.includes("text/html")) return false;
      void reply.type("text/html").send("<h1>hello</h1>");
      return true;
    },
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
  for (const permission of ["person", "admin", "scope:ai:chat", "scope:keys:verify", "admin|scope:ai:chat"] as const) {
    published.route({
      method: "GET",
      url: `/may/${permission.replaceAll(/[:|]/g, "-")}`,
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
  published.route({ method: "POST", url: "/nothing", config: { permission: "public" }, handler: () => ({ ok: true }) });
  published.route({
    method: "GET",
    url: "/sized/:size",
    config: { permission: "public" },
    schema: { params: Type.Object({ size: Type.Integer() }) },
    handler: (request) => request.params,
  });
  published.route({
    method: "GET",
    url: "/leaky",
    config: { permission: "public" },
    schema: { response: { 200: Type.Object({ id: Type.String() }, { additionalProperties: false }) } },
    handler: () => ({ id: "1", password_hash: "hash-of-a-password" }),
  });
  published.route({
    method: "GET",
    url: "/away",
    config: { permission: "public" },
    handler: () => {
      throw Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    },
  });
  published.route({
    method: "GET",
    url: "/me",
    config: { permission: "person" },
    handler: (request) => ({
      ...requestContext(request),
      user: personOf(request).userId,
      same: request.caller === callerOf(request),
    }),
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
    ['{"name":"a",}', 400, "malformed_json"],
    ["\u00a0", 400, "malformed_json"],
    ["null", 422, "invalid_request"],
    ["[]", 422, "invalid_request"],
    ['"name"', 422, "invalid_request"],
    ['{"name":"a","count":5.5}', 422, "invalid_request"],
    ['{"name":"a","count":null}', 422, "invalid_request"],
    ['{"name":"a\\u0000b"}', 422, "invalid_request"],
    ['{"name":"a","n\\u0000":1}', 422, "invalid_request"],
    ["[".repeat(1000), 400, "malformed_json"],
    [`{"name":${"[".repeat(900)}${"]".repeat(900)}}`, 422, "invalid_request"],
    ['{"name":"a","__proto__":{"x":1}}', 400, "malformed_json"],
    ['{"name":"a","constructor":{"prototype":{"x":1}}}', 400, "malformed_json"],
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

  it("bytes that are no UTF-8 are refused instead of being guessed at", async () => {
    const body = Buffer.from([...Buffer.from('{"name":"'), 0xff, 0xfe, ...Buffer.from('"}')]);
    const answer = await fetch(`${url}/things`, { method: "POST", body, headers: { "content-type": "application/json" } });
    expect((await problemOf(answer)).code).toBe("malformed_json");
  });

  it("an answer cannot be made larger than its request by many or long names", async () => {
    const many = Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`f${n}`, 1]));
    const problem = await problemOf(await post("/things", JSON.stringify(many)));
    expect(problem.errors!.length).toBeLessThanOrEqual(20);
    const long = await problemOf(await post("/things", JSON.stringify({ name: "a", [`x${"y".repeat(1500)}`]: 1 })));
    expect(long.errors![0]!.pointer.length).toBeLessThanOrEqual(200);
  });

  it("several faults are all named at once", async () => {
    const { errors } = await problemOf(await post("/things", '{"count":"5","a/b":1,"c~d":2}'));
    expect(errors!.map(({ pointer }) => pointer).toSorted()).toEqual(["/a~1b", "/count", "/c~0d", "/name"]);
  });

  it("a route that takes no body refuses one by name, and takes none or {}", async () => {
    for (const body of [undefined, "{}"]) {
      const headers: Record<string, string> = body === undefined ? {} : { "content-type": "application/json" };
      expect((await fetch(`${url}/nothing`, { method: "POST", headers, ...(body === undefined ? {} : { body }) })).status).toBe(
        200,
      );
    }
    expect((await post("/nothing", "")).status).toBe(200);
    expect((await problemOf(await post("/nothing", '{"a":1}'))).errors).toEqual([
      { pointer: "/a", detail: "is not a known field" },
    ]);
    expect((await problemOf(await post("/nothing", "[1]"))).errors).toEqual([{ pointer: "", detail: "must be empty" }]);
    const query = await fetch(`${url}/nothing?a=1`, { method: "POST" });
    expect((await problemOf(query)).errors).toEqual([{ pointer: "?a", detail: "is not a known field" }]);
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
    const wrong = [
      "limit=five",
      "limit=0",
      "lim=1",
      "limit=1.5",
      "limit=0x10",
      "limit=1e1",
      "limit=%205",
      "limit=",
      "limit=1&limit=2",
    ];
    for (const query of [...wrong, "limit[a]=1", "__proto__=1", "constructor=1"]) {
      const answer = await fetch(`${url}/things/1?${query}`);
      expect(answer.status).toBe(422);
      expect((await problemOf(answer)).errors?.[0]?.pointer).toMatch(/^\?(lim|__proto__|constructor)/);
    }
  });

  it("another content type is 415", async () => {
    expect((await problemOf(await post("/things", "a=1", { "content-type": "text/csv" }))).code).toBe("unsupported_media_type");
  });

  it.each([
    ["text/plain", {}],
    ["application/x-www-form-urlencoded", {}],
    ["application/json", { "content-encoding": "gzip" }],
    ["not a type", {}],
  ])("a body of type %s %j is 415", async (type, headers) => {
    expect((await post("/things", '{"name":"a"}', { "content-type": type, ...headers })).status).toBe(415);
  });

  it("a body that does not say how long it is ends at the limit", async () => {
    let sent = 0;
    const endless = new ReadableStream({
      pull: (controller) => {
        sent += 1000;
        controller.enqueue(Buffer.alloc(1000, " "));
      },
    });
    const request = { method: "POST", body: endless, duplex: "half", headers: { "content-type": "application/json" } } as const;
    const answer = await fetch(`${url}/things`, request).catch((error: unknown) => error);
    // A client that still sends may see the connection break before it sees the answer.
    if (answer instanceof Response) expect((await problemOf(answer)).code).toBe("body_too_large");
    expect(sent).toBeLessThan(10_000_000);
  });

  it("a body without a type is 415", async () => {
    const answer = await fetch(`${url}/things`, { method: "POST", body: Buffer.from('{"name":"a"}') });
    expect((await problemOf(answer)).code).toBe("unsupported_media_type");
  });

  it("a parameter that does not fit its pattern names nothing", async () => {
    for (const path of ["/sized/x", "/sized/1.0", `/sized/${"1".repeat(600)}`]) {
      expect((await problemOf(await fetch(url + path))).code).toBe("not_found");
    }
    expect(await (await fetch(`${url}/sized/7`)).json()).toEqual({ size: 7 });
  });

  it("HEAD is GET without the body, OPTIONS says what a path can do", async () => {
    const head = await fetch(`${url}/livez`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    const able = await fetch(`${url}/things`, { method: "OPTIONS" });
    expect([able.status, able.headers.get("allow")]).toEqual([204, "OPTIONS, POST"]);
    expect((await fetch(`${url}/nowhere`, { method: "OPTIONS" })).status).toBe(404);
  });

  it("an answer that does not fit its schema stays here", async () => {
    const answer = await fetch(`${url}/leaky`);
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain("hash-of-a-password");
    await expect.poll(() => logText.join("")).toContain("the answer of GET /leaky does not fit its schema: /password_hash");
    expect(logText.join("")).not.toContain("hash-of-a-password");
  });

  it("a dependency's error becomes the problem that the service says it is", async () => {
    const answer = await fetch(`${url}/away`);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "2"]);
    expect(await problemOf(answer)).toMatchObject({ code: "unavailable" });
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
    ["/may/admin-scope-ai-chat", { person: 403, admin: 200, key: 200 }],
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

  it("is told how to prove who they are, by RFC 6750", async () => {
    const ask = async (token?: string) => {
      const answer = await fetch(
        `${url}/may/scope-keys-verify`,
        token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
      );
      return [answer.status, answer.headers.get("www-authenticate")];
    };
    expect(await ask()).toEqual([401, 'Bearer realm="nexus"']);
    expect(await ask("wrong")).toEqual([401, 'Bearer realm="nexus", error="invalid_token"']);
    expect(await ask("key")).toEqual([403, 'Bearer realm="nexus", error="insufficient_scope", scope="keys:verify"']);
    const refused = await fetch(`${url}/may/scope-keys-verify`, { headers: { authorization: "Bearer key" } });
    expect(await problemOf(refused)).toMatchObject({ code: "forbidden", required_scope: "keys:verify" });
  });

  it("a failure to find out who calls is no refusal", async () => {
    const answer = await fetch(`${url}/may/person`, { headers: { authorization: "Bearer database-away" } });
    expect(answer.status).toBe(503);
    expect(answer.headers.get("www-authenticate")).toBeNull();
  });

  it("answers are for the caller alone", async () => {
    const { headers } = await fetch(`${url}/may/person`, { headers: { authorization: "Bearer person" } });
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(headers.get("server")).toBeNull();
  });

  it("X-Forwarded-For counts only from a proxy that is trusted", async () => {
    const headers = {
      authorization: "Bearer person",
      "x-forwarded-for": "203.0.113.9",
      "x-request-id": "mine",
      traceparent: "junk",
    };
    const told = (await (await fetch(`${url}/me`, { headers })).json()) as Record<string, unknown>;
    expect(told).toMatchObject({
      client_request_id: "mine",
      session_id: (person as { sessionId: string }).sessionId,
      same: true,
    });
    expect(told["ip"]).not.toBe("203.0.113.9");
    expect(told).not.toHaveProperty("trace_id");
    trusted = ["127.0.0.1", "::1"];
    const behind = await buildServer(options());
    behind.published.route({
      method: "GET",
      url: "/me",
      config: { permission: "person" },
      handler: (request) => requestContext(request),
    });
    const address = await behind.listen({ host: "127.0.0.1", port: 0, internalHost: "127.0.0.1", internalPort: 0 });
    expect(await (await fetch(`${address.url}/me`, { headers })).json()).toMatchObject({ ip: "203.0.113.9" });
    await behind.close(0);
    trusted = [];
  });

  it("a route for services cannot stand on the published listener, nor one for people on the private one", async () => {
    const unstarted = await buildServer(options());
    const route = (permission: "service" | "person") => ({
      method: "GET" as const,
      url: "/x",
      config: { permission },
      handler: () => ({}),
    });
    expect(() => unstarted.published.route(route("service"))).toThrow("private listener only");
    expect(() => unstarted.internal.route(route("person"))).toThrow("nobody has on the private listener");
  });

  it("a route that a plugin forgets to guard keeps the server from becoming ready", async () => {
    const unstarted = await buildServer(options());
    void unstarted.published.register(async (scope) => {
      scope.route({ method: "GET", url: "/forgotten", handler: () => ({}) });
    });
    const listening = unstarted.listen({ host: "127.0.0.1", port: 0, internalHost: "127.0.0.1", internalPort: 0 });
    await expect(listening).rejects.toThrow("GET /forgotten names no permission");
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

  it("an id of the caller's that is unbounded or unprintable is dropped", async () => {
    for (const id of ["x".repeat(129), "with space", "caf\u00e9"]) {
      await fetch(`${url}/me`, { headers: { authorization: "Bearer person", "x-request-id": id } })
        .then((answer) => answer.json())
        .then((told) => expect(told).not.toHaveProperty("client_request_id"));
    }
  });

  it("leaves one log line a request, without query, body, address or credential", async () => {
    const before = logText.length;
    const answer = await fetch(`${url}/things?secret=hunter3`, {
      method: "POST",
      body: '{"name":"hunter4"}',
      headers: { "content-type": "application/json", authorization: "Bearer hunter5", cookie: "session=hunter6" },
    });
    const id = answer.headers.get("x-request-id");
    const lines = (): Record<string, unknown>[] =>
      logText
        .slice(before)
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter((line) => line["request_id"] === id);
    await expect.poll(lines).toHaveLength(1);
    expect(lines()[0]).toMatchObject({ method: "POST", route: "/things", status: 422, listener: "published" });
    expect(typeof lines()[0]!["duration_ms"]).toBe("number");
    expect(logText.slice(before).join("")).not.toMatch(/hunter[3456]/);
  });

  it("logs who called, by id", async () => {
    const answer = await fetch(`${url}/may/scope-ai-chat`, { headers: { authorization: "Bearer key" } });
    const id = answer.headers.get("x-request-id");
    await expect.poll(() => logText.find((line) => line.includes(id!))).toContain('"caller":"key","key_id":"key_');
  });

  it("shows a browser its page, and everybody else JSON", async () => {
    const page = await fetch(url, { headers: { accept: "text/html,*/*" } });
    expect([await page.text(), page.headers.get("vary")]).toEqual(["<h1>hello</h1>", "accept"]);
    expect((await fetch(url, { headers: { accept: "*/*" } })).headers.get("content-type")).toContain("application/json");
    expect((await fetch(`${url}/?utm_source=x`)).status).toBe(200);
  });

  it("explains its problems, and lists them", async () => {
    const page = await fetch(`${url}/problems/not_found`);
    expect(page.headers.get("content-type")).toBe("text/markdown; charset=utf-8");
    expect(await page.text()).toContain("# Not found");
    const shown = await fetch(`${internalUrl}/problems/not_found`, { headers: { accept: "text/html" } });
    expect(shown.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    for (const code of ["nope", "constructor", "..%2f..%2fREADME", "not_found.md"]) {
      expect((await fetch(`${url}/problems/${code}`)).status).toBe(404);
    }
    const list = (await (await fetch(`${url}/problems`)).json()) as { data: { code: string }[] };
    expect(list.data.map(({ code }) => code)).toContain("rate_limited");
  });

  it("tests may inject requests without a socket", async () => {
    const answer = await server.published.inject({ method: "GET", url: "/livez" });
    expect([answer.statusCode, String(answer.headers["x-request-id"]).slice(0, 4)]).toEqual([200, "req_"]);
    expect((await server.published.inject({ method: "GET", url: "/%zz" })).statusCode).toBe(400);
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
