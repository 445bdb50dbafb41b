/**
 * The public keys of another service (RFC 7517): fetched once, kept, and fetched again when they grow old or an unknown key
 * id shows up, but never more often than the cooldown allows, so that forged key ids cannot be turned into traffic.
 */
import { type Clock, Problem } from "@nexus/core";
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import { request } from "undici";

interface JwksOptions {
  url: string;
  clock: Clock;
}

const freshMs = 10 * 60_000;
/** Keys older than this are not trusted even while their source is away. */
const staleMs = 60 * 60_000;
const cooldownMs = 10_000;
const retryMs = 1000;
const fetchDeadlineMs = 2000;

export function openJwks({ url, clock }: JwksOptions): JWTVerifyGetKey {
  let keys: JWTVerifyGetKey | undefined;
  let fetchedMs = 0;
  let triedMs = Number.NEGATIVE_INFINITY;
  let pending: Promise<void> | undefined;
  let failure: unknown;

  const refresh = async (): Promise<void> => {
    triedMs = clock.monotonic();
    try {
      keys = createLocalJWKSet(await fetchKeys(url));
      fetchedMs = clock.monotonic();
      failure = undefined;
    } catch (error) {
      failure = error;
    } finally {
      pending = undefined;
    }
  };
  /** Starts a fetch, joins the running one, or does nothing when the last try was less than `restMs` ago. */
  const attempt = async (restMs: number): Promise<void> => {
    if (!pending && clock.monotonic() - triedMs < restMs) return;
    pending ??= refresh();
    await pending;
  };
  const current = async (): Promise<JWTVerifyGetKey> => {
    const age = clock.monotonic() - fetchedMs;
    if (!keys || age > staleMs) await attempt(retryMs);
    // Old but still good: the next ones are fetched while this request goes on.
    else if (age > freshMs) void attempt(cooldownMs);
    if (!keys || clock.monotonic() - fetchedMs > staleMs) throw away(failure);
    return keys;
  };
  return async (header, token) => {
    const known = await current();
    try {
      return await known(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
    }
    await attempt(cooldownMs);
    return (await current())(header, token);
  };
}

function away(cause: unknown): Problem {
  return new Problem("unavailable", undefined, { cause, headers: { "retry-after": "1" } });
}

async function fetchKeys(url: string): Promise<JSONWebKeySet> {
  const { statusCode, body } = await request(url, {
    signal: AbortSignal.timeout(fetchDeadlineMs),
    headers: { accept: "application/json" },
    headersTimeout: fetchDeadlineMs,
    bodyTimeout: fetchDeadlineMs,
  });
  if (statusCode !== 200) {
    await body.dump();
    throw new Error(`the key set answered ${statusCode}`);
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > 262_144) throw new Error("the key set is too large");
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString()) as JSONWebKeySet;
}
