import { OpenedShare, OpenShareRequest } from "@nexus/contracts/key-shares";
import { Problem } from "@nexus/core";
import { type App, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { openShare } from "./open-share.ts";
import { sharePage } from "./share-page.ts";
import { countWrongTokens } from "./wrong-tokens.ts";

const tags = ["key shares"];
const config = { permission: "public" } as const;

export function addKeyShareRoutes(app: App, deps: Deps): void {
  const wrongTokens = countWrongTokens(deps);
  app.route({
    method: "GET",
    url: "/share",
    config,
    schema: { summary: "The page of a share link; it opens nothing until its button is pressed", tags },
    handler: async (_request, reply) => await reply.headers(sharePage.headers).send(sharePage.html),
  });
  app.route({
    method: "POST",
    url: "/v1/key-shares/open",
    config,
    schema: { summary: "Show the key of a share link, once", tags, body: OpenShareRequest, response: { 200: OpenedShare } },
    handler: async (request) => {
      wrongTokens.admit(request.ip);
      try {
        return await openShare(deps, request.body.token, requestContext(request));
      } catch (error) {
        if (error instanceof Problem && error.code === "not_found") wrongTokens.count(request.ip);
        throw error;
      }
    },
  });
}
