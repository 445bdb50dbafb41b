import { openAuditWriter } from "@nexus/audit";
import { systemClock } from "@nexus/core";
import { openDatabase } from "@nexus/db";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  openSurroundings,
  password,
  setUp,
  signUp,
  startTestService,
  type Surroundings,
  type TestService,
} from "../start-test-service.test.ts";
import { signIn as signInUseCase } from "./sign-in.ts";

let surroundings: Surroundings;
let service: TestService;
let closed: TestService;
let admin: string;

beforeAll(async () => {
  surroundings = await openSurroundings();
  service = await startTestService(surroundings, { env: { NEXUS_SIGN_UP: "open" } });
  closed = await startTestService(surroundings, { env: { NEXUS_SIGN_IN_PER_ACCOUNT: "3" } });
  admin = await setUp(closed);
});
afterAll(async () => {
  await Promise.all([service.close(), closed.close()]);
  await surroundings.close();
});

const owner = () => surroundings.database.openOwner().db;
const signIn = (email: string, given: string, at = service) =>
  at.call("POST", "/api/auth/sign-in/email", { body: { email, password: given } });
const auditOf = async (requestId: string) =>
  (await owner().selectFrom("audit_log").selectAll().execute()).filter((row) => row.context["request_id"] === requestId);

test("sign-up makes a person with an organization of their own, signed in, with one audit row", async () => {
  const answer = await service.call("POST", "/api/auth/sign-up/email", {
    body: { email: "Ann@Example.org", password, name: "Ann" },
  });
  expect(answer.status).toBe(200);
  expect(answer.json).toMatchObject({ token: expect.stringMatching(/^ses_/), user: { email: "ann@example.org", role: "user" } });
  const session = await service.call("GET", "/api/auth/get-session", { cookie: answer.cookie });
  expect(session.json.session.activeOrganizationId).toMatch(/^org_/);
  const members = await owner()
    .selectFrom("members")
    .innerJoin("organizations", "organizations.id", "members.organization_id")
    .select(["members.role", "organizations.personal"])
    .where("members.user_id", "=", answer.json.user.id.slice(4))
    .execute();
  expect(members).toEqual([{ role: "owner", personal: true }]);
  const [row, ...more] = await auditOf(answer.headers.get("x-request-id")!);
  expect(more).toEqual([]);
  expect(row).toMatchObject({
    action: "user.signed_up",
    outcome: "success",
    organization_id: session.json.session.activeOrganizationId.slice(4),
  });
});

test("sign-up is closed unless it was opened", async () => {
  const answer = await closed.call("POST", "/api/auth/sign-up/email", { body: { email: "x@example.org", password, name: "X" } });
  expect(answer.status).toBe(403);
  expect(answer.json.code).toBe("EMAIL_PASSWORD_SIGN_UP_DISABLED");
});

test("two sign-ups with one address at once make one person", async () => {
  const body = { email: "twice@example.org", password, name: "Twice" };
  const answers = await Promise.all([1, 2].map(() => service.call("POST", "/api/auth/sign-up/email", { body })));
  expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([200, 422]);
  expect(answers.find((answer) => answer.status === 422)!.json.code).toBe("USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL");
  expect(await owner().selectFrom("users").select("id").where("email", "=", "twice@example.org").execute()).toHaveLength(1);
  expect(await owner().selectFrom("organizations").select("id").where("name", "=", "Twice").execute()).toHaveLength(1);
});

test.each([
  [{ email: "nobody", password, name: "N" }, 400, "INVALID_EMAIL"],
  [{ email: "n@example.org", password: "short", name: "N" }, 400, "PASSWORD_TOO_SHORT"],
  [{ email: "n@example.org", password: "x1".repeat(150), name: "N" }, 400, "PASSWORD_TOO_LONG"],
  [{ email: "n@example.org", password: "passwordpassword", name: "N" }, 400, "PASSWORD_COMPROMISED"],
  [{ email: "n@example.org", password: "my-margaret-2026", name: "Margaret" }, 400, "PASSWORD_CONTAINS_OWN_WORDS"],
  [{ email: "n@example.org", password, name: "N", role: "admin" }, 422, "VALIDATION_ERROR"],
  [{ email: "n@example.org", password: 5, name: "N" }, 422, "VALIDATION_ERROR"],
  [{ email: "n@example.org", password, name: "a\u0000b" }, 422, "VALIDATION_ERROR"],
  [{ email: "n@example.org", password }, 422, "VALIDATION_ERROR"],
])("sign-up refuses %j with %i %s", async (body, status, code) => {
  const answer = await service.call("POST", "/api/auth/sign-up/email", { body });
  expect([answer.status, answer.json.code]).toEqual([status, code]);
  expect(answer.json).toMatchObject({ message: expect.any(String), request_id: answer.headers.get("x-request-id") });
  expect(await owner().selectFrom("users").select("id").where("email", "=", "n@example.org").execute()).toEqual([]);
});

