/** The least that an HTTP server does: reads the body, answers the same bytes to everybody. Argument: the answer. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const answer = Buffer.from(process.argv[2] ?? "{}");
const headers = { "content-type": "application/json; charset=utf-8", "content-length": answer.length };

const server = createServer((request, response) => {
  request.on("data", () => {});
  request.on("end", () => response.writeHead(200, headers).end(answer));
});
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("disconnect", () => process.exit(0));
