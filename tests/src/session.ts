/** A signed-in administrator, as a program over HTTP sees one. */
import type { PlatformProcess } from "./platform.ts";

const administrator = { email: "owner@example.test", password: "correct horse battery staple" };
/** Settings that make the administrator at the first start. */
export const headless = { NEXUS_INIT_EMAIL: administrator.email, NEXUS_INIT_PASSWORD: administrator.password };

export function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}

export function postJson(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
}

/** The session cookie, `name=value`. */
export async function signIn(platform: PlatformProcess, who = administrator): Promise<string> {
  const answer = await postJson(`${platform.urls.api}/api/auth/sign-in/email`, who);
  if (answer.status !== 200) throw new Error(`sign-in answered ${answer.status}`);
  const cookie = answer.headers.getSetCookie()[0]?.split(";")[0];
  if (cookie === undefined) throw new Error("sign-in set no cookie");
  return cookie;
}

export async function tokenFor(platform: PlatformProcess, cookie: string, audience: "pv-keys" | "puaboai-sdk"): Promise<string> {
  const answer = await fetch(`${platform.urls.api}/api/auth/token?audience=${audience}`, { headers: { cookie } });
  if (answer.status !== 200) throw new Error(`token answered ${answer.status}`);
  return ((await answer.json()) as { token: string }).token;
}

/** A new key: its id and the secret that is shown once. */
export async function makeKey(
  platform: PlatformProcess,
  cookie: string,
  body: Record<string, unknown> = {},
): Promise<{ id: string; secret: string }> {
  const token = await tokenFor(platform, cookie, "pv-keys");
  const answer = await postJson(`${platform.urls.keys}/v1/keys`, { name: "test", ...body }, bearer(token));
  if (answer.status !== 201) throw new Error(`making a key answered ${answer.status}`);
  const made = (await answer.json()) as { key: { id: string }; secret: string };
  return { id: made.key.id, secret: made.secret };
}
