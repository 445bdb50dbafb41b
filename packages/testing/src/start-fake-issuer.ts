/** Stands in for puabo-api towards the other services: a JWKS, and tokens signed with it. */
import { generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { newId, type OrganizationId, type SessionId, type UserId } from "@nexus/core";

interface Person {
  userId: UserId;
  organizationId: OrganizationId;
  sessionId: SessionId;
  roles: string[];
}

export interface FakeIssuer {
  url: string;
  /** A person with ids of their own. */
  person(roles?: string[]): Person;
  /** A token for an audience; `overrides` replace claims, `header` replaces header members. */
  token(person: Person, audience: string, overrides?: Record<string, unknown>, header?: Record<string, unknown>): string;
  /** How often the JWKS was fetched. */
  fetches(): number;
  close(): Promise<void>;
}

export async function startFakeIssuer(): Promise<FakeIssuer> {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "test", alg: "EdDSA", use: "sig" };
  let fetches = 0;
  const server = createServer((_request, response) => {
    fetches++;
    response.setHeader("content-type", "application/json").end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return {
    url,
    person: (roles = ["user"]) => ({
      userId: newId("user"),
      organizationId: newId("organization"),
      sessionId: newId("session"),
      roles,
    }),
    token: (person, audience, overrides = {}, header = {}) => {
      const now = Math.floor(Date.now() / 1000);
      const claims = {
        iss: url,
        aud: audience,
        sub: person.userId,
        sid: person.sessionId,
        org: person.organizationId,
        roles: person.roles,
        iat: now,
        exp: now + 300,
        jti: randomUUID(),
        ...overrides,
      };
      const signed = `${encode({ alg: "EdDSA", typ: "at+jwt", kid: "test", ...header })}.${encode(claims)}`;
      return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
    },
    fetches: () => fetches,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
