import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { discoverLocalServers } from "./discover-local-servers.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

test("a server that lists models is found under its port's name, with the models as it spells them", async () => {
  const asked: string[] = [];
  const port = await serve((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.end(JSON.stringify({ object: "list", data: [{ id: "llama3.2:1b" }, { id: "qwen/qwen3" }] }));
  });
  expect(await discoverLocalServers({ ports: { ollama: port } })).toStrictEqual([
    { name: "ollama", baseUrl: `http://127.0.0.1:${port}/v1`, models: ["llama3.2:1b", "qwen/qwen3"] },
  ]);
  expect(asked).toStrictEqual(["GET /v1/models"]);
});

test.each<[string, RequestListener]>([
  ["is no model server", (_, response) => response.end("<html>hello</html>")],
  ["answers another shape", (_, response) => response.end('{"data":{"id":"x"}}')],
  ["answers null", (_, response) => response.end("null")],
  ["refuses", (_, response) => response.writeHead(401).end('{"data":[{"id":"x"}]}')],
  ["redirects", (_, response) => response.writeHead(302, { location: "http://127.0.0.1:1/v1/models" }).end()],
  [
    "names hostile ids",
    (_, response) =>
      response.end(JSON.stringify({ data: [{ id: "a b" }, { id: "" }, { id: "x".repeat(300) }, { id: 5 }, null] })),
  ],
  ["hangs up", (request) => request.socket.destroy()],
])("a server that %s is left out", async (_, listener) => {
  expect(await discoverLocalServers({ ports: { other: await serve(listener) }, timeoutMs: 2_000 })).toStrictEqual([]);
});

test("a server that never answers, or never ends its answer, costs the deadline and no more", async () => {
  const silent = await serve(() => {});
  const endless = await serve((_, response) => {
    response.write('{"data":[');
    const timer = setInterval(() => response.write(" "), 20);
    response.on("close", () => clearInterval(timer));
  });
  const start = performance.now();
  expect(await discoverLocalServers({ ports: { silent, endless }, timeoutMs: 150 })).toStrictEqual([]);
  expect(performance.now() - start).toBeLessThan(3_000);
});

test("an answer above 256 KiB is not read to its end", async () => {
  let closed = false;
  const port = await serve((_, response) => {
    const chunk = Buffer.alloc(64 * 1024, 0x20);
    const more = () => {
      while (response.write(chunk));
    };
    response.on("drain", more).on("close", () => (closed = true));
    more();
  });
  expect(await discoverLocalServers({ ports: { flood: port }, timeoutMs: 10_000 })).toStrictEqual([]);
  await expect.poll(() => closed, { timeout: 5_000 }).toBe(true);
});

test("a closed port is left out", async () => {
  const port = await serve(() => {});
  const server = servers.pop()!;
  await new Promise((resolve) => server.close(resolve));
  expect(await discoverLocalServers({ ports: { gone: port } })).toStrictEqual([]);
});
