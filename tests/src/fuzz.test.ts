/**
 * Throws malformed input at every route that the services describe, from a seed that is printed, and asks one thing: whatever
 * comes, the answer is the client's mistake (4xx) or a success, never a failure of ours (5xx), and nothing stops working.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { bearer, headless, makeKey, signIn, tokenFor } from "./session.ts";

const rounds = 40;
const seed = Number(process.env["FUZZ_SEED"] ?? 20_261_123);

let platform: PlatformProcess;
let random: () => number;

beforeAll(async () => {
  platform = await startPlatform({ env: headless });
  random = generator(seed);
});
afterAll(async () => {
  await stopPlatform(platform);
});

interface Operation {
  url: string;
  method: string;
  path: string;
}

it(`no route fails on bad input (FUZZ_SEED=${seed})`, { timeout: 240_000 }, async () => {
  const cookie = await signIn(platform);
  const { secret } = await makeKey(platform, cookie);
  const people = { keys: await tokenFor(platform, cookie, "pv-keys"), ai: await tokenFor(platform, cookie, "puaboai-sdk") };
  const credentials: Record<string, Record<string, string>[]> = {
    [platform.urls.api]: [{ cookie }, {}],
    [platform.urls.keys]: [bearer(people.keys), bearer(secret)],
    [platform.urls.ai]: [bearer(secret), bearer(people.ai)],
  };
  const operations = await everyOperation();
  expect(operations.length).toBeGreaterThan(25);
  const failures: string[] = [];
  const statuses = new Map<number, number>();
  for (const operation of operations) {
    for (let round = 0; round < rounds; round++) {
      const attempt = mutate(operation);
      const headers = { ...pick(credentials[operation.url]!), ...attempt.headers };
      const answer = await fetch(operation.url + attempt.path, {
        method: operation.method,
        headers,
        ...attempt.body,
        redirect: "manual",
      });
      const text = await answer.text();
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      // 503 with Retry-After is an answer too: a bounded queue that is full says so.
      const refusedForNow = answer.status === 503 && answer.headers.has("retry-after");
      if (answer.status >= 500 && !refusedForNow) {
        failures.push(
          `${operation.method} ${attempt.path} ${JSON.stringify(attempt.body)?.slice(0, 300)} → ${answer.status} ${text.slice(0, 200)}`,
        );
      }
    }
  }
  expect(failures).toEqual([]);
  expect([...statuses.keys()].some((status) => status === 422)).toBe(true);
  for (const url of Object.values(platform.urls)) expect((await fetch(`${url}/health`)).status).toBe(200);
});

/** Signing out would only end the test's own session; everything else is fair game. */
const leftAlone = new Set(["/api/auth/sign-out"]);

async function everyOperation(): Promise<Operation[]> {
  const found: Operation[] = [];
  for (const url of Object.values(platform.urls)) {
    const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: Record<string, Record<string, unknown>> };
    for (const [path, methods] of Object.entries(paths)) {
      if (leftAlone.has(path)) continue;
      for (const method of Object.keys(methods)) found.push({ url, method: method.toUpperCase(), path });
    }
  }
  return found;
}

const texts = [
  "",
  "a",
  "embedded-echo",
  "use-lite-en-512",
  "embedded-moderation",
  "key_019c0000-0000-7000-8000-000000000000",
  "org_019c0000-0000-7000-8000-000000000000",
  "pv_sk_live_x",
  "\u0000",
  "\ud800",
  "‮​é漢😀",
  "'; DROP TABLE users; --",
  "../../etc/passwd",
  "%s%n${7*7}{{7*7}}",
  "2026-13-45T99:99:99Z",
  "9".repeat(400),
  "x".repeat(60_000),
];
const names = [
  "model",
  "messages",
  "input",
  "name",
  "email",
  "password",
  "code",
  "key",
  "scope",
  "scopes",
  "limit_nanos",
  "metadata",
  "expires_at",
  "stream",
  "n",
  "max_tokens",
  "role",
  "content",
  "__proto__",
  "constructor",
];

function mutate(operation: Operation): { path: string; headers: Record<string, string>; body: { body?: string } } {
  const path = operation.path.replaceAll(/\{[^}]+\}|\*/g, () => encodeURIComponent(textValue()));
  const query =
    random() < 0.4
      ? `?${pick(["limit", "cursor", "audience", "code", "from", "to", "action", "organization_id", "x"])}=${encodeURIComponent(textValue())}`
      : "";
  if (operation.method === "GET") return { path: path + query, headers: {}, body: {} };
  const type =
    random() < 0.9 ? "application/json" : pick(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]);
  return { path: path + query, headers: { "content-type": type }, body: { body: bodyText() } };
}

function bodyText(): string {
  const roll = random();
  if (roll < 0.1) return pick(["", "{", "null", "[]", "1e999", '"x"', "\ufeff{}", "[".repeat(20_000), '{"a":'.repeat(5_000)]);
  const text = JSON.stringify(objectValue(3));
  return roll < 0.2 ? text.slice(0, Math.floor(text.length * random())) : text;
}

function value(depth: number): unknown {
  const roll = random();
  if (roll < 0.4 || depth === 0) return textValue();
  if (roll < 0.6) return pick([0, -1, 1, 1.5, 1e308, -0, 2 ** 60, true, false, null]);
  if (roll < 0.8) return Array.from({ length: Math.floor(random() * 4) }, () => value(depth - 1));
  return objectValue(depth - 1);
}

function objectValue(depth: number): unknown {
  return Object.fromEntries(Array.from({ length: 1 + Math.floor(random() * 5) }, () => [pick(names), value(depth)]));
}

function textValue(): string {
  // A lone surrogate has no UTF-8; what a client can send is its replacement.
  return pick(texts).toWellFormed();
}

function pick<T>(from: readonly T[]): T {
  return from[Math.floor(random() * from.length)]!;
}

/** mulberry32: small, seeded, the same everywhere. */
function generator(from: number): () => number {
  let state = from;
  return () => {
    state = (state + 0x6d_2b_79_f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
