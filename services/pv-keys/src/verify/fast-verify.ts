/** The plain verification, from the bytes of its request to those of its answer, without a schema and without a framework. */
import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { VerifyKeyAnswer, VerifyKeyRequest } from "@nexus/contracts/verify-key";
import { allowsScope, assert } from "@nexus/core";
import { bearerOf, type FastRoute, type JsonText, jsonText, type ServiceTokens } from "@nexus/http";
import type { KeyChecker } from "@nexus/key-check";
import { type VerifyDeps, verifyKnownKey } from "./verify-key.ts";

export const verifyPath = "/v1/keys/verify";
export const verifyBatchPath = "/v1/keys/verify/batch";

/** Who may ask, without the framework. */
interface Askers {
  allow(request: IncomingMessage): boolean;
  /** It was answered here; what goes the ordinary way is counted there. */
  countUse(request: IncomingMessage): void;
}

/** Whoever shows a service's token on the private listener. Tokens hold as long as the process, so a connection shows its own once. */
export function servicesMayAsk(tokens: ServiceTokens): Askers {
  const shown = new WeakMap<Socket, string>();
  const allow: Askers["allow"] = ({ headers: { authorization }, socket }) => {
    // Compared with what this very connection has shown before, so the time tells nobody anything.
    if (authorization !== undefined && shown.get(socket) === authorization) return true;
    const token = bearerOf(authorization);
    if (authorization === undefined || token === undefined || tokens.callerOf(token) === undefined) return false;
    shown.set(socket, authorization);
    return true;
  };
  return { allow, countUse: () => {} };
}

/** Whoever shows a service key with the scope; one bound to addresses goes the ordinary way, which knows about proxies. */
export function serviceKeysMayAsk(checker: KeyChecker): Askers {
  return {
    allow: ({ headers }) => {
      const key = checker.peek(bearerOf(headers.authorization) ?? "");
      return key?.valid === true && key.kind === "svc" && key.ip_allow === null && allowsScope(key.scopes, "keys:verify");
    },
    countUse: ({ headers }) => void checker.known(bearerOf(headers.authorization) ?? ""),
  };
}

export function fastVerify(deps: VerifyDeps, askers: Askers): FastRoute {
  return {
    path: verifyPath,
    bodyLimitBytes: 2048,
    answer: (body, request) => {
      if (!askers.allow(request)) return undefined;
      const asked = requestFrom(body);
      const answer = asked && verifyKnownKey(deps, asked);
      if (!answer) return undefined;
      askers.countUse(request);
      return answer instanceof Promise ? answer.then(textOf) : textOf(answer);
    },
  };
}

const mostAtOnce = 100;

export function fastVerifyBatch(deps: VerifyDeps, askers: Askers): FastRoute {
  return {
    path: verifyBatchPath,
    bodyLimitBytes: 32 * 1024,
    answer: (body, request) => {
      if (!askers.allow(request)) return undefined;
      const asked = plainBatch(parse(body));
      // Nothing may be counted or taken from a limit before it is certain that this is the whole answer.
      if (!asked?.every(({ key }) => deps.checker.peek(key) !== undefined)) return undefined;
      askers.countUse(request);
      const answers = asked.map((one) => verifyKnownKey(deps, one));
      const late = answers.some((answer) => answer === undefined || answer instanceof Promise);
      return late ? batchLater(answers) : batchText(answers as VerifyKeyAnswer[]);
    },
  };
}

/** Rejects, and so leaves the batch to the ordinary way, when a key has been forgotten in this very moment. */
async function batchLater(answers: readonly ReturnType<typeof verifyKnownKey>[]): Promise<JsonText> {
  const all = await Promise.all(answers.map((answer) => Promise.resolve(answer)));
  return batchText(
    all.map((answer) => {
      assert(answer, "known a moment ago");
      return answer;
    }),
  );
}

function batchText(answers: readonly VerifyKeyAnswer[]): JsonText {
  const texts = answers.map(textOf);
  return { json: `{"results":[${texts.map(({ json }) => json).join(",")}]}`, isAscii: texts.every(({ isAscii }) => isAscii) };
}

/** Answers that were given before and do not change are written once. */
const texts = new WeakMap<object, JsonText>();

function textOf(answer: VerifyKeyAnswer): JsonText {
  const known = texts.get(answer);
  if (known !== undefined) return known;
  const text = jsonText(answer);
  if (Object.isFrozen(answer)) texts.set(answer, text);
  return text;
}

/** By far the most requests are of a key alone: printable ASCII without a quote or a backslash. */
const keyAlone = /^\{"key":"([\x20\x21\x23-\x5b\x5d-\x7e]*)"\}$/;

function requestFrom(body: Buffer): VerifyKeyRequest | undefined {
  const key = keyAlone.exec(body.toString("latin1"))?.[1];
  return key === undefined ? plainRequest(parse(body)) : { key };
}

function parse(body: Buffer): unknown {
  if (!isUtf8(body)) return undefined;
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    return undefined;
  }
}

/** A request of a key and perhaps a scope; `undefined` for everything that the schema should look at. */
function plainRequest(value: unknown): VerifyKeyRequest | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const { key, scope } = value as Record<string, unknown>;
  if (typeof key !== "string" || key.includes("\0")) return undefined;
  if (scope === undefined) return Object.keys(value).length === 1 ? { key } : undefined;
  if (typeof scope !== "string" || scope.length > 100 || scope.includes("\0")) return undefined;
  return Object.keys(value).length === 2 ? { key, scope } : undefined;
}

function plainBatch(value: unknown): VerifyKeyRequest[] | undefined {
  if (typeof value !== "object" || value === null || Object.keys(value).length !== 1) return undefined;
  const { requests } = value as Record<string, unknown>;
  if (!Array.isArray(requests) || requests.length === 0 || requests.length > mostAtOnce) return undefined;
  const plain: VerifyKeyRequest[] = [];
  for (const one of requests) {
    const request = plainRequest(one);
    if (!request) return undefined;
    plain.push(request);
  }
  return plain;
}
