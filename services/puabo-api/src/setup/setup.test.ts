import { fakeClock, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  openSurroundings,
  password,
  setUp,
  startTestService,
  type Surroundings,
  type TestService,
} from "../start-test-service.test.ts";

const owner = { email: "owner@example.org", password, name: "Owner" };
let surroundings: Surroundings;
const started: TestService[] = [];

beforeEach(async () => {
  surroundings = await openSurroundings();
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((service) => service.close()));
  await surroundings.close();
});

async function start(options?: Parameters<typeof startTestService>[1]): Promise<TestService> {
  const service = await startTestService(surroundings, options);
  started.push(service);
  return service;
}

const codeOf = (service: TestService) => new URL(service.setupUrl!).searchParams.get("code")!;
const admins = async () =>
  await surroundings.database.openOwner().db.selectFrom("users").select("email").where("role", "=", "admin").execute();

test("a new installation has no account at all, and the link has 256 bits", async () => {
  const service = await start();
  expect(await surroundings.database.openOwner().db.selectFrom("users").selectAll().execute()).toEqual([]);
  expect(Buffer.from(codeOf(service), "base64url")).toHaveLength(32);
});

test("the link makes one administrator, signs them in, and is gone", async () => {
  const service = await start();
  const code = codeOf(service);
  const form = await service.call("GET", `/setup?code=${code}`);
  expect(form.status).toBe(200);
  expect(form.text).toContain("<form");
  const made = await service.call("POST", "/setup", { body: { code, ...owner } });
  expect(made.status).toBe(201);
  expect(made.json).toMatchObject({ token: expect.stringMatching(/^ses_/), user: { email: owner.email, role: "admin" } });
  const session = await service.call("GET", "/api/auth/get-session", { cookie: made.cookie });
  expect(session.json.user).toEqual(made.json.user);

  expect((await service.call("GET", `/setup?code=${code}`)).status).toBe(404);
  expect((await service.call("POST", "/setup", { body: { code, ...owner, email: "second@example.org" } })).status).toBe(404);
  expect(await admins()).toEqual([{ email: owner.email }]);
});

test("without the right code there is no door", async () => {
  const service = await start();
  for (const path of ["/setup", "/setup?code=", `/setup?code=${"a".repeat(43)}`]) {
    expect((await service.call("GET", path)).status).toBe(404);
  }
  expect((await service.call("POST", "/setup", { body: { code: "a".repeat(43), ...owner } })).status).toBe(404);
  expect(await admins()).toEqual([]);
});

test("a browser's form works without a script and shows what was wrong", async () => {
  const service = await start();
  const headers = { "content-type": "application/x-www-form-urlencoded", origin: "null", "sec-fetch-site": "same-origin" };
  const fields = (given: Record<string, string>) => new URLSearchParams({ code: codeOf(service), ...owner, ...given }).toString();
  const page = await service.call("GET", `/setup?code=${codeOf(service)}`);
  expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
  expect(page.headers.get("referrer-policy")).toBe("no-referrer");
  expect(page.headers.get("cache-control")).toBe("no-store");
  expect(page.text).not.toContain("<script");

  const refused = await service.call("POST", "/setup", { headers, body: fields({ password: "Tr0ub4dor&3", name: '"><b>' }) });
  expect(refused.status).toBe(422);
  expect(refused.headers.get("content-type")).toContain("text/html");
  expect(refused.text).toContain("The password must have at least 15 characters.");
  expect(refused.text).toContain("&quot;&gt;&lt;b&gt;");
  expect(refused.text).not.toContain("Tr0ub4dor");

  // What the schema refuses is told to a person as well, and to nobody who does not hold the code.
  const unnamed = await service.call("POST", "/setup", { headers, body: fields({ name: "" }) });
  expect([unnamed.status, unnamed.headers.get("content-type")]).toEqual([422, "text/html; charset=utf-8"]);
  expect(unnamed.text).toMatch(/role="alert">The name must [^<]+\.</);
  expect((await service.call("POST", "/setup", { headers, body: fields({ name: "", code: "a".repeat(43) }) })).status).toBe(404);

  const made = await service.call("POST", "/setup", { headers, body: fields({}) });
  expect(made.status).toBe(201);
  expect(made.text).toContain("is the administrator");
  expect(made.cookie).toBeDefined();
});

test("whoever sends JSON is told the field", async () => {
  const service = await start();
  const sent = async (given: object) =>
    (await service.call("POST", "/setup", { body: { code: codeOf(service), ...owner, ...given } })).json;
  const refusal = (pointer: string, detail: string) => ({ status: 422, code: "invalid_request", errors: [{ pointer, detail }] });
  expect(await sent({ password: "short" })).toMatchObject(refusal("/password", "must have at least 15 characters"));
  expect(await sent({ email: "nobody" })).toMatchObject(refusal("/email", "is not an e-mail address"));
  expect(await sent({ name: undefined })).toMatchObject({ status: 422, errors: [{ pointer: "/name" }] });
});

