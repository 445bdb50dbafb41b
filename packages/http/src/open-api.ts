import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import { ProblemDocument } from "@nexus/contracts/common";
/** OpenAPI 3.1 out of the routes' own schemas, and a reference page from our origin that can call nobody else. */
import type { ServiceIdentity } from "./build-server.ts";
import type { Permission } from "./caller.ts";
import type { App } from "./create-listener.ts";

/** Must be added before the routes that it describes. */
export async function addOpenApi(app: App, identity: ServiceIdentity): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: identity.name, description: identity.description, version: identity.version },
      components: { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } },
    },
    transform: ({ schema, url, route }) => {
      const permission: Permission | undefined = route.config?.permission;
      const hide = url.startsWith("/docs") || url === "/openapi.json";
      const described = (schema ?? {}) as Record<string, unknown>;
      const response = { ...(described["response"] as object | undefined), default: problemResponse };
      return { url, schema: { ...described, hide, response, ...securityOf(permission) } };
    },
  });
  await app.register(swaggerUi, {
    routePrefix: "/docs",
    staticCSP:
      "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    uiConfig: { url: "/openapi.json", validatorUrl: null },
  });
  app.route({
    method: "GET",
    url: "/openapi.json",
    config: { permission: "public" },
    handler: () => app.swagger(),
  });
}

const problemResponse = { description: "A problem", content: { "application/problem+json": { schema: ProblemDocument } } };

function securityOf(permission: Permission | undefined): Record<string, unknown> {
  if (permission === undefined || permission === "public") return {};
  return { security: [{ bearer: [] }], "x-permission": permission };
}
