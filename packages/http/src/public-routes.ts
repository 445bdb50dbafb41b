/** The front door of a service: what it is, and what its problems mean. */
import { readFile } from "node:fs/promises";
import { ServiceRoot } from "@nexus/contracts/service";
import { Problem, problemCatalogue } from "@nexus/core";
import type { FastifyRequest } from "fastify";
import { Type } from "typebox";
import { anyQuery } from "./operations-routes.ts";
import type { App, ServerOptions } from "./server-options.ts";

/** At the root of the repository, and of the image. @internal */
export const problemPages = new URL("../../../docs/problems/", import.meta.url);

const tags = ["service"];

export function addRootRoute(app: App, { identity, homePage }: Pick<ServerOptions, "identity" | "homePage">): void {
  const links = { docs: "/docs", openapi: "/openapi.json", health: "/health", problems: "/problems" } as const;
  const root: ServiceRoot = { ...identity, links };
  app.get(
    "/",
    {
      config: { permission: "public" },
      schema: { summary: "What runs here", tags, querystring: anyQuery, response: { 200: ServiceRoot } },
    },
    async (request, reply) => {
      reply.header("vary", "accept");
      if (homePage && (await homePage(request, reply))) return reply;
      return root;
    },
  );
}

function wantsHtml(request: FastifyRequest): boolean {
  return request.headers.accept?.includes("text/html") ?? false;
}

export function addProblemRoutes(app: App): void {
  app.get(
    "/problems",
    { config: { permission: "public" }, schema: { summary: "Everything a caller can be told went wrong", tags } },
    () => ({
      data: Object.entries(problemCatalogue).map(([code, { status, title }]) => ({
        type: `/problems/${code}`,
        code,
        status,
        title,
      })),
    }),
  );
  app.get(
    "/problems/:code",
    {
      config: { permission: "public" },
      schema: { summary: "What happened, why, and what to do", tags, params: Type.Object({ code: Type.String() }) },
    },
    async (request, reply) => {
      const { code } = request.params;
      if (!Object.hasOwn(problemCatalogue, code)) throw new Problem("not_found");
      const page = await readFile(new URL(`${code}.md`, problemPages), "utf8");
      // Browsers offer text/markdown for download.
      const type = wantsHtml(request) ? "text/plain" : "text/markdown";
      return reply.header("vary", "accept").header("content-type", `${type}; charset=utf-8`).send(page);
    },
  );
}
