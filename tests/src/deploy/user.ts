/** The platform as a person with a browser and a program with a key see it. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Record<string, unknown>;
}

export interface Ask {
  readonly method?: string;
  readonly bearer?: string;
  readonly cookie?: string;
  readonly body?: unknown;
}

/** Status 0 where nothing answered. */
export async function ask(url: string, { method, bearer, cookie, body }: Ask = {}): Promise<Answer> {
  try {
    const response = await fetch(url, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: {
        ...(body !== undefined && { "content-type": "application/json" }),
        ...(bearer && { authorization: `Bearer ${bearer}` }),
        ...(cookie && { cookie }),
      },
      signal: AbortSignal.timeout(20_000),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: objectFrom(text) };
  } catch (error) {
    return { status: 0, headers: new Headers(), text: String(error), body: {} };
  }
}

function objectFrom(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** @throws Error showing the answer when its status is another */
export function expectStatus(answer: Answer, status: number, what: string): Answer {
  if (answer.status !== status) throw new Error(`${what}: ${answer.status} instead of ${status}: ${answer.text.slice(0, 500)}`);
  return answer;
}

export interface Origins {
  readonly api: string;
  readonly ai: string;
  readonly keys: string;
}

export const admin = { email: "admin@example.com", password: "a long pass phrase of the deployment test", name: "Admin" };

export async function signIn({ api }: Origins): Promise<string> {
  const { email, password } = admin;
  const answer = expectStatus(await ask(`${api}/api/auth/sign-in/email`, { body: { email, password } }), 200, "sign-in");
  const cookie = answer.headers.getSetCookie().map((text) => text.split(";", 1)[0]);
  if (cookie.length === 0) throw new Error("sign-in set no cookie");
  return cookie.join("; ");
}

export async function tokenFor({ api }: Origins, cookie: string, audience: string): Promise<string> {
  const answer = expectStatus(await ask(`${api}/api/auth/token?audience=${audience}`, { cookie }), 200, "token");
  return String(answer.body["token"]);
}

export function chat({ ai }: Origins, bearer: string | undefined, options: { stream?: boolean } = {}): Promise<Answer> {
  const body = { model: "embedded-echo", messages: [{ role: "user", content: "hello there" }], ...options };
  return ask(`${ai}/v1/chat/completions`, { body, ...(bearer && { bearer }) });
}
