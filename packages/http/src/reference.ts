/** OpenAPI 3.1 from the routes' own schemas, and the page that shows it. */
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import { ProblemDocument } from "@nexus/contracts/common";
import type { FastifySchema } from "fastify";
import type { Permission } from "./caller.ts";
import type { App, ServiceIdentity } from "./server-options.ts";

/** The page may load and call nothing but its own origin. Styles are set by its script; a style can fetch nothing here either. */
const referencePolicy = [
  "default-src 'self'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

const problemAnswer = {
  description: "RFC 9457 problem document; `code` is stable, see /problems",
  content: { "application/problem+json": { schema: ProblemDocument } },
};

/** Must be awaited before routes are added: it collects them as they come. */
export async function addReference(app: App, identity: ServiceIdentity): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: identity.name,
        version: identity.version,
        description: identity.description,
      },
      components: {
        securitySchemes: {
          key: { type: "http", scheme: "bearer", description: "a platform key (pv_…)" },
          person: { type: "http", scheme: "bearer", bearerFormat: "JWT", description: "a person's token from puabo-api" },
        },
      },
    },
    transform: ({ schema, url, route }) => ({
      schema: describe(schema ?? {}, route.config?.permission),
      url,
    }),
  });
  await app.register(swaggerUi, {
    routePrefix: "/docs",
    staticCSP: referencePolicy,
    // Its logo link and its online validator would leave our origin.
    uiConfig: { validatorUrl: null, layout: "BaseLayout", deepLinking: true },
  });
  let document: string | undefined;
  app.get("/openapi.json", { config: { permission: "public" }, schema: { hide: true } }, async (_request, reply) => {
    document ??= JSON.stringify(app.swagger());
    return reply.header("content-type", "application/json; charset=utf-8").send(document);
  });
}

function describe(schema: FastifySchema, permission: Permission | undefined): FastifySchema {
  const response = { ...(schema.response as object | undefined), default: problemAnswer };
  return { ...schema, response, security: securityOf(permission), "x-permission": permission } as FastifySchema;
}

function securityOf(permission: Permission | undefined): Record<string, string[]>[] {
  if (permission === undefined || permission === "public") return [];
  if (permission.includes("scope:")) return [{ key: [] }, { person: [] }];
  return [{ person: [] }];
}