test("malformed JSON is 400, another content type 415, a wrong method 405 with Allow, in the dialect's own shape", async () => {
  const path = "/api/auth/sign-in/email";
  const malformed = await service.call("POST", path, { headers: { "content-type": "application/json" }, body: "{" });
  expect([malformed.status, malformed.json.code]).toEqual([400, "MALFORMED_JSON"]);
  const form = await service.call("POST", path, {
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: "a=b",
  });
  expect([form.status, form.json.code]).toEqual([415, "UNSUPPORTED_MEDIA_TYPE"]);
  const method = await service.call("DELETE", path);
  expect([method.status, method.json.code]).toEqual([405, "METHOD_NOT_ALLOWED"]);
  expect(method.headers.get("allow")).toContain("POST");
  expect((await service.call("GET", "/api/auth/nothing")).json.code).toBe("NOT_FOUND");
});

test("sign-in gives a new secret each time, in the cookie alone", async () => {
  await signUp(service, "ben@example.org");
  const [first, second] = [await signIn("BEN@example.org", password), await signIn("ben@example.org", password)];
  expect(first.status).toBe(200);
  expect(first.json).toMatchObject({
    redirect: false,
    token: expect.stringMatching(/^ses_/),
    user: { email: "ben@example.org" },
  });
  expect(first.cookie).not.toBe(second.cookie);
  const secret = first.cookie!.split("=")[1]!;
  expect(Buffer.from(secret, "base64url")).toHaveLength(32);
  expect(first.text).not.toContain(secret);
  expect(first.headers.get("set-cookie")).toMatch(/HttpOnly; SameSite=Lax; Max-Age=2592000/);
  expect((await auditOf(first.headers.get("x-request-id")!)).map((row) => [row.action, row.outcome])).toEqual([
    ["user.signed_in", "success"],
  ]);
});

test("rememberMe false: the cookie ends with the browser; callbackURL is told, never followed", async () => {
  await signUp(service, "cara@example.org");
  const body = { email: "cara@example.org", password, rememberMe: false, callbackURL: "https://evil.example" };
  const answer = await service.call("POST", "/api/auth/sign-in/email", { body });
  expect(answer.headers.get("set-cookie")).not.toContain("Max-Age");
  expect(answer.headers.get("location")).toBeNull();
  expect(answer.json).toMatchObject({ redirect: false, url: "https://evil.example" });
});

test("unknown address, wrong password and disabled person get one and the same answer, each with one audit row", async () => {
  await signUp(service, "dora@example.org");
  await signUp(service, "gone@example.org");
  await owner().updateTable("users").set({ disabled_at: new Date() }).where("email", "=", "gone@example.org").execute();
  const answers = [
    await signIn("nobody@example.org", password),
    await signIn("dora@example.org", "not the pass phrase at all"),
    await signIn("gone@example.org", password),
  ];
  const reasons: unknown[] = [];
  for (const answer of answers) {
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toContain("Bearer");
    expect(answer.cookie).toBeUndefined();
    expect({ ...answer.json, request_id: "" }).toEqual({
      code: "INVALID_EMAIL_OR_PASSWORD",
      message: "Invalid email or password",
      request_id: "",
    });
    const rows = await auditOf(answer.headers.get("x-request-id")!);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ action: "user.signed_in", outcome: "failure", organization_id: null });
    reasons.push(rows[0]!.details["reason"]);
  }
  expect(reasons).toEqual(["unknown_account", "wrong_password", "disabled"]);
});

test("an unknown address costs a whole hash like any other", async () => {
  await signUp(service, "erik@example.org");
  const database = openDatabase(surroundings.database.api, { applicationName: "accounts test" });
  const hashed: (string | undefined)[] = [];
  const needs = {
    db: database.db,
    clock: systemClock,
    audit: openAuditWriter({ clock: systemClock, macKey: password }),
    hasher: {
      verify: async (stored: string | undefined) => {
        hashed.push(stored?.slice(0, 10));
        return { matches: false, rehash: false };
      },
      hash: () => Promise.reject(new Error("not asked for")),
    },
    limiter: { admitSignIn: async () => undefined, admitSignUp: async () => undefined, forgive: async () => undefined },
    sessionLifetime: { idleMs: 1, absoluteMs: 1 },
  };
  for (const email of ["erik@example.org", "nobody@example.org"]) {
    await expect(signInUseCase(needs, { email, password }, {})).rejects.toMatchObject({ code: "unauthenticated" });
  }
  expect(hashed).toEqual(["$argon2id$", undefined]);
  await database.close();
});

