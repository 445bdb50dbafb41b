import { connect } from "node:net";
import { Problem, systemClock } from "@nexus/core";
import { createLogger, createMetrics, type Metrics } from "@nexus/telemetry";
import { captureLogs, waitFor } from "@nexus/testing";
import { Type } from "typebox";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildServer } from "./build-server.ts";
import { jsonText } from "./fast-lane.ts";
import type { Server } from "./server-options.ts";

const path = "/echo";
let metrics: Metrics;
let server: Server;
let url: string;
/** Which way each request went. */
const ways: string[] = [];

beforeAll(async () => {
  metrics = createMetrics({ service: "example" });
  server = await buildServer({
    identity: { name: "example", version: "1", commit: "c", description: "An example." },
    logger: createLogger({ service: "example", level: "info", destination: captureLogs().stream }),
    metrics,
    clock: systemClock,
    authenticate: async () => undefined,
    health: [],
    serviceTokens: { own: "x", callerOf: () => undefined },
    bodyLimitBytes: 1000,
  });
  server.published.route({
    method: "POST",
    url: path,
    config: { permission: "public" },
    schema: { body: Type.Object({ say: Type.String({ maxLength: 400 }) }, { additionalProperties: false }) },
    handler: (request) => {
      ways.push("ordinary");
      const { say } = request.body;
      if (say === "refuse me") throw new Problem("conflict");
      return { said: say };
    },
  });
  server.addFastRoute("published", {
    path,
    bodyLimitBytes: 200,
    answer: (body) => {
      const text = body.toString();
      const say = /^\{"say":"([a-z ]+)"\}$/.exec(text)?.[1];
      if (say === undefined || say === "refuse me") return undefined;
      if (say === "later but no") return Promise.reject(new Error("not now"));
      ways.push("fast");
      const answer = jsonText({ said: say });
      return say === "later" ? new Promise((resolve) => setTimeout(() => resolve(answer), 20)) : answer;
    },
  });
  ({ url } = await server.listen({ host: "127.0.0.1", port: 0, internalHost: "127.0.0.1", internalPort: 0 }));
});
afterAll(() => server.close());

function post(body: string | Buffer, contentType = "application/json"): Promise<Response> {
  return fetch(url + path, { method: "POST", headers: { "content-type": contentType }, body });
}

async function comparable(answer: Response): Promise<unknown> {
  const headers = Object.fromEntries([...answer.headers].filter(([name]) => name !== "date" && name !== "x-request-id"));
  const body = (await answer.text()).replaceAll(/req_[0-9a-f-]+/g, "req_…");
  expect(answer.headers.get("x-request-id")).toMatch(/^req_[0-9a-f-]{36}$/);
  return { status: answer.status, headers, body };
}

it.each([
  ["plain", '{"say":"hello"}', "fast"],
  ["answered a moment later", '{"say":"later"}', "fast"],
  ["one that the route leaves to the ordinary way", '{"say":"refuse me"}', "ordinary"],
  ["one that the route gives up late", '{"say":"later but no"}', "ordinary"],
  ["with spaces", '{ "say": "hello" }', "ordinary"],
  ["larger than the lane takes", JSON.stringify({ say: "a".repeat(300) }), "ordinary"],
  ["larger than anybody takes", JSON.stringify({ say: "a".repeat(3000) }), "neither"],
  ["of no JSON", "{say", "neither"],
  ["of an unknown field", '{"say":"hello","to":"you"}', "neither"],
  ["of a prototype's name", '{"say":"hello","__proto__":{"a":1}}', "neither"],
  ["of bytes that are no text", Buffer.from([0x7b, 0xff, 0x7d]), "neither"],
  ["empty", "", "neither"],
])("a request %s is answered like the ordinary way answers it", async (_what, body, way) => {
  ways.length = 0;
  const fast = await comparable(await post(body));
  expect(ways).toEqual(way === "neither" ? [] : [way]);
  const ordinary = await comparable(await post(body, "application/json; charset=utf-8"));
  expect(fast).toEqual(ordinary);
  expect(ways.at(-1)).toBe(way === "neither" ? undefined : "ordinary");
});

/** Writes pieces on a raw connection, each in a packet of its own, and gives back all that came until the other side closed. */
async function raw(pieces: readonly string[], options: { until?: RegExp } = {}): Promise<string> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  let heard = "";
  socket.setNoDelay(true).on("data", (chunk: Buffer) => (heard += chunk.toString()));
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  if (options.until) await waitFor(() => options.until?.test(heard));
  socket.destroy();
  return heard;
}

const head = (length: number, more = ""): string =>
  `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n${more}\r\n`;
const body = '{"say":"hello"}';

it("a body in pieces and requests in a row are answered in their order", async () => {
  const heard = await raw([head(body.length).slice(0, 30), head(body.length).slice(30) + body.slice(0, 5), body.slice(5)], {
    until: /\{"said":"hello"\}/,
  });
  expect(heard).toContain("HTTP/1.1 200");
  const [later, odd] = ['{"say":"later"}', '{ "say": "odd" }'];
  const many = [later, body, odd, body].map((one) => head(one.length) + one).join("");
  const answers = await raw([many], { until: /(?:"said"[\s\S]*){4}/ });
  expect([...answers.matchAll(/"said":"(\w+)"/g)].map(([, said]) => said)).toEqual(["later", "hello", "odd", "hello"]);
});

it.each([
  ["no Host", head(body.length).replace("host: a\r\n", "")],
  ["two Hosts", head(body.length, "Host: b\r\n")],
])("with %s it is refused on either way (RFC 9112 §3.2)", async (_what, start) => {
  expect(await raw([start + body], { until: /\}/ })).toMatch(/^HTTP\/1\.1 400/);
  expect(
    await raw(
      [
        start
          .replace(path, "/livez")
          .replace("POST", "GET")
          .replace(/content-\w+: [^\r]*\r\n/g, ""),
      ],
      { until: /\}/ },
    ),
  ).toMatch(/^HTTP\/1\.1 400/);
});

it("a client that leaves in the middle of its body harms nobody, and every request is counted once", async () => {
  await raw([head(body.length) + body.slice(0, 5)]);
  expect((await post(body)).status).toBe(200);
  const text = await waitFor(async () => {
    const now = await metrics.registry.metrics();
    return /status="499"/.test(now) && now;
  });
  expect(text).toMatch(/_count\{method="POST",route="\/echo",status="499",service="example"\} 1\n/);
});
