import { openAuditWriter } from "@nexus/audit";
import { systemClock } from "@nexus/core";
import { openDatabase } from "@nexus/db";
import { personTokenVerifier } from "@nexus/http";
import { fakeClock } from "@nexus/testing";
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  openSurroundings,
  setUp,
  signUp,
  startTestService,
  type Surroundings,
  type TestService,
} from "../start-test-service.test.ts";
import { ensureSigningKey } from "./ensure-signing-key.ts";
import { generateSigningKey, unwrapSigningKey } from "./signing-key.ts";

const secret = "a-secret-of-the-tests-alone-0123456789";
let surroundings: Surroundings;
let service: TestService;
let admin: string;

beforeAll(async () => {
  surroundings = await openSurroundings();
  service = await startTestService(surroundings, { env: { NEXUS_SIGN_UP: "open" } });
  admin = await setUp(service);
});
afterAll(async () => {
  await service.close();
  await surroundings.close();
});

test("a person's token verifies against the published keys and says who they are, for five minutes and one audience", async () => {
  const answer = await service.call("GET", "/api/auth/token?audience=pv-keys", { cookie: admin });
  expect(answer.status).toBe(200);
  const keys = createRemoteJWKSet(new URL(`${service.url}/api/auth/jwks`));
  const { payload, protectedHeader } = await jwtVerify(answer.json.token, keys, {
    issuer: "http://localhost:4000",
    audience: "pv-keys",
    typ: "at+jwt",
  });
  const { session, user } = (await service.call("GET", "/api/auth/get-session", { cookie: admin })).json;
  expect(protectedHeader).toMatchObject({ alg: "EdDSA", typ: "at+jwt", kid: expect.any(String) });
  expect(payload).toEqual({
    iss: "http://localhost:4000",
    aud: "pv-keys",
    sub: user.id,
    sid: session.id,
    org: session.activeOrganizationId,
    roles: ["admin"],
    iat: expect.any(Number),
    exp: payload.iat! + 300,
    jti: expect.any(String),
  });
  expect(new Date(answer.json.expires_at).getTime()).toBe(payload.exp! * 1000);
});

test("the guard of the other services takes it, and refuses it for another audience", async () => {
  const cookie = await signUp(service, "lea@example.org");
  const { token } = (await service.call("GET", "/api/auth/token?audience=puaboai-sdk", { cookie })).json;
  const verifierFor = (audience: string) =>
    personTokenVerifier({ jwksUrl: `${service.url}/api/auth/jwks`, issuer: "http://localhost:4000", audience });
  expect(await verifierFor("puaboai-sdk")(token)).toMatchObject({ kind: "person", roles: ["user"] });
  await expect(verifierFor("pv-keys")(token)).rejects.toMatchObject({ code: "unauthenticated" });
});

test("a token for nobody, for no audience and for an unknown one is refused", async () => {
  expect((await service.call("GET", "/api/auth/token?audience=pv-keys")).status).toBe(401);
  for (const query of ["", "?audience=", "?audience=puabo-api", "?audience=pv-keys&extra=1"]) {
    const answer = await service.call("GET", `/api/auth/token${query}`, { cookie: admin });
    expect([query, answer.status, answer.json.code]).toEqual([query, 422, "VALIDATION_ERROR"]);
  }
});

test("no private half is published", async () => {
  const { keys } = (await service.call("GET", "/api/auth/jwks")).json;
  expect(keys).toHaveLength(1);
  expect(Object.keys(keys[0]).toSorted()).toEqual(["alg", "crv", "kid", "kty", "use", "x"]);
});

test("tokens of two sessions never share an id, and none outlives its sign-out by more than its own five minutes", async () => {
  const tokens = await Promise.all(
    [1, 2, 3].map(async () => (await service.call("GET", "/api/auth/token?audience=pv-keys", { cookie: admin })).json.token),
  );
  expect(new Set(tokens.map((token) => decodeJwt(token).jti)).size).toBe(3);
});

test("three replicas that start at once on an empty database share one signing key", async () => {
  const fresh = await openSurroundings();
  const services = await Promise.all([1, 2, 3].map(() => startTestService(fresh)));
  const sets = await Promise.all(services.map(async (one) => (await one.call("GET", "/api/auth/jwks")).json));
  expect(sets[1]).toEqual(sets[0]);
  expect(sets[2]).toEqual(sets[0]);
  expect(await fresh.database.openOwner().db.selectFrom("signing_keys").select("kid").execute()).toHaveLength(1);
  await Promise.all(services.map((one) => one.close()));
  await fresh.close();
});

test("another JWT_SECRET than the one the keys are stored with stops the start with a sentence, and leaves nothing open", async () => {
  await expect(startTestService(surroundings, { env: { JWT_SECRET: secret } })).rejects.toThrow(
    /JWT_SECRET does not open the signing keys/,
  );
});

test("the same key opens again after a restart, so that tokens stay good", async () => {
  const before = (await service.call("GET", "/api/auth/token?audience=pv-keys", { cookie: admin })).json.token;
  const again = await startTestService(surroundings);
  const after = (await again.call("GET", "/api/auth/token?audience=pv-keys", { cookie: admin })).json.token;
  expect(decodeProtectedHeader(after).kid).toBe(decodeProtectedHeader(before).kid);
  await again.close();
});

test("a wrapped key opens with its own secret alone, in its own row alone, and holds no private half in the clear", async () => {
  const wrapped = await generateSigningKey(secret);
  const opened = await unwrapSigningKey(wrapped, secret);
  expect(opened?.kid).toBe(wrapped.kid);
  expect(wrapped.wrappedPrivateJwk.toString("latin1")).not.toContain('"d"');
  expect(await unwrapSigningKey(wrapped, `${secret}x`)).toBeUndefined();
  expect(await unwrapSigningKey({ ...wrapped, kid: "another" }, secret)).toBeUndefined();
  const flipped = Buffer.from(wrapped.wrappedPrivateJwk);
  flipped.writeUInt8(flipped.readUInt8(20) ^ 1, 20);
  expect(await unwrapSigningKey({ ...wrapped, wrappedPrivateJwk: flipped }, secret)).toBeUndefined();
});

test("making the key is a control action: it leaves one audit row, and without it there is no key", async () => {
  const fresh = await openSurroundings();
  const database = openDatabase(fresh.database.api, { applicationName: "tokens test" });
  const audit = openAuditWriter({ clock: systemClock, macKey: secret });
  const broken = { ...audit, write: () => Promise.reject(new Error("no audit")) };
  await expect(ensureSigningKey({ db: database.db, clock: fakeClock(), audit: broken }, secret)).rejects.toThrow("no audit");
  expect(await database.db.selectFrom("signing_keys").select("kid").execute()).toEqual([]);
  await ensureSigningKey({ db: database.db, clock: fakeClock(), audit }, secret);
  const rows = await database.db.selectFrom("audit_log").select("action").execute();
  expect(rows).toEqual([{ action: "signing_key.created" }]);
  await database.close();
  await fresh.close();
});
