/** One whole journey through the three services as a user makes it, over HTTP; and what has to be refused is refused. */
import { StepError } from "./step.ts";

export interface Origins {
  readonly api: string;
  readonly ai: string;
  readonly keys: string;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
  readonly text: string;
}

interface Request {
  readonly method?: string;
  readonly token?: string;
  readonly cookie?: string;
  readonly body?: unknown;
}

const requestTimeoutMs = 15_000;

/**
 * Sign-in → token → key → chat → usage → audit → revocation → refusal. The user has to be an administrator.
 * @returns what was seen, a line each
 * @throws StepError naming the request that was not answered as it must be
 */
export async function makeJourney(origins: Origins, user: { email: string; password: string }): Promise<string[]> {
  await expectRefusal(origins, undefined);
  const cookie = await signIn(origins, user);
  const token = await takeToken(origins, cookie);
  const { id, secret } = await createKey(origins, token);
  const answer = await chat(origins, secret);
  expectStatus("a chat completion", answer, 200);
  const requestId = answer.headers.get("x-request-id") ?? "";
  await until("the call to stand in /v1/usage", async () => {
    const usage = await send(`${origins.ai}/v1/usage`, { token: secret });
    expectStatus("the usage", usage, 200);
    return requestId !== "" && usage.text.includes(requestId);
  });
  await until("the making of the key to stand in the audit log", async () => {
    const events = await send(`${origins.api}/api/audit/events`, { cookie });
    expectStatus("the audit log", events, 200);
    return events.text.includes(id);
  });
  expectStatus("revoking the key", await send(`${origins.keys}/v1/keys/${id}/revoke`, { method: "POST", token, body: {} }), 200);
  await until("the revoked key to be refused", async () => (await chat(origins, secret)).status === 401);
  return [
    `signed in`,
    `made ${id}`,
    `answered by embedded-echo as ${requestId}`,
    "usage and audit recorded",
    "key revoked and refused",
  ];
}

async function signIn({ api }: Origins, user: { email: string; password: string }): Promise<string> {
  const answer = await send(`${api}/api/auth/sign-in/email`, { body: { email: user.email, password: user.password } });
  expectStatus("signing in", answer, 200);
  const cookies = answer.headers.getSetCookie().map((cookie) => cookie.split(";", 1)[0] ?? "");
  if (cookies.length === 0) throw new StepError("signing in set no cookie");
  return cookies.join("; ");
}

async function takeToken({ api }: Origins, cookie: string): Promise<string> {
  const answer = await send(`${api}/api/auth/token?audience=pv-keys`, { cookie });
  expectStatus("a token for pv-keys", answer, 200);
  return textOf(answer.body["token"], "the token");
}

async function createKey({ keys }: Origins, token: string): Promise<{ id: string; secret: string }> {
  const answer = await send(`${keys}/v1/keys`, { token, body: { name: "deployment check" } });
  expectStatus("making a key", answer, 201);
  const key = answer.body["key"] as Record<string, unknown> | undefined;
  return { id: textOf(key?.["id"], "the key's id"), secret: textOf(answer.body["secret"], "the key") };
}

function chat({ ai }: Origins, key: string | undefined): Promise<Answer> {
  const body = { model: "embedded-echo", messages: [{ role: "user", content: "deployment check" }] };
  return send(`${ai}/v1/chat/completions`, { body, ...(key && { token: key }) });
}

async function expectRefusal(origins: Origins, key: undefined): Promise<void> {
  expectStatus("a chat without a key", await chat(origins, key), 401);
  expectStatus("the list of keys without a credential", await send(`${origins.keys}/v1/keys`), 401);
  expectStatus("the audit log without a credential", await send(`${origins.api}/api/audit/events`), 401);
}

/** Asks again until the answer is yes; what services tell one another takes a moment, never more than ten seconds. */
async function until(what: string, ask: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new StepError(`waited ten seconds for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** @throws StepError when the service does not answer at all */
export async function send(url: string, { method, token, cookie, body }: Request = {}): Promise<Answer> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (token) headers["authorization"] = `Bearer ${token}`;
  if (cookie) headers["cookie"] = cookie;
  try {
    const response = await fetch(url, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers,
      signal: AbortSignal.timeout(requestTimeoutMs),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: parseObject(text), text };
  } catch (cause) {
    throw new StepError(`${url} did not answer`, { evidence: String((cause as Error).cause ?? cause), cause });
  }
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function expectStatus(what: string, answer: Answer, status: number): void {
  if (answer.status === status) return;
  throw new StepError(`${what} was answered with ${answer.status} instead of ${status}`, { evidence: answer.text.slice(0, 500) });
}

function textOf(value: unknown, what: string): string {
  if (typeof value !== "string" || value === "") throw new StepError(`${what} is missing in the answer`);
  return value;
}
