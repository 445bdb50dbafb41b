/** The least that a gateway does: the body goes to the upstream, its answer comes back. Argument: the upstream's origin. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Dispatcher, Pool } from "undici";

const pool = new Pool(process.argv[2] ?? "", { connections: 2048 });

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    const headers = { "content-type": "application/json" };
    pool.dispatch({ method: "POST", path: request.url ?? "/", headers, body: body ?? null }, relayTo(response));
  });
});
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("disconnect", () => process.exit(0));

function relayTo(response: ServerResponse): Dispatcher.DispatchHandler {
  return {
    onRequestStart: () => {},
    onResponseStart: (_controller, status, headers) => {
      const length = headers["content-length"];
      response.writeHead(status, {
        "content-type": String(headers["content-type"]),
        ...(length === undefined ? {} : { "content-length": String(length) }),
      });
    },
    onResponseData: (_controller, chunk) => void response.write(chunk),
    onResponseEnd: () => void response.end(),
    onResponseError: () => void response.destroy(),
  };
}
