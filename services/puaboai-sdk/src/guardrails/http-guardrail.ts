/** A guardrail that an operator runs: it is asked over HTTP, signed, and answers with a decision. */
import { createHmac } from "node:crypto";
import type { Clock, FieldError } from "@nexus/core";
import { type Dispatcher, Pool } from "undici";
import { openBreaker } from "../proxy/breaker.ts";
import { publicLookup } from "../proxy/public-lookup.ts";
import { isObject } from "../usage/token-usage.ts";
import type { HttpGuardrailSettings } from "./guardrail-settings.ts";
import { type Guardrail, GuardrailFailure, type Judged, nothingFound, type Verdict } from "./guardrail.ts";

/** An answer that says more than it was asked. */
const answerOverhead = 64 * 1024;
const breaker = { failures: 5, openMs: 10_000 };

/** @param secret what signs every question */
export function httpGuardrail(settings: HttpGuardrailSettings, secret: string, clock: Clock): Guardrail {
  const url = new URL(settings.url);
  const pool = new Pool(url.origin, {
    connections: settings.maxConcurrent,
    pipelining: 1,
    allowH2: false,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 30_000,
    connect: settings.allowsPrivateNetwork ? {} : { lookup: publicLookup },
  });
  const gate = openBreaker(settings.name, breaker, clock);
  return {
    settings,
    async judge(judged) {
      const body = questionOf(settings.name, judged);
      if (body.length > settings.maxBytes) throw new GuardrailFailure("there is more text than it is asked about");
      const attempt = enter(gate);
      try {
        const headers = { ...fixedHeaders, ...signatureOf(body, secret, clock) };
        const signal = AbortSignal.timeout(settings.timeoutMs);
        const answer = await ask(pool, { method: "POST", path: url.pathname + url.search, headers, body, signal });
        const verdict = verdictOf(answer, judged);
        attempt.succeeded();
        return verdict;
      } catch (error) {
        attempt.failed();
        throw asFailure(error, settings.timeoutMs);
      } finally {
        attempt.ended();
      }
    },
    close: () => pool.destroy(),
  };
}

const fixedHeaders = {
  "content-type": "application/json",
  accept: "application/json",
  "accept-encoding": "identity",
  "user-agent": "nexus-cos",
};

/** HMAC-SHA256 over `<seconds since the epoch>.<body>`, in hexadecimal digits. */
function signatureOf(body: Buffer, secret: string, clock: Clock): Record<string, string> {
  const timestamp = String(Math.floor(clock.now() / 1000));
  const signature = createHmac("sha256", secret).update(`${timestamp}.`).update(body).digest("hex");
  return { "x-nexus-timestamp": timestamp, "x-nexus-signature": `sha256=${signature}` };
}

async function ask(pool: Pool, question: Dispatcher.RequestOptions & { body: Buffer; signal: AbortSignal }): Promise<unknown> {
  const answer = await pool.request(question);
  if (answer.statusCode !== 200) {
    await answer.body.dump({ limit: answerOverhead, signal: question.signal }).catch(() => {});
    throw new GuardrailFailure(`answered ${answer.statusCode}`);
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop closes the connection.
    if (bytes > question.body.length + answerOverhead) throw new GuardrailFailure("answered with too much");
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
}

function enter(gate: ReturnType<typeof openBreaker>): ReturnType<typeof gate.enter> {
  try {
    return gate.enter();
  } catch (cause) {
    throw new GuardrailFailure("keeps failing and is left alone for a while", { cause });
  }
}

function asFailure(error: unknown, timeoutMs: number): GuardrailFailure {
  if (error instanceof GuardrailFailure) return error;
  const name = (error as { name?: unknown } | null)?.name;
  if (name === "TimeoutError") return new GuardrailFailure(`the deadline of ${timeoutMs} ms passed`);
  // What a parser says of an answer may quote it.
  if (error instanceof SyntaxError) return new GuardrailFailure("answered with no JSON");
  return new GuardrailFailure("could not be asked", { cause: error });
}

function questionOf(name: string, judged: Judged): Buffer {
  const { stage, requestId, endpoint, model, organizationId, keyId, texts } = judged;
  const question = {
    guardrail: name,
    stage,
    request_id: requestId,
    endpoint,
    model,
    organization_id: organizationId,
    key_id: keyId,
    texts,
  };
  return Buffer.from(JSON.stringify(question));
}

const kindPattern = /^[a-z0-9][a-z0-9._ -]{0,62}$/;
const mostTold = 20;

/** @throws GuardrailFailure for what is no decision */
function verdictOf(answer: unknown, { texts }: Judged): Verdict {
  if (!isObject(answer)) throw new GuardrailFailure("answered with no decision");
  switch (answer["action"]) {
    case "allow":
      return nothingFound;
    case "block":
      return { blocks: true, findings: findingsIn(answer["findings"], texts), redacted: new Map() };
    case "redact": {
      const redacted = redactionsIn(answer["texts"], texts.length);
      const findings = findingsIn(answer["findings"], texts);
      const changed = Array.from(redacted.keys(), (index) => ({ pointer: texts[index]?.at ?? "", detail: "was redacted" }));
      return { blocks: false, findings: findings.length > 0 ? findings : changed.slice(0, mostTold), redacted };
    }
    default:
      throw new GuardrailFailure("answered with no decision");
  }
}

function redactionsIn(value: unknown, count: number): Map<number, string> {
  if (!Array.isArray(value) || value.length === 0) throw new GuardrailFailure("redacts nothing");
  return new Map(
    value.map((entry: unknown): [number, string] => {
      const { index, text } = isObject(entry) ? entry : {};
      if (typeof index !== "number" || !Number.isInteger(index) || index < 0 || index >= count || typeof text !== "string")
        throw new GuardrailFailure("redacts what was not asked");
      return [index, text];
    }),
  );
}

/** Kinds are told to clients: only words that cannot be what was found pass. */
function findingsIn(value: unknown, texts: Judged["texts"]): FieldError[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, mostTold).flatMap((entry: unknown): FieldError[] => {
    const { index, kind } = isObject(entry) ? entry : {};
    const at = typeof index === "number" ? texts[index]?.at : "";
    return at !== undefined && typeof kind === "string" && kindPattern.test(kind)
      ? [{ pointer: at, detail: `holds ${kind}` }]
      : [];
  });
}
