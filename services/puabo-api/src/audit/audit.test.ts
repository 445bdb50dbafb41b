import { afterAll, beforeAll, expect, test } from "vitest";
import {
  openSurroundings,
  setUp,
  signUp,
  startTestService,
  type Surroundings,
  type TestService,
} from "../start-test-service.test.ts";

let surroundings: Surroundings;
let service: TestService;
let admin: string;

beforeAll(async () => {
  surroundings = await openSurroundings();
  service = await startTestService(surroundings, { env: { NEXUS_SIGN_UP: "open" } });
  admin = await setUp(service);
  for (let person = 0; person < 5; person++) await signUp(service, `person${person}@example.org`);
});
afterAll(async () => {
  await service.close();
  await surroundings.close();
});

interface Event {
  id: string;
  action: string;
  organization_id: string | null;
  recorded_at: string;
  context: Record<string, string>;
  details: Record<string, string>;
}
const list = async (query = "") => {
  const answer = await service.call("GET", `/api/audit/events${query}`, { cookie: admin });
  expect(answer.status).toBe(200);
  return answer.json as { data: Event[]; next_cursor: string | null; has_more: boolean };
};

test("an administrator reads who did what from where, newest first, with the personal values", async () => {
  const { data } = await list();
  expect(data[0]).toMatchObject({
    id: expect.stringMatching(/^evt_/),
    action: "user.signed_up",
    outcome: "success",
    actor: { kind: "person", id: expect.stringMatching(/^usr_/) },
    context: { ip: "127.0.0.1", request_id: expect.stringMatching(/^req_/), user_agent: "node" },
    details: { email: "person4@example.org", role: "user" },
    writer: { id: expect.any(String), sequence: expect.stringMatching(/^\d+$/) },
  });
  expect(data.map((event) => event.action)).toEqual([
    ...Array.from({ length: 5 }, () => "user.signed_up"),
    "setup.completed",
    "setup.offered",
    "signing_key.created",
  ]);
});

test("pages join without a gap or a double", async () => {
  const whole = await list("?limit=100");
  const seen: Event[] = [];
  let cursor: string | null = null;
  do {
    const page = await list(`?limit=3${cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`}`);
    expect(page.data.length).toBeLessThanOrEqual(3);
    expect(page.has_more).toBe(page.next_cursor !== null);
    seen.push(...page.data);
    cursor = page.next_cursor;
  } while (cursor !== null);
  expect(seen).toEqual(whole.data);
});

test("filters narrow by action, organization and time", async () => {
  const { data } = await list("?action=user.signed_up");
  expect(data).toHaveLength(5);
  const { organization_id: organization, recorded_at: time } = data[2]!;
  expect((await list(`?organization_id=${organization}`)).data).toEqual([data[2]]);
  expect((await list(`?from=${time}`)).data.length).toBeGreaterThanOrEqual(3);
  expect((await list(`?to=${time}&action=user.signed_up`)).data).toEqual(data.slice(3));
  expect((await list("?action=key.created")).data).toEqual([]);
});

test("a person whose values were erased leaves the commitment", async () => {
  const { data } = await list("?action=user.signed_up&limit=1");
  await surroundings.database.openOwner().db.deleteFrom("audit_personal").where("entry_id", "=", data[0]!.id.slice(4)).execute();
  const again = (await list("?action=user.signed_up&limit=1")).data[0]!;
  expect(again.details["email"]).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(again.context["ip"]).toMatch(/^sha256:/);
  expect(again.context["request_id"]).toBe(data[0]!.context["request_id"]);
});

test("it is for administrators: nobody 401, a person 403, each a problem document", async () => {
  const nobody = await service.call("GET", "/api/audit/events");
  expect([nobody.status, nobody.json.code]).toEqual([401, "unauthenticated"]);
  expect(nobody.headers.get("www-authenticate")).toBeTruthy();
  const cookie = await signUp(service, "curious@example.org");
  const person = await service.call("GET", "/api/audit/events", { cookie });
  expect([person.status, person.json.code]).toEqual([403, "forbidden"]);
  expect(person.headers.get("content-type")).toContain("application/problem+json");
});

test.each([
  ["?limit=0", "?limit"],
  ["?limit=101", "?limit"],
  ["?limit=many", "?limit"],
  ["?cursor=made-up", "?cursor"],
  ["?action=Nothing", "?action"],
  ["?from=yesterday", "?from"],
  ["?from=2026-13-45T00:00:00Z", "?from"],
  ["?organization_id=org_1", "?organization_id"],
  ["?unknown=1", "?unknown"],
])("%s is refused with 422 that names it", async (query, pointer) => {
  const answer = await service.call("GET", `/api/audit/events${query}`, { cookie: admin });
  expect(answer.status).toBe(422);
  expect(answer.json.errors[0].pointer).toBe(pointer);
});
