/** Who tells us of leaked keys. */
import * as contract from "@nexus/contracts/leaks";
import { type FieldError, Problem, toId } from "@nexus/core";
import { type App, type FastifyRequest, personOf, requestContext } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { keyDigest } from "../peppers.ts";
import { findSigner, openDelivery } from "./open-delivery.ts";
import { type Outcome, reportLeaks } from "./report-leaks.ts";
import { openSigningKeys } from "./signing-key-source.ts";

const tags = ["leaks"];
const bodyLimit = 1024 * 1024;

export function addLeakReportRoutes(app: App, deps: Deps): void {
  addGithubRoute(app, deps);
  app.route({
    method: "POST",
    url: "/v1/leaks/hashes",
    config: { permission: "admin" },
    bodyLimit,
    schema: {
      summary: "Report up to 10,000 leaked keys by their SHA-256",
      tags,
      body: contract.ReportHashesRequest,
      response: { 200: contract.ReportedHashes },
    },
    handler: async (request) => {
      const { hashes, url = "" } = request.body;
      const digests = digestsOf(hashes);
      const outcomes = await reportLeaks(deps, {
        seen: digests.map((digest) => ({ digest, source: "admin", url })),
        actor: { kind: "person", id: personOf(request).userId },
        context: requestContext(request),
      });
      return { data: outcomes.map((outcome, index) => presentHash(digests[index] ?? "", outcome)) };
    },
  });
}

function addGithubRoute(app: App, deps: Deps): void {
  const { NEXUS_LEAK_KEYS_URL: url, NEXUS_LEAK_KEYS_FILE: pinned } = deps.config;
  const keys = openSigningKeys({ ...deps, url, pinned });
  app.route({
    method: "POST",
    url: "/v1/leaks/github",
    // Nobody is asked who they are: the signature is the credential.
    config: { permission: "public", rawBody: true },
    bodyLimit,
    // Before the body is read: who names no key that signs reports does not get to fill our memory.
    onRequest: async (request) => void (await findSigner(keys, signatureOf(request))),
    schema: {
      summary: "Reports in GitHub's secret scanning partner format, signed",
      tags,
      body: contract.GithubMatches,
      response: { 200: contract.GithubAnswer },
    },
    handler: async (request) => {
      const body: unknown = request.body;
      const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
      const matches = await openDelivery(keys, { body: bytes, ...signatureOf(request) });
      const seen = matches.map(({ token, source, url: at }) => ({
        digest: keyDigest(token).toString("hex"),
        source: `github:${/^[a-z_]{1,60}$/i.test(source) ? source.toLowerCase() : "unknown"}`,
        url: at,
      }));
      const actor = { kind: "system", id: "github-secret-scanning" } as const;
      const outcomes = await reportLeaks(deps, { seen, actor, context: requestContext(request) });
      return matches.map(({ type }, index) => ({
        token_hash: seen[index]?.digest ?? "",
        token_type: type,
        label: outcomes[index] ? ("true_positive" as const) : ("false_positive" as const),
      }));
    },
  });
}

function signatureOf({ headers }: FastifyRequest) {
  return { identifier: headers["github-public-key-identifier"], signature: headers["github-public-key-signature"] };
}

/** @throws Problem `invalid_request` with `rows`, the numbers of all rows at fault, counted from 0 as in the pointers */
function digestsOf(hashes: readonly string[]): string[] {
  const rows = hashes.flatMap((text, index) => (/^[0-9a-fA-F]{64}$/.test(text) ? [] : [index]));
  if (rows.length === 0) return hashes.map((text) => text.toLowerCase());
  const detail = "is not the 64 hex digits of a SHA-256";
  const errors: FieldError[] = rows.slice(0, 20).map((row) => ({ pointer: `/hashes/${row}`, detail }));
  throw new Problem("invalid_request", `Nothing was done: /hashes/${rows[0]} ${detail}.`, { errors, extensions: { rows } });
}

function presentHash(sha256: string, outcome: Outcome): contract.ReportedHashes["data"][number] {
  if (!outcome) return { sha256, known: false, key_id: null, organization_id: null, action: null };
  const { leaked, action } = outcome;
  return {
    sha256,
    known: true,
    key_id: toId("key", leaked.keyId),
    organization_id: toId("organization", leaked.organizationId),
    action,
  };
}
