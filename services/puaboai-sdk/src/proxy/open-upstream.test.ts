import { type AddressInfo, createServer } from "node:net";
import {
  chatAnswer,
  type FakeUpstream,
  htmlError,
  silence,
  startFakeUpstream,
  type UpstreamScript,
  waitFor,
} from "@nexus/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ProviderSettings } from "../settings/provider-settings.ts";
import { openUpstream, type Upstream, type UpstreamHeaders } from "./open-upstream.ts";
import type { UpstreamFailure } from "./upstream-failure.ts";

let provider: FakeUpstream;
let upstream: Upstream;
const settings = (change: Partial<ProviderSettings> = {}): ProviderSettings => ({
  name: "p",
  baseUrl: provider.baseUrl,
  secret: undefined,
  auth: { header: "authorization", prefix: "Bearer " },
  headers: { "x-team": "a" },
  allowsPrivateNetwork: true,
  deadlines: { connectMs: 1000, firstByteMs: 5000, idleMs: 5000, totalMs: 5000 },
  maxConcurrent: 2,
  outputCapField: "max_tokens",
  takesStreamOptions: true,
  breaker: { failures: 5, openMs: 10_000 },
  wireFormats: ["openai-chat"],
  ...change,
});

beforeEach(async () => {
  provider = await startFakeUpstream();
  upstream = openUpstream(settings(), () => "provider-secret");
});
afterEach(async () => {
  await upstream.close();
  await provider.close();
});

interface Answer {
  status?: number;
  headers?: UpstreamHeaders;
  body: string;
  failure?: UpstreamFailure;
}

function ask(of: Upstream = upstream): { call: ReturnType<Upstream["post"]>; answer: Promise<Answer> } {
  const { promise, resolve } = Promise.withResolvers<Answer>();
  const answer: Answer = { body: "" };
  const call = of.post(
    { path: "/chat/completions", body: Buffer.from("{}"), requestId: "req_1" },
    {
      onHead: (status, headers) => void Object.assign(answer, { status, headers }),
      onData: (chunk) => {
        answer.body += chunk.toString();
        return true;
      },
      onEnd: () => resolve(answer),
      onFailure: (failure) => resolve({ ...answer, failure }),
    },
  );
  return { call, answer: promise };
}

async function using(change: Partial<ProviderSettings>, work: (of: Upstream) => Promise<void>): Promise<void> {
  const other = openUpstream(settings(change), undefined);
  await work(other).finally(() => other.close());
}

test("the provider gets its own credential, our request id and nothing else of the client's", async () => {
  const answer = await ask().answer;
  expect(answer.status).toBe(200);
  expect(provider.received[0]!.path).toBe("/v1/chat/completions");
  expect(provider.received[0]!.headers).toStrictEqual({
    host: expect.any(String),
    connection: "keep-alive",
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "accept-encoding": "identity",
    "user-agent": "nexus-cos",
    "x-team": "a",
    authorization: "Bearer provider-secret",
    "x-request-id": "req_1",
    "content-length": "2",
  });
});

test("a provider that is down is unreached", async () => {
  await using({ baseUrl: "http://127.0.0.1:1/v1" }, async (other) => {
    expect((await ask(other).answer).failure).toMatchObject({ kind: "failed", reached: false });
  });
});

/** One piece, then nothing more. */
const stall: UpstreamScript = (response) => {
  response.writeHead(200).write("x");
  return new Promise((resolve) => response.on("close", resolve));
};

test.each([
  ["first byte", { firstByteMs: 60 }, silence()],
  ["idle", { idleMs: 60 }, stall],
  ["total", { totalMs: 60 }, silence()],
] as const)("the %s deadline ends a call and its connection", async (which, limits, script) => {
  provider.answerWith(script);
  await using({ deadlines: { ...settings().deadlines, ...limits } }, async (other) => {
    expect((await ask(other).answer).failure).toMatchObject({ kind: "timeout", message: `the ${which} deadline passed` });
    await waitFor(() => provider.received[0]?.abortedAt !== undefined);
  });
});

test("the connect deadline counts what comes before the connection stands, TLS included", async () => {
  const silent = createServer((socket) => socket.on("error", () => {}));
  await new Promise<void>((resolve) => void silent.listen(0, "127.0.0.1", resolve));
  const baseUrl = `https://127.0.0.1:${(silent.address() as AddressInfo).port}/v1`;
  const startedAt = performance.now();
  await using({ baseUrl, deadlines: { ...settings().deadlines, connectMs: 100 } }, async (other) => {
    expect((await ask(other).answer).failure).toMatchObject({
      kind: "timeout",
      reached: false,
      message: "no connection in time",
    });
  });
  expect(performance.now() - startedAt).toBeLessThan(3000);
  silent.close();
});

test("health tells what the last calls showed, without a call of its own", async () => {
  expect(upstream.health().state).toBe("unused");
  await ask().answer;
  expect(upstream.health()).toMatchObject({ state: "answering", lastError: undefined });
  provider.answerWith(htmlError(401));
  await ask().answer;
  expect(upstream.health()).toMatchObject({ state: "refusing", lastError: "status 401" });
  provider.answerWith(htmlError(503));
  for (let failure = 0; failure < 5; failure++) await ask().answer;
  expect(upstream.health()).toMatchObject({ state: "open", lastError: "status 503" });
  expect(upstream.health().lastSuccessAgeMs).toBeGreaterThanOrEqual(0);
  expect(provider.received).toHaveLength(7);
});

test("a call that is aborted closes its connection and tells nothing more", async () => {
  provider.answerWith(silence());
  const { call, answer } = ask();
  let told = false;
  void answer.then(() => {
    told = true;
  });
  await waitFor(() => provider.received.length === 1);
  const at = performance.now();
  call.abort();
  const closed = await waitFor(() => provider.received[0]!.abortedAt);
  expect(closed - at).toBeLessThan(1000);
  expect(told).toBe(false);
});

test("one call more than the provider takes is told to come back", async () => {
  provider.answerWith(silence());
  const calls = [ask(), ask()];
  expect(() => ask()).toThrow(expect.objectContaining({ code: "unavailable", headers: { "retry-after": "1" } }));
  for (const { call } of calls) call.abort();
  provider.answerWith(chatAnswer());
  expect((await ask().answer).status).toBe(200);
});

test("a connection cut in the middle is broken", async () => {
  provider.answerWith((response) => {
    response.writeHead(200, { "content-length": "10" });
    response.write("12345", () => response.destroy());
  });
  expect(await ask().answer).toMatchObject({ status: 200, body: "12345", failure: { kind: "failed", reached: true } });
});

test("a redirect is not followed and an error page is only an answer", async () => {
  provider.answerWith((response) => void response.writeHead(302, { location: "http://169.254.169.254/" }).end());
  expect((await ask().answer).status).toBe(302);
  provider.answerWith(htmlError(503));
  expect((await ask().answer).status).toBe(503);
});

test("a public name that resolves to an inside address is not reached", async () => {
  await using({ allowsPrivateNetwork: false, baseUrl: provider.baseUrl.replace("127.0.0.1", "localhost") }, async (other) => {
    expect((await ask(other).answer).failure).toMatchObject({ kind: "failed", reached: false });
  });
  expect(provider.received).toHaveLength(0);
});
