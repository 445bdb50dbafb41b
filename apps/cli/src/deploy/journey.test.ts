import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { makeJourney } from "./journey.ts";

/** The three services in one small server that remembers whether the key was revoked. */
interface Platform {
  revoked: boolean;
  answer(route: string, request: IncomingMessage): { status: number; body?: unknown; cookie?: string };
}

const requestId = "req_01a20697-29b5-715f-afc1-a9ec3b3a8dd6";

function soundPlatform(): Platform {
  return {
    revoked: false,
    answer(route, { headers }) {
      const asKey = headers.authorization === "Bearer the-key";
      const asPerson = headers.authorization === "Bearer the-token";
      const signedIn = headers.cookie === "session=s";
      switch (route) {
        case "POST /api/auth/sign-in/email":
          return { status: 200, cookie: "session=s; HttpOnly" };
        case "GET /api/auth/token":
          return signedIn ? { status: 200, body: { token: "the-token" } } : { status: 401 };
        case "POST /v1/keys":
          return asPerson ? { status: 201, body: { key: { id: "key_1" }, secret: "the-key" } } : { status: 401 };
        case "POST /v1/keys/key_1/revoke":
          this.revoked = asPerson;
          return { status: asPerson ? 200 : 401 };
        case "POST /v1/chat/completions":
          return { status: asKey && !this.revoked ? 200 : 401 };
        case "GET /v1/usage":
          return asKey ? { status: 200, body: { data: [{ request_id: requestId }] } } : { status: 401 };
        case "GET /api/audit/events":
          return signedIn ? { status: 200, body: { data: ["key_1"] } } : { status: 401 };
        default:
          return { status: 401 };
      }
    },
  };
}

const servers: Server[] = [];
afterEach(() => servers.splice(0).forEach((server) => server.close()));

async function journeyOn(platform: Platform): Promise<string[]> {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://x").pathname;
    const { status, body, cookie } = platform.answer(`${request.method} ${path}`, request);
    response.writeHead(status, { "x-request-id": requestId, ...(cookie && { "set-cookie": cookie }) });
    response.end(JSON.stringify(body ?? {}));
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await new Promise((resolve) => server.once("listening", resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return makeJourney({ api: origin, ai: origin, keys: origin }, { email: "e", password: "p" });
}

/** The sound platform, but for one route. */
function with1(route: string, answer: Platform["answer"]): Platform {
  const platform = soundPlatform();
  const sound = platform.answer.bind(platform);
  platform.answer = (asked, request) => (asked === route ? answer(asked, request) : sound(asked, request));
  return platform;
}

describe("the journey of a deployment", () => {
  it("passes on a platform that does as it should", async () => {
    expect((await journeyOn(soundPlatform())).join()).toContain("key_1");
  });

  it.each([
    ["a gateway that answers without a key", "POST /v1/chat/completions", { status: 200 }, "a chat without a key"],
    ["an audit log that anybody can read", "GET /api/audit/events", { status: 200 }, "the audit log without a credential"],
    ["a sign-in that fails", "POST /api/auth/sign-in/email", { status: 500 }, "signing in was answered with 500"],
    ["a sign-in without a session", "POST /api/auth/sign-in/email", { status: 200 }, "set no cookie"],
    ["a token service that is away", "GET /api/auth/token", { status: 503 }, "a token for pv-keys was answered with 503"],
    ["usage that cannot be read", "GET /v1/usage", { status: 503 }, "the usage was answered with 503"],
    ["a revocation that fails", "POST /v1/keys/key_1/revoke", { status: 500 }, "revoking the key was answered with 500"],
  ])("fails on %s", async (_what, route, answer, message) => {
    await expect(journeyOn(with1(route, () => answer))).rejects.toThrow(message);
  });

  it("fails on a revoked key that still opens", { timeout: 30_000 }, async () => {
    const platform = with1("POST /v1/keys/key_1/revoke", () => ({ status: 200 }));
    await expect(journeyOn(platform)).rejects.toThrow("the revoked key to be refused");
  });

  it("names the address that does not answer", async () => {
    const nowhere = "http://127.0.0.1:1";
    await expect(makeJourney({ api: nowhere, ai: nowhere, keys: nowhere }, { email: "e", password: "p" })).rejects.toThrow(
      nowhere,
    );
  });
});
