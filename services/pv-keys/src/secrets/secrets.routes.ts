/** Secrets for people, who put values in; and for the services that read them, on the private listener. */
import { idempotencyHeaders } from "@nexus/contracts/common";
import * as contract from "@nexus/contracts/secrets";
import { assert } from "@nexus/core";
import { decodeCursor, pageOf } from "@nexus/db";
import { type App, callerOf, personOf, requestContext, type Server } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { doOnce } from "../do-once.ts";
import { getKeptSecret } from "./change-secret.ts";
import { createSecret } from "./create-secret.ts";
import { readSecret } from "./read-secret.ts";
import { keeperOf, organizationOf, presentSecret, presentVersion } from "./secret.ts";
import { listSecrets, listVersions } from "./secrets.store.ts";
import { deleteSecret, newSecretValue, updateReaders } from "./update-secret.ts";

const tags = ["secrets"];
const config = { permission: "person" } as const;
const mostVersionsShown = 100;

export function addSecretRoutes({ published, internal }: Server, deps: Deps): void {
  addCreateRoute(published, deps);
  addReadingRoutes(published, deps);
  addChangeRoutes(published, deps);
  addReaderRoute(internal, deps);
}

function addCreateRoute(app: App, deps: Deps): void {
  app.route({
    method: "POST",
    url: "/v1/secrets",
    config,
    schema: {
      summary: "Keep a secret; no answer ever holds its value",
      tags,
      headers: idempotencyHeaders,
      body: contract.CreateSecretRequest,
      response: { 201: contract.SecretAnswer },
    },
    handler: async (request, reply) => {
      const input = { keeper: keeperOf(personOf(request)), request: request.body, context: requestContext(request) };
      const readers = readersOf(deps);
      const secret = await doOnce(deps, { request, reply, holdsSecret: false }, (within) =>
        createSecret({ ...within, readers }, input),
      );
      return reply.code(201).header("location", `/v1/secrets/${secret.id}`).send({ secret });
    },
  });
}

function addReadingRoutes(app: App, deps: Deps): void {
  app.route({
    method: "GET",
    url: "/v1/secrets",
    config,
    schema: {
      summary: "The organization's secrets, or the installation's, newest first, without their values",
      tags,
      querystring: contract.ListSecretsQuery,
      response: { 200: contract.SecretPage },
    },
    handler: async (request) => {
      const { limit = 20, cursor, scope } = request.query;
      const organizationId = organizationOf(keeperOf(personOf(request)), scope);
      const after = cursor === undefined ? undefined : decodeCursor(cursor, deps.cursorSecret);
      const rows = await listSecrets(deps.db, { organizationId, after, limit: limit + 1 });
      return pageOf(rows, { limit, secret: deps.cursorSecret, createdAt: (row) => row.created_at, present: presentSecret });
    },
  });
  app.route({
    method: "GET",
    url: "/v1/secrets/:id",
    config,
    schema: {
      summary: "One secret, without its value",
      tags,
      params: contract.SecretParams,
      response: { 200: contract.SecretAnswer },
    },
    handler: async (request) => {
      const row = await getKeptSecret(deps.db, keeperOf(personOf(request)), request.params.id);
      return { secret: presentSecret(row) };
    },
  });
  app.route({
    method: "GET",
    url: "/v1/secrets/:id/versions",
    config,
    schema: {
      summary: "The versions of a secret, newest first",
      tags,
      params: contract.SecretParams,
      response: { 200: contract.SecretVersionList },
    },
    handler: async (request) => {
      const row = await getKeptSecret(deps.db, keeperOf(personOf(request)), request.params.id);
      return { data: (await listVersions(deps.db, row.id, mostVersionsShown)).map(presentVersion) };
    },
  });
}

function addChangeRoutes(app: App, deps: Deps): void {
  app.route({
    method: "POST",
    url: "/v1/secrets/:id/versions",
    config,
    schema: {
      summary: "Another value: the next version",
      tags,
      params: contract.SecretParams,
      headers: idempotencyHeaders,
      body: contract.NewSecretValueRequest,
      response: { 201: contract.SecretAnswer },
    },
    handler: async (request, reply) => {
      const keeper = keeperOf(personOf(request));
      const input = { keeper, secretId: request.params.id, request: request.body, context: requestContext(request) };
      const secret = await doOnce(deps, { request, reply, holdsSecret: false }, (within) => newSecretValue(within, input));
      return reply.code(201).send({ secret });
    },
  });
  app.route({
    method: "PATCH",
    url: "/v1/secrets/:id",
    config,
    schema: {
      summary: "Other readers",
      tags,
      params: contract.SecretParams,
      body: contract.UpdateSecretRequest,
      response: { 200: contract.SecretAnswer },
    },
    handler: async (request) => {
      const keeper = keeperOf(personOf(request));
      const input = { keeper, secretId: request.params.id, request: request.body, context: requestContext(request) };
      return { secret: await updateReaders({ ...deps, readers: readersOf(deps) }, input) };
    },
  });
  app.route({
    method: "DELETE",
    url: "/v1/secrets/:id",
    config,
    schema: {
      summary: "Destroy a secret's values for good",
      tags,
      params: contract.SecretParams,
      response: { 200: contract.SecretAnswer },
    },
    handler: async (request) => {
      const input = { keeper: keeperOf(personOf(request)), secretId: request.params.id, context: requestContext(request) };
      return { secret: await deleteSecret(deps, input) };
    },
  });
}

function addReaderRoute(internal: App, deps: Deps): void {
  internal.route({
    method: "POST",
    url: "/v1/secrets/read",
    config: { permission: "service" },
    schema: {
      summary: "The value of a secret, for a service that is one of its readers; every reading is audited",
      tags,
      body: contract.ReadSecretRequest,
      response: { 200: contract.ReadSecretAnswer },
    },
    handler: async (request) => {
      const caller = callerOf(request);
      assert(caller.kind === "service", "only services come to the private listener");
      return await readSecret(deps, { reader: caller.name, request: request.body, context: requestContext(request) });
    },
  });
}

function readersOf({ config: { NEXUS_CALLER_TOKEN_FILES: callers } }: Deps): ReadonlySet<string> {
  return new Set(callers.map(({ caller }) => caller));
}