test("of many set-ups at once exactly one makes an administrator", async () => {
  const [first, second] = [await start(), await start()];
  const code = codeOf(second);
  const db = surroundings.database.openOwner().db;
  // All of them are held at the door together: who comes late proves nothing.
  const answers = await db.transaction().execute(async (tx) => {
    await sql`SELECT pg_advisory_xact_lock(hashtext('nexus.setup'))`.execute(tx);
    const tries = Array.from({ length: 8 }, (_, index) =>
      (index % 2 === 0 ? first : second).call("POST", "/setup", { body: { code, ...owner, email: `owner${index}@example.org` } }),
    );
    await waitFor(async () => {
      const { rows } = await sql`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database =
        (SELECT oid FROM pg_database WHERE datname = current_database())`.execute(db);
      return rows.length === 8;
    });
    return { tries };
  });
  const statuses = (await Promise.all(answers.tries)).map((answer) => answer.status).toSorted((a, b) => a - b);
  expect(statuses).toEqual([201, 404, 404, 404, 404, 404, 404, 404]);
  expect(await admins()).toHaveLength(1);
  const log = await surroundings.database.openOwner().db.selectFrom("audit_log").select("action").execute();
  expect(log.filter((row) => row.action === "setup.completed")).toHaveLength(1);
});

test("each start while there is no administrator makes a fresh link and voids the older one", async () => {
  const first = await start();
  const second = await start();
  expect(codeOf(second)).not.toBe(codeOf(first));
  expect((await second.call("GET", `/setup?code=${codeOf(first)}`)).status).toBe(404);
  expect((await second.call("GET", `/setup?code=${codeOf(second)}`)).status).toBe(200);
  await setUp(second);
  expect((await start()).setupUrl).toBeUndefined();
});

test("the link ends after 30 minutes", async () => {
  const clock = fakeClock();
  const service = await start({ clock });
  clock.advance(30 * 60_000 - 1);
  expect((await service.call("GET", `/setup?code=${codeOf(service)}`)).status).toBe(200);
  clock.advance(1);
  expect((await service.call("GET", `/setup?code=${codeOf(service)}`)).status).toBe(404);
  expect((await service.call("POST", "/setup", { body: { code: codeOf(service), ...owner } })).status).toBe(404);
});

test("a code is stored hashed and stands in no log line", async () => {
  const service = await start();
  const code = codeOf(service);
  await service.call("GET", `/setup?code=${code}`);
  await service.call("POST", "/setup", { body: { code, ...owner } });
  const rows = JSON.stringify(await surroundings.database.openOwner().db.selectFrom("setup_codes").selectAll().execute());
  expect(rows).not.toContain(code);
  expect(service.logs()).not.toContain(code);
  expect(service.logs()).not.toContain(password);
});

const headless = { NEXUS_INIT_EMAIL: "Root@Example.org", NEXUS_INIT_PASSWORD: password };

test("headless: three replicas that start at once make one administrator, and there is no link", async () => {
  const services = await Promise.all([1, 2, 3].map(() => start({ env: headless })));
  expect(await admins()).toEqual([{ email: "root@example.org" }]);
  expect(services.map((service) => service.setupUrl)).toEqual([undefined, undefined, undefined]);
  const answer = await services[0]!.call("POST", "/api/auth/sign-in/email", { body: { email: "root@example.org", password } });
  expect(answer.status).toBe(200);
  for (const service of services) expect(service.logs()).not.toContain(password);
});

test("headless: with an administrator already there it is ignored with one line", async () => {
  await setUp(await start());
  const again = await start({ env: headless });
  expect(await admins()).toEqual([{ email: owner.email }]);
  expect(again.logs().match(/NEXUS_INIT_EMAIL is ignored/g)).toHaveLength(1);
});

test("headless: the address of somebody who signed up is refused, so that nobody becomes administrator by signing up first", async () => {
  const service = await start({ env: { NEXUS_SIGN_UP: "open" } });
  await service.call("POST", "/api/auth/sign-up/email", {
    body: { email: "root@example.org", password: "another long phrase", name: "R" },
  });
  await expect(start({ env: headless })).rejects.toThrow("NEXUS_INIT_EMAIL belongs to somebody");
  expect(await admins()).toEqual([]);
});

test.each([
  ["malformed", { headers: { "content-type": "application/json" }, body: "{" }, 400],
  ["unknown field", { body: { code: "x", ...owner, role: "admin" } }, 422],
  ["wrong type", { body: { code: 5, ...owner } }, 422],
])("%s input is refused", async (_name, call, status) => {
  const service = await start();
  expect((await service.call("POST", "/setup", call)).status).toBe(status);
});
