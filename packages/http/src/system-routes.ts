import { readFile } from "node:fs/promises";
import { problemCatalogue, Problem } from "@nexus/core";
import type { FastifyReply, FastifyRequest } from "fastify";
/** The routes that every service has: what it is, whether it works, and what it measures. */
import type { ServerOptions } from "./build-server.ts";
import type { App } from "./create-listener.ts";
import type { HealthReport } from "./health.ts";

/** Answers a browser at `/`; returns false when JSON is wanted. */
export type HomePage = (request: FastifyRequest, reply: FastifyReply) => boolean | Promise<boolean>;

interface SystemRoutes {
  published: App;
  internal: App;
  options: ServerOptions;
  report: () => Promise<HealthReport>;
  state: { draining: boolean; listening: boolean };
}

export function addSystemRoutes(parts: SystemRoutes): void {
  for (const app of [parts.published, parts.internal]) addHealthRoutes(app, parts);
  addHome(parts.published, parts.options);
  addProblemPages(parts.published);
  parts.internal.route({
    method: "GET",
    url: "/metrics",
    config: { permission: "public" },
    handler: async (_request, reply) => {
      const { registry } = parts.options.metrics;
      return reply
        .type(registry.contentType)
        .serializer(String)
        .send(await registry.metrics());
    },
  });
}

function addHealthRoutes(app: App, { options, report, state }: SystemRoutes): void {
  const config = { permission: "public" } as const;
  app.route({
    method: "GET",
    url: "/health",
    config,
    schema: { summary: "Whether the service and what it needs work", tags: ["system"] },
    handler: async (_request, reply) => {
      const health = await report();
      return reply
        .code(health.status === "fail" ? 503 : 200)
        .header("cache-control", "no-store")
        .type("application/health+json")
        .serializer(JSON.stringify)
        .send(health);
    },
  });
  app.route({
    method: "GET",
    url: "/livez",
    config,
    schema: { summary: "Whether the process is alive", tags: ["system"] },
    handler: () => ({ status: "alive" }),
  });
  app.route({
    method: "GET",
    url: "/readyz",
    config,
    schema: { summary: "Whether the service takes traffic", tags: ["system"] },
    handler: async (_request, reply) => {
      const reasons = await notReadyBecause(options, state);
      return reply.code(reasons.length > 0 ? 503 : 200).send({ ready: reasons.length === 0, reasons });
    },
  });
}

async function notReadyBecause(options: ServerOptions, state: SystemRoutes["state"]): Promise<readonly string[]> {
  if (state.draining) return ["draining"];
  if (!state.listening) return ["starting"];
  try {
    return (await options.readiness?.()) ?? [];
  } catch (error) {
    options.logger.warn({ err: error }, "readiness could not be found out");
    return ["readiness could not be found out"];
  }
}

function addHome(app: App, { identity, homePage }: ServerOptions): void {
  app.route({
    method: "GET",
    url: "/",
    config: { permission: "public" },
    schema: { summary: "What this service is", tags: ["system"] },
    handler: async (request, reply) => {
      if (homePage && (await homePage(request, reply))) return reply;
      return {
        name: identity.name,
        description: identity.description,
        version: identity.version,
        commit: identity.commit,
        links: { health: "/health", openapi: "/openapi.json", docs: "/docs" },
      };
    },
  });
}

const pages = new URL("../../../docs/problems/", import.meta.url);

/** The page that a problem's `type` points at. */
function addProblemPages(app: App): void {
  app.route<{ Params: { code: string } }>({
    method: "GET",
    url: "/problems/:code",
    config: { permission: "public" },
    schema: { summary: "What a problem code means", tags: ["system"] },
    handler: async (request, reply) => {
      const { code } = request.params;
      if (!Object.hasOwn(problemCatalogue, code)) throw new Problem("not_found");
      return reply
        .type("text/markdown; charset=utf-8")
        .serializer(String)
        .send(await readFile(new URL(`${code}.md`, pages), "utf8"));
    },
  });
}
