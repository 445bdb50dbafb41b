/**
 * The short way for a route that is asked all the time: the plain case is answered before the framework sees the request. What
 * is not plain, in its head or by the word of the route itself, goes the ordinary way with all that was read, so that a fast
 * route never has to say what is wrong with a request.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { type Clock, newId } from "@nexus/core";
import type { Metrics } from "@nexus/telemetry";
import { answerHeaders, type Exchanges } from "./exchange.ts";
import { hostFault } from "./host-header.ts";

/** An answer as it is sent. */
export interface JsonText {
  json: string;
  isAscii: boolean;
}

export interface FastRoute {
  /** The whole address, without a query. An ordinary POST route must stand there too. */
  path: string;
  /** Larger bodies go the ordinary way. */
  bodyLimitBytes: number;
  /**
   * The body of a 200; `undefined`, or a promise that rejects, leaves the request to the ordinary route. It answers for
   * everything that route would look at: credential, body, schema. Such requests are counted, and not logged. Must not throw.
   */
  answer(body: Buffer, request: IncomingMessage): JsonText | undefined | Promise<JsonText | undefined>;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

interface LaneOptions {
  routes: ReadonlyMap<string, FastRoute>;
  exchanges: Exchanges;
  metrics: Metrics;
  clock: Clock;
}

const bodyKey = Symbol("body that was read already");
type WithBody = IncomingMessage & { [bodyKey]?: Buffer };

/** Puts the lane before the ordinary handler. */
export function withFastLane(ordinary: Handler, { routes, exchanges, metrics, clock }: LaneOptions): Handler {
  return (request, response) => {
    const route = routes.get(request.url ?? "");
    if (!route || !isPlain(request, route) || exchanges.isDraining()) {
      ordinary(request, response);
      return;
    }
    const startedMs = clock.monotonic();
    const count = (status: number): void => {
      const durationSeconds = (clock.monotonic() - startedMs) / 1000;
      metrics.observeRequest({ method: "POST", route: route.path, status, durationSeconds });
    };
    const release = exchanges.hold(() => count(499));
    response.on("close", () => release(false));
    readBody(request, (body) => {
      const finish = (text: JsonText | undefined): void => {
        release(true);
        if (text === undefined) {
          (request as WithBody)[bodyKey] = body;
          ordinary(request, response);
          return;
        }
        const headers = answerHeaders(newId("request"));
        headers.push("content-type", "application/json; charset=utf-8", "content-length");
        if (text.isAscii) {
          // One byte a character: head and body leave as one string, without being looked at once more.
          headers.push(String(text.json.length));
          response.writeHead(200, headers).end(text.json, "latin1");
        } else {
          headers.push(String(Buffer.byteLength(text.json)));
          response.writeHead(200, headers).end(text.json);
        }
        count(200);
      };
      const answer = route.answer(body, request);
      if (answer instanceof Promise) answer.then(finish, () => finish(undefined));
      else finish(answer);
    });
  };
}

/** The body of a request that left the lane, for who reads it now. */
export function bodyLeftBy(request: IncomingMessage): Readable | undefined {
  const body = (request as WithBody)[bodyKey];
  return body && Readable.from([body]);
}

function isPlain(request: IncomingMessage, { bodyLimitBytes }: FastRoute): boolean {
  const { method, httpVersion, headers } = request;
  const length = headers["content-length"];
  return (
    method === "POST" &&
    httpVersion === "1.1" &&
    headers["content-type"] === "application/json" &&
    length !== undefined &&
    length !== "0" &&
    Number(length) <= bodyLimitBytes &&
    headers["content-encoding"] === undefined &&
    headers["transfer-encoding"] === undefined &&
    headers.expect === undefined &&
    hostFault(request) === undefined
  );
}

/** Node's parser holds the body to its content-length, which is small. */
function readBody(request: IncomingMessage, onWhole: (body: Buffer) => void): void {
  let body: Buffer | undefined;
  request.on("data", (chunk: Buffer) => {
    body = body === undefined ? chunk : Buffer.concat([body, chunk]);
  });
  request.on("end", () => onWhole(body ?? Buffer.alloc(0)));
}

export function jsonText(value: unknown): JsonText {
  const json = JSON.stringify(value);
  return { json, isAscii: Buffer.byteLength(json) === json.length };
}