test("failed attempts on one account are limited with Retry-After, and successful ones are not counted", async () => {
  await signUp(service, "finn@example.org");
  for (let round = 0; round < 6; round++) expect((await signIn("finn@example.org", password, closed)).status).toBe(200);
  let failures = 0;
  let refused = await signIn("finn@example.org", "not the pass phrase", closed);
  // Redis has 50 ms for an answer: on a busy machine the process may count some for itself, in a bucket of its own.
  while (refused.status === 401 && ++failures < 10) refused = await signIn("finn@example.org", "not the pass phrase", closed);
  expect(failures).toBeGreaterThanOrEqual(3);
  expect(failures).toBeLessThanOrEqual(6);
  expect([refused.status, refused.json.code]).toEqual([429, "RATE_LIMITED"]);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  // The bucket is shared by all replicas, and an account that is limited stops nobody else.
  await signUp(service, "gina@example.org");
  expect((await signIn("gina@example.org", password, closed)).status).toBe(200);
});

test("attempts are limited also while Redis is away, and sign-in goes on", async () => {
  await signUp(service, "theo@example.org");
  await surroundings.redis.set("shut");
  try {
    for (let round = 0; round < 5; round++) expect((await signIn("theo@example.org", password, closed)).status).toBe(200);
    for (let round = 0; round < 3; round++)
      expect((await signIn("theo@example.org", "not the pass phrase", closed)).status).toBe(401);
    expect((await signIn("theo@example.org", password, closed)).status).toBe(429);
  } finally {
    await surroundings.redis.set("open");
  }
});

test("a sign-in from an address with a zone, or behind a proxy that lies, is kept with what is an address of it", async () => {
  const proxied = await startTestService(surroundings, { env: { NEXUS_TRUSTED_PROXIES: "127.0.0.1,192.0.2.1" } });
  await signUp(service, "otto@example.org");
  const kept: unknown[] = [];
  for (const forwarded of ["203.0.113.7", "fe80::1%eth0", "nonsense", "2001:db8::1"]) {
    const body = { email: "otto@example.org", password };
    const answer = await proxied.call("POST", "/api/auth/sign-in/email", { body, headers: { "x-forwarded-for": forwarded } });
    expect(answer.status).toBe(200);
    const id = answer.json.token.slice(4);
    kept.push((await owner().selectFrom("sessions").select("ip").where("id", "=", id).executeTakeFirstOrThrow()).ip);
  }
  expect(kept).toEqual(["203.0.113.7", "fe80::1", null, "2001:db8::1"]);
  await proxied.close();
});

test("a password stored under other parameters is stored anew at sign-in, and concurrent sign-ins all succeed", async () => {
  const { hash } = await import("@node-rs/argon2");
  await signUp(service, "hans@example.org");
  const old = await hash(password, { memoryCost: 8192, timeCost: 1, parallelism: 1 });
  const account = owner().selectFrom("users").select("id").where("email", "=", "hans@example.org");
  await owner().updateTable("accounts").set({ password_hash: old }).where("user_id", "=", account).execute();
  const answers = await Promise.all(Array.from({ length: 5 }, () => signIn("hans@example.org", password)));
  expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 200, 200]);
  const row = await owner()
    .selectFrom("accounts")
    .select("password_hash")
    .where("user_id", "=", account)
    .executeTakeFirstOrThrow();
  expect(row.password_hash).toContain("m=19456,t=2,p=1");
  expect((await signIn("hans@example.org", password)).status).toBe(200);
});

test("a page of another origin can neither sign in nor out", async () => {
  const cookie = await signUp(service, "iris@example.org");
  for (const headers of [{ origin: "https://evil.example" }, { "sec-fetch-site": "cross-site" }]) {
    const answer = await service.call("POST", "/api/auth/sign-out", { cookie, headers, body: {} });
    expect([answer.status, answer.json.code]).toEqual([403, "INVALID_ORIGIN"]);
  }
  expect((await service.call("GET", "/api/auth/get-session", { cookie })).json).not.toBeNull();
});

test("no password, token, cookie or address stands in a log line or in the clear in the database", async () => {
  const email = "judy.unusual@example.org";
  const cookie = await signUp(service, email);
  const answer = await signIn(email, password);
  await signIn(email, "a wrong pass phrase of mine");
  const token = await service.call("GET", "/api/auth/token?audience=pv-keys", { cookie });
  await service.call("POST", "/api/auth/sign-out", { cookie, body: {} });
  const secrets = [
    password,
    "a wrong pass phrase of mine",
    cookie.split("=")[1]!,
    answer.cookie!.split("=")[1]!,
    token.json.token,
    email,
  ];
  for (const secret of secrets) expect(service.logs()).not.toContain(secret);
  const sessions = JSON.stringify(await owner().selectFrom("sessions").selectAll().execute());
  const log = (await owner().selectFrom("audit_log").select("canonical").execute())
    .map((row) => row.canonical.toString())
    .join("");
  for (const secret of secrets) expect(sessions + log).not.toContain(secret);
});

test("the first administrator and those who signed up are told apart", async () => {
  const user = await signUp(service, "karl@example.org");
  expect((await closed.call("GET", "/api/audit/events", { cookie: admin })).status).toBe(200);
  const refused = await closed.call("GET", "/api/audit/events", { cookie: user });
  expect([refused.status, refused.json.code]).toEqual([403, "forbidden"]);
});
