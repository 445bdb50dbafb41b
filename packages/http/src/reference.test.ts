import { systemClock } from "@nexus/core";
import { createLogger, createMetrics } from "@nexus/telemetry";
import { captureLogs } from "@nexus/testing";
import { Type } from "typebox";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildServer } from "./build-server.ts";
import type { Server } from "./server-options.ts";

interface Operation {
  summary?: string;
  security?: unknown[];
  "x-permission"?: string;
  parameters?: { name: string; in: string; required?: boolean; schema: Record<string, unknown> }[];
  requestBody?: { required?: boolean; content: Record<string, { schema: Record<string, unknown> }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: Record<string, unknown> }> }>;
}
interface Document {
  openapi: string;
  info: { title: string };
  components: { securitySchemes: Record<string, unknown> };
  paths: Record<string, Record<string, Operation>>;
}

let server: Server;
let url: string;
let document: Document;

beforeAll(async () => {
  server = await buildServer({
    identity: { name: "example", version: "1.2.3", commit: "c", description: "An example." },
    logger: createLogger({ service: "example", level: "info", destination: captureLogs().stream }),
    metrics: createMetrics({ service: "example" }),
    clock: systemClock,
    authenticate: async () => undefined,
    health: [],
    serviceTokens: { own: "x", callerOf: () => undefined },
  });
  server.published.route({
    method: "PUT",
    url: "/things/:id",
    config: { permission: "scope:things:write" },
    schema: {
      summary: "Change a thing",
      params: Type.Object({ id: Type.String() }),
      querystring: Type.Object({ dry: Type.Optional(Type.Boolean({ default: false })) }, { additionalProperties: false }),
      body: Type.Object({ name: Type.String({ maxLength: 9 }) }, { additionalProperties: false }),
      response: { 200: Type.Object({ ok: Type.Boolean() }, { description: "changed" }) },
    },
    handler: () => ({ ok: true }),
  });
  server.published.route({ method: "GET", url: "/admin", config: { permission: "admin" }, handler: () => ({}) });
  server.internal.route({ method: "POST", url: "/v1/secret-route", config: { permission: "service" }, handler: () => ({}) });
  ({ url } = await server.listen({ host: "127.0.0.1", port: 0, internalHost: "127.0.0.1", internalPort: 0 }));
  document = (await (await fetch(`${url}/openapi.json`)).json()) as Document;
});
afterAll(async () => {
  await server.close(0);
});

describe("the OpenAPI document", () => {
  it("is 3.1 and made of the routes' own schemas", () => {
    expect(document).toMatchObject({ openapi: "3.1.0", info: { title: "example", version: "1.2.3" } });
    const change = document.paths["/things/{id}"]!["put"]!;
    expect(change.summary).toBe("Change a thing");
    expect(change.parameters?.map(({ name, in: place }) => `${place} ${name}`).toSorted()).toEqual(["path id", "query dry"]);
    expect(change.requestBody?.content["application/json"]?.schema).toMatchObject({
      type: "object",
      required: ["name"],
      additionalProperties: false,
      properties: { name: { type: "string", maxLength: 9 } },
    });
    expect(change.responses["200"]?.content?.["application/json"]?.schema).toMatchObject({ required: ["ok"] });
  });

  it("says for every operation who may call it, and what a problem looks like", () => {
    expect(document.paths["/things/{id}"]!["put"]).toMatchObject({
      "x-permission": "scope:things:write",
      security: [{ key: [] }, { person: [] }],
    });
    expect(document.paths["/admin"]!["get"]).toMatchObject({ "x-permission": "admin", security: [{ person: [] }] });
    expect(document.paths["/health"]!["get"]).toMatchObject({ "x-permission": "public", security: [] });
    expect(Object.keys(document.components.securitySchemes).toSorted()).toEqual(["key", "person"]);
    for (const operation of Object.values(document.paths).flatMap((methods) => Object.values(methods))) {
      const problem = operation.responses["default"]?.content?.["application/problem+json"]?.schema;
      expect(problem?.["required"]).toEqual(["type", "title", "status", "code", "request_id"]);
    }
  });

  it("knows nothing of the private listener, nor of itself", () => {
    const paths = Object.keys(document.paths);
    expect(paths).toContain("/health");
    expect(paths.filter((path) => /secret|metrics|docs|openapi/.test(path))).toEqual([]);
  });
});

describe("the reference page", () => {
  it.each(["/docs", "/docs/"])("%s loads everything from our own origin, and has no inline script", async (path) => {
    const page = await fetch(url + path);
    expect(page.status).toBe(200);
    const html = await page.text();
    const assets = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);
    expect(assets.length).toBeGreaterThan(4);
    for (const asset of assets) {
      const address = new URL(asset, url + path);
      expect(address.origin).toBe(url);
      expect((await fetch(address)).status).toBe(200);
    }
    expect([...html.matchAll(/<script(?![^>]*\ssrc=)[^>]*>/g)]).toEqual([]);
    expect(html).not.toMatch(/\son\w+="/);
  });

  it.each(["/docs", "/docs/", "/docs/static/swagger-initializer.js", "/docs/static/index.html"])(
    "%s lets the browser call nobody else",
    async (path) => {
      const policy = (await fetch(url + path)).headers.get("content-security-policy") ?? "";
      const directives = new Map(policy.split("; ").map((part) => [part.split(" ")[0], part.split(" ").slice(1).join(" ")]));
      expect(directives.get("default-src")).toBe("'self'");
      expect(directives.get("script-src")).toBe("'self'");
      expect(directives.get("connect-src")).toBe("'self'");
      expect(directives.get("frame-ancestors")).toBe("'none'");
      expect(policy).not.toMatch(/https?:|\*|unsafe-eval/);
    },
  );

  it("asks its own origin for the document, and no validator elsewhere", async () => {
    const script = await (await fetch(`${url}/docs/static/swagger-initializer.js`)).text();
    expect(script).not.toMatch(/https?:\/\/(?!stackoverflow\.com)/);
    expect(script).toMatch(/validatorUrl"?: ?null/);
    expect(((await (await fetch(`${url}/docs/json`)).json()) as Document).openapi).toBe("3.1.0");
  });

  it("a file outside of its folder is not served", async () => {
    for (const path of ["/docs/static/..%2f..%2fpackage.json", "/docs/static/../../package.json", "/docs/static/.env"]) {
      expect([400, 403, 404]).toContain((await fetch(url + path)).status);
    }
  });
});
