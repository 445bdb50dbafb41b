import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Clock, newId, Problem } from "@nexus/core";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { personTokenVerifier } from "./person-token-verifier.ts";

const issuer = "https://nexus.example";
const audience = "pv-keys";
const sub = newId("user");
const sid = newId("session");
const org = newId("organization");

interface Signer {
  alg: string;
  kid: string;
  key: CryptoKey | Uint8Array;
  jwk: JWK;
}
async function signer(alg: string, kid: string): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { alg, kid, key: privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

let ed: Signer;
let es: Signer;
let rsa: Signer;
let next: Signer;
/** What the key set answers now, and how often it was asked. */
let jwks: { keys: JWK[]; mode: "works" | "fails" | "hangs" | "lies"; asked: number };
let server: Server;
let jwksUrl: string;
let wallMs: number;
let monotonicMs: number;
const clock: Clock = { now: () => wallMs, monotonic: () => monotonicMs };

beforeAll(async () => {
  [ed, es, rsa, next] = await Promise.all([
    signer("EdDSA", "ed"),
    signer("ES256", "es"),
    signer("RS256", "rsa"),
    signer("EdDSA", "next"),
  ]);
  server = createServer((_request, response) => {
    jwks.asked++;
    if (jwks.mode === "hangs") return;
    if (jwks.mode === "fails") response.writeHead(500).end("secret detail");
    else response.end(jwks.mode === "lies" ? "<html>" : JSON.stringify({ keys: jwks.keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/auth/jwks`;
});
beforeEach(() => {
  jwks = { keys: [ed.jwk, es.jwk, rsa.jwk], mode: "works", asked: 0 };
  wallMs = Date.now();
  monotonicMs = 1_000_000;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const verifier = () => personTokenVerifier({ jwksUrl, issuer, audience, clock });

function tokenBy(by: Signer, claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> {
  const now = Math.floor(wallMs / 1000);
  const all = { iss: issuer, aud: audience, sub, sid, org, roles: ["user"], iat: now, exp: now + 300, jti: "j1", ...claims };
  const payload = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  return new SignJWT(payload).setProtectedHeader({ alg: by.alg, kid: by.kid, typ: "at+jwt", ...header }).sign(by.key);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(Problem);
  return (error as Problem).code;
}

describe("a person's token", () => {
  it("tells who comes, signed with either algorithm", async () => {
    const verify = verifier();
    const person = { kind: "person", userId: sub, sessionId: sid, organizationId: org, roles: ["user"] };
    expect(await verify(await tokenBy(ed))).toEqual(person);
    expect(await verify(await tokenBy(es))).toEqual(person);
    expect(jwks.asked).toBe(1);
  });

  it.each<[string, Record<string, unknown>, Record<string, unknown>?]>([
    ["for another service", { aud: "puaboai-sdk" }],
    ["of another issuer", { iss: "https://evil.example" }],
    ["without a subject", { sub: undefined }],
    ["without a session", { sid: undefined }],
    ["without an organization", { org: undefined }],
    ["without an id", { jti: undefined }],
    ["without an end", { exp: undefined }],
    ["without roles", { roles: undefined }],
    ["whose roles are no list", { roles: "admin" }],
    ["whose subject is no user", { sub: newId("key") }],
    ["not valid yet", { nbf: Math.floor(Date.now() / 1000) + 3600 }],
    ["of another type", {}, { typ: "JWT" }],
    ["without a type", {}, { typ: undefined }],
  ])("one %s is refused", async (_name, claims, header) => {
    expect(await codeOf(verifier()(await tokenBy(ed, claims, header)))).toBe("unauthenticated");
  });

  it("an algorithm other than ours is refused, even by a key of the set", async () => {
    expect(await codeOf(verifier()(await tokenBy(rsa)))).toBe("unauthenticated");
  });

  it("one signed with the public key as an HMAC secret, or not at all, is refused", async () => {
    const secret: Signer = { ...ed, alg: "HS256", key: Buffer.from(JSON.stringify(ed.jwk)) };
    expect(await codeOf(verifier()(await tokenBy(secret)))).toBe("unauthenticated");
    const [, payload] = (await tokenBy(ed)).split(".");
    const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString("base64url");
    expect(await codeOf(verifier()(`${none}.${payload}.`))).toBe("unauthenticated");
  });

  it.each(["", "x", "a.b.c", "eyJ.eyJ.x", "x".repeat(1_000_000), "\u0000"])(
    "text that is no token is refused (%#)",
    async (text) => {
      expect(await codeOf(verifier()(text))).toBe("unauthenticated");
    },
  );

  it("that is for another service is told so, and one that somebody else signed is told nothing", async () => {
    const detailOf = async (token: string): Promise<unknown> =>
      await verifier()(token).catch((error: unknown) => [(error as Problem).code, (error as Problem).detail]);
    const aud = "puaboai-sdk";
    expect(await detailOf(await tokenBy(ed, { aud }))).toEqual([
      "unauthenticated",
      "the token is for another service; this one wants audience=pv-keys",
    ]);
    const forged = { ...next, kid: ed.kid };
    expect(await detailOf(await tokenBy(forged, { aud }))).toEqual(["unauthenticated", undefined]);
  });

  it("clocks may differ by five seconds, not more", async () => {
    const verify = verifier();
    const token = await tokenBy(ed);
    wallMs += 304_000;
    await verify(token);
    wallMs += 3000;
    expect(await codeOf(verify(token))).toBe("unauthenticated");
  });

  it("a signature that was changed is refused", async () => {
    const token = await tokenBy(ed);
    const [head, , signature] = token.split(".");
    const [, other] = (await tokenBy(ed, { roles: ["admin"] })).split(".");
    expect(await codeOf(verifier()(`${head}.${other}.${signature}`))).toBe("unauthenticated");
  });
});

describe("the key set", () => {
  it.each(["fails", "lies", "hangs"] as const)(
    "that %s when no key was ever had makes the service unavailable, not the caller unknown",
    async (mode) => {
      jwks.mode = mode;
      const verify = verifier();
      const token = await tokenBy(ed);
      expect(await codeOf(verify(token))).toBe("unavailable");
      jwks.mode = "works";
      monotonicMs += 1001;
      expect(await verify(token)).toMatchObject({ userId: sub });
    },
  );

  it("that is away is asked once a second, however many ask", async () => {
    jwks.mode = "fails";
    const verify = verifier();
    const token = await tokenBy(ed);
    const ask = () => Promise.all(Array.from({ length: 50 }, () => codeOf(verify(token))));
    expect(new Set(await ask())).toEqual(new Set(["unavailable"]));
    await ask();
    expect(jwks.asked).toBe(1);
    monotonicMs += 1001;
    await ask();
    expect(jwks.asked).toBe(2);
  });

  it("a flood of unknown key ids costs it one question in ten seconds", async () => {
    const verify = verifier();
    await verify(await tokenBy(ed));
    monotonicMs += 10_001;
    for (let n = 0; n < 100; n++)
      expect(await codeOf(verify(await tokenBy({ ...ed, kid: `forged-${n}` })))).toBe("unauthenticated");
    expect(jwks.asked).toBe(2);
  });

  it("a new key is taken up when it first shows", async () => {
    const verify = verifier();
    await verify(await tokenBy(ed));
    jwks.keys = [ed.jwk, next.jwk];
    monotonicMs += 10_001;
    await verify(await tokenBy(next));
    expect(jwks.asked).toBe(2);
  });

  it("going away leaves known keys good for an hour, without waiting for it", async () => {
    const verify = verifier();
    await verify(await tokenBy(ed));
    jwks.mode = "hangs";
    monotonicMs += 11 * 60_000;
    const began = performance.now();
    await verify(await tokenBy(ed));
    expect(performance.now() - began).toBeLessThan(1000);
    jwks.mode = "fails";
    monotonicMs += 50 * 60_000;
    await expect.poll(async () => codeOf(verify(await tokenBy(ed))), { timeout: 5000 }).toBe("unavailable");
  });

  it("a key taken out of it is refused when the set is read again", async () => {
    const verify = verifier();
    await verify(await tokenBy(ed));
    jwks.keys = [es.jwk];
    monotonicMs += 11 * 60_000;
    await verify(await tokenBy(es));
    await expect.poll(async () => codeOf(verify(await tokenBy(ed))), { timeout: 5000 }).toBe("unauthenticated");
  });
});
