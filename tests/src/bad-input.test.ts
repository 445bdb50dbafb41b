/** What bad input gets, on every service of the running platform alike. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { bearer, headless, makeKey, signIn, tokenFor } from "./session.ts";

let platform: PlatformProcess;
let cookie: string;
let key: string;
let personToken: string;

beforeAll(async () => {
  platform = await startPlatform({ env: { ...headless, NEXUS_LOG_LEVEL: "debug" } });
  cookie = await signIn(platform);
  key = (await makeKey(platform, cookie)).secret;
  personToken = await tokenFor(platform, cookie, "pv-keys");
});
afterAll(async () => {
  await stopPlatform(platform);
});

type Place = "api" | "ai" | "keys";
interface Case {
  what: string;
  at: Place;
  method?: string;
  path: string;
  body?: string;
  /** `none`: no credential at all. */
  as?: "key" | "person" | "cookie" | "none";
  status: number;
  code?: string;
}

const chat = "/v1/chat/completions";
const cases: Case[] = [
  { what: "malformed JSON", at: "api", method: "POST", path: "/api/auth/sign-in/email", body: "{", as: "none", status: 400 },
  { what: "malformed JSON", at: "keys", method: "POST", path: "/v1/keys", body: "{", status: 400, code: "malformed_json" },
  { what: "malformed JSON", at: "ai", method: "POST", path: chat, body: "{", status: 400, code: "malformed_json" },
  {
    what: "an unknown field",
    at: "keys",
    method: "POST",
    path: "/v1/keys",
    body: '{"name":"x","colour":1}',
    status: 422,
    code: "invalid_request",
  },
  {
    what: "an unknown field",
    at: "api",
    method: "POST",
    path: "/api/auth/sign-in/email",
    body: '{"email":"a@b.test","password":"x","colour":1}',
    as: "none",
    status: 422,
  },
  {
    what: "a wrong type",
    at: "keys",
    method: "POST",
    path: "/v1/keys",
    body: '{"name":1}',
    status: 422,
    code: "invalid_request",
  },
  {
    what: "a wrong type",
    at: "ai",
    method: "POST",
    path: chat,
    body: '{"model":1,"messages":[]}',
    status: 422,
    code: "invalid_request",
  },
  {
    what: "a wrong type",
    at: "ai",
    method: "POST",
    path: chat,
    body: '{"model":"embedded-echo","messages":"hi"}',
    status: 422,
    code: "invalid_request",
  },
  {
    what: "too large a body",
    at: "keys",
    method: "POST",
    path: "/v1/keys",
    body: `{"name":"${"x".repeat(3_000_000)}"}`,
    status: 413,
    code: "body_too_large",
  },
  { what: "an unknown route", at: "api", path: "/nowhere", as: "none", status: 404, code: "not_found" },
  { what: "an unknown route", at: "ai", path: "/nowhere", as: "none", status: 404, code: "not_found" },
  { what: "an unknown route", at: "keys", path: "/nowhere", as: "none", status: 404, code: "not_found" },
  { what: "a wrong method", at: "keys", method: "DELETE", path: "/v1/keys", status: 405, code: "method_not_allowed" },
  { what: "a wrong method", at: "ai", method: "GET", path: chat, status: 405, code: "method_not_allowed" },
  { what: "a wrong method", at: "api", method: "POST", path: "/api/status", as: "none", status: 405, code: "method_not_allowed" },
  { what: "no credential", at: "ai", method: "POST", path: chat, body: "{}", as: "none", status: 401, code: "unauthenticated" },
  { what: "no credential", at: "keys", path: "/v1/keys", as: "none", status: 401, code: "unauthenticated" },
  { what: "no credential", at: "api", path: "/api/audit/events", as: "none", status: 401, code: "unauthenticated" },
  { what: "a key where a person is asked for", at: "keys", path: "/v1/keys", as: "key", status: 403, code: "forbidden" },
  {
    what: "an unknown model",
    at: "ai",
    method: "POST",
    path: chat,
    body: '{"model":"no-such","messages":[{"role":"user","content":"hi"}]}',
    status: 404,
    code: "model_not_found",
  },
  {
    what: "an unknown embedding model",
    at: "ai",
    method: "POST",
    path: "/v1/embeddings",
    body: '{"model":"no-such","input":"hi"}',
    status: 404,
    code: "model_not_found",
  },
  {
    what: "another's key id",
    at: "keys",
    path: "/v1/keys/key_019c0000-0000-7000-8000-000000000000",
    status: 404,
    code: "not_found",
  },
  { what: "an audience that does not exist", at: "api", path: "/api/auth/token?audience=everything", as: "cookie", status: 422 },
];

describe("bad input", () => {
  it.each(cases)("$what at $at $path is answered with $status", async (one) => {
    const answer = await send(one);
    expect(answer.status).toBe(one.status);
    expect(answer.headers.get("x-request-id")).toMatch(/^req_/);
    if (one.status === 401) expect(answer.headers.get("www-authenticate")).toContain("Bearer");
    if (one.status === 405) expect(answer.headers.get("allow")).not.toBeNull();
    const text = await answer.text();
    const body = JSON.parse(text) as { code?: string; error?: { code: string; message: string }; errors?: { pointer: string }[] };
    if (one.code !== undefined) expect(body.code ?? body.error?.code).toBe(one.code);
    if (one.what === "an unknown field") expect(text).toContain("colour");
    if (one.at === "ai" && one.path.startsWith("/v1/") && one.status !== 405)
      expect(body.error).toMatchObject({ message: expect.any(String) });
  });

  it("leaves no row behind", async () => {
    const keys = (await (await fetch(`${platform.urls.keys}/v1/keys`, { headers: bearer(personToken) })).json()) as {
      data: unknown[];
    };
    expect(keys.data).toHaveLength(1);
  });

  it("a credential of the wrong form, checksum, kind or length is 401 everywhere", async () => {
    const wrong = [
      "x",
      "pv_sk_live_",
      `${key}x`,
      key.slice(0, -1),
      `${key.slice(0, -1)}!`,
      "a".repeat(7000),
      "eyJhbGciOiJub25lIn0.e30.",
    ];
    for (const token of wrong) {
      for (const url of [`${platform.urls.ai}/v1/models`, `${platform.urls.keys}/v1/keys`]) {
        const answer = await fetch(url, { headers: bearer(token) });
        expect(answer.status).toBe(401);
        expect(answer.headers.get("www-authenticate")).toContain("Bearer");
      }
    }
  });

  it("no secret that was used stands in what it printed", () => {
    expect(platform.output()).toContain("/v1/chat/completions");
    for (const secret of [key.slice(21), cookie.split("=")[1]!, personToken.split(".")[2]!, headless.NEXUS_INIT_PASSWORD]) {
      expect(platform.output()).not.toContain(secret);
    }
  });
});

function send(one: Case): Promise<Response> {
  const credentials = { none: {}, key: bearer(key), person: bearer(personToken), cookie: { cookie } } as const;
  const headers = { ...credentials[one.as ?? (one.at === "ai" ? "key" : "person")], "content-type": "application/json" };
  return fetch(platform.urls[one.at] + one.path, {
    method: one.method ?? "GET",
    headers,
    ...(one.body === undefined ? {} : { body: one.body }),
  });
}
