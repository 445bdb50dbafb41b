/** The unmodified official client of better-auth against puabo-api: it is somebody else's idea of whether the wire format is right. */
import { createAuthClient } from "better-auth/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";

const person = { email: "Client@Example.test", password: "a long pass phrase of mine", name: "Client" };

let platform: PlatformProcess;
/** What a browser would keep. */
let jar = "";
let bodies = "";

/** `fetch` with a cookie jar; also keeps what was answered, to look for the secret in it. */
const browser: typeof fetch = async (input, init) => {
  const headers = new Headers(init?.headers);
  if (jar !== "") headers.set("cookie", jar);
  const answer = await fetch(input, { ...init, headers });
  for (const line of answer.headers.getSetCookie()) jar = line.includes("Max-Age=0") ? "" : (line.split(";")[0] ?? "");
  bodies += await answer.clone().text();
  return answer;
};
const client = () => createAuthClient({ baseURL: platform.urls.api, fetchOptions: { customFetchImpl: browser } });

beforeAll(async () => {
  platform = await startPlatform({ env: { NEXUS_SIGN_UP: "open" } });
});
afterAll(async () => {
  await stopPlatform(platform);
});

describe("better-auth's client", () => {
  it("signs up, and knows who is signed in", async () => {
    const { data, error } = await client().signUp.email(person);
    expect(error).toBeNull();
    expect(data).toMatchObject({
      token: expect.stringMatching(/^ses_/),
      user: { email: "client@example.test", name: "Client", emailVerified: false },
    });
    const session = await client().getSession();
    expect(session.data?.user.email).toBe("client@example.test");
    expect(session.data?.session.expiresAt).toBeInstanceOf(Date);
    expect(session.data?.session.expiresAt.getTime()).toBeGreaterThan(Date.now());
    expect(session.data?.session.userId).toBe(session.data?.user.id);
  });

  it("is told of an address that is taken and of a short password by its own codes", async () => {
    const taken = await client().signUp.email(person);
    expect(taken.error).toMatchObject({ status: 422, code: "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL" });
    const short = await client().signUp.email({ ...person, email: "other@example.test", password: "short" });
    expect(short.error).toMatchObject({ status: 400, code: "PASSWORD_TOO_SHORT", message: "Password too short" });
  });

  it("signs out, and then nobody is signed in", async () => {
    const before = jar;
    const { data } = await client().signOut();
    expect(data).toEqual({ success: true });
    expect((await client().getSession()).data).toBeNull();
    jar = before;
    expect((await client().getSession()).data).toBeNull();
  });

  it("signs in again with the same password and not with another", async () => {
    const wrong = await client().signIn.email({ email: person.email, password: "another long pass phrase" });
    expect(wrong.error).toMatchObject({ status: 401, code: "INVALID_EMAIL_OR_PASSWORD" });
    expect((await client().getSession()).data).toBeNull();
    const right = await client().signIn.email({ email: person.email, password: person.password, rememberMe: false });
    expect(right.data).toMatchObject({
      redirect: false,
      token: expect.stringMatching(/^ses_/),
      user: { email: "client@example.test" },
    });
    expect((await client().getSession()).data?.session.id).toBe(right.data?.token);
  });

  it("never saw the session's secret in a body", () => {
    const secret = jar.slice(jar.indexOf("=") + 1);
    expect(secret).toHaveLength(43);
    expect(bodies).not.toContain(secret);
  });
});
