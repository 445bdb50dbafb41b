import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Problem } from "@nexus/core";
import { afterEach, describe, expect, it } from "vitest";
import { openServiceClient, type ServiceClient } from "./open-service-client.ts";

const open: { client: ServiceClient; server: Server }[] = [];
afterEach(async () => {
  for (const { client, server } of open.splice(0)) {
    await client.close();
    server.closeAllConnections();
    server.close();
  }
});

async function clientTo(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  options: { timeoutMs?: number; answerLimitBytes?: number } = {},
): Promise<ServiceClient> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/base/`;
  const client = openServiceClient({ baseUrl, token: "t".repeat(40), ...options });
  open.push({ client, server });
  return client;
}

async function problemOf(work: Promise<unknown>): Promise<Problem> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(Problem);
  return error as Problem;
}

describe("a call to another service", () => {
  it("carries the token, the request id and JSON, and brings the answer back", async () => {
    const client = await clientTo((request, response) => {
      const { authorization, "x-request-id": id, "content-type": type } = request.headers;
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => response.writeHead(201).end(JSON.stringify({ authorization, id, type, url: request.url, body })));
    });
    const answer = await client.call({ method: "POST", path: "/v1/keys/verify?x=1", body: { key: "k" }, requestId: "req_1" });
    expect(answer).toEqual({
      status: 201,
      body: {
        authorization: `Bearer ${"t".repeat(40)}`,
        id: "req_1",
        type: "application/json",
        url: "/base/v1/keys/verify?x=1",
        body: '{"key":"k"}',
      },
    });
  });

  it("gives a refusal back as it is: it is an answer", async () => {
    const client = await clientTo((_request, response) => response.writeHead(404).end('{"code":"not_found"}'));
    expect(await client.call({ method: "GET", path: "/" })).toEqual({ status: 404, body: { code: "not_found" } });
  });

  it("an empty answer is no body", async () => {
    const client = await clientTo((_request, response) => response.writeHead(204).end());
    expect(await client.call({ method: "DELETE", path: "/" })).toEqual({ status: 204, body: undefined });
  });

  it.each<[string, (request: IncomingMessage, response: ServerResponse) => void]>([
    ["fails", (_request, response) => response.writeHead(500).end('{"secret":"x"}')],
    ["never answers", () => {}],
    ["stops in the middle", (_request, response) => response.writeHead(200, { "content-length": 100 }).write("{")],
    ["breaks off", (request) => request.socket.destroy()],
    ["answers no JSON", (_request, response) => response.end("<html>")],
    ["answers without end", (_request, response) => response.end(`"${"x".repeat(2000)}"`)],
    ["drips", (_request, response) => void setInterval(() => response.write(" "), 20).unref()],
  ])("a service that %s is unavailable, within the deadline, and nothing of it is shown", async (_name, handler) => {
    const client = await clientTo(handler, { timeoutMs: 200, answerLimitBytes: 1000 });
    const began = performance.now();
    const problem = await problemOf(client.call({ method: "GET", path: "/" }));
    expect(performance.now() - began).toBeLessThan(2000);
    expect(problem.code).toBe("unavailable");
    expect(problem.headers).toEqual({ "retry-after": "1" });
    expect(problem.detail).toBeUndefined();
    expect(problem.cause).toBeDefined();
  });

  it("a service that is not there is unavailable", async () => {
    const client = await clientTo(() => {});
    await new Promise((resolve) => open[0]!.server.close(resolve));
    expect((await problemOf(client.call({ method: "GET", path: "/" }))).code).toBe("unavailable");
  });

  it("a caller who gives up gets its own reason", async () => {
    const client = await clientTo(() => {});
    const giveUp = new AbortController();
    const call = client.call({ method: "GET", path: "/", signal: giveUp.signal });
    giveUp.abort(new Error("the client went away"));
    await expect(call).rejects.toThrow("the client went away");
  });
});
