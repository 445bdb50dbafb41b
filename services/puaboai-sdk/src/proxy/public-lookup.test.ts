import type { LookupAddress } from "node:dns";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Pool } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseGatewaySettings } from "../settings/gateway-settings.ts";
import { openUpstream } from "./open-upstream.ts";
import { isPrivateAddress } from "./private-address.ts";
import { lookupPublic, type Resolve } from "./public-lookup.ts";

let server: Server;
let port: number;
let hits = 0;

beforeAll(async () => {
  server = createServer((_request, response) => {
    hits++;
    response.end("inside");
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** A name server of the test's own: each question gets the next answer. */
function answering(...answers: string[][]): Resolve & { asked(): number } {
  let asked = 0;
  const resolve: Resolve = (_hostname, _options, callback) => {
    const addresses = answers[Math.min(asked++, answers.length - 1)] ?? [];
    callback(
      null,
      addresses.map((address): LookupAddress => ({ address, family: address.includes(":") ? 6 : 4 })),
    );
  };
  return Object.assign(resolve, { asked: () => asked });
}

function look(resolve: Resolve): Promise<{ code: string | undefined; addresses: string[] }> {
  return new Promise((done) => {
    lookupPublic(resolve)("provider.example", { all: true }, (error, found) => {
      done({ code: error?.code, addresses: (found as LookupAddress[]).map(({ address }) => address) });
    });
  });
}

test("a name that points inside is not connected to, whatever it pointed to a moment before", async () => {
  const rebinding = answering(["127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]);
  const pool = new Pool(`http://provider.example:${port}`, { connect: { lookup: lookupPublic(rebinding), timeout: 500 } });
  for (let attempt = 0; attempt < 3; attempt++) {
    await expect(pool.request({ method: "GET", path: "/" })).rejects.toMatchObject({ code: "EPRIVATEADDRESS" });
  }
  await pool.destroy();
  // Every connection asks anew: an answer that was good once is not kept.
  expect([rebinding.asked(), hits]).toStrictEqual([3, 0]);
});

test("of several addresses only the public ones are left", async () => {
  expect(await look(answering(["10.0.0.1", "93.184.215.14", "fd00::1"]))).toStrictEqual({
    code: undefined,
    addresses: ["93.184.215.14"],
  });
  expect(await look(answering(["10.0.0.1", "fd00::1"]))).toStrictEqual({ code: "EPRIVATEADDRESS", addresses: [] });
  expect(await look(answering([]))).toStrictEqual({ code: "EPRIVATEADDRESS", addresses: [] });
});

const literals = [
  "https://127.0.0.1",
  "https://127.1",
  "https://2130706433",
  "https://0x7f000001",
  "https://0177.0.0.1",
  "https://0x7f.0x0.0x0.0x1",
  "https://127.0.0.1.",
  "https://①②⑦.⓪.⓪.①",
  "https://localhost",
  "https://localhost.",
  "https://LOCALHOST",
  "https://api.localhost",
  "https://[::1]",
  "https://[::]",
  "https://[::ffff:127.0.0.1]",
  "https://[::ffff:7f00:1]",
  "https://[::127.0.0.1]",
  "https://[64:ff9b::7f00:1]",
  "https://[2002:7f00:1::]",
  "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
  "https://[fe80::1]",
  "https://[fec0::1]",
  "https://[fc00::1]",
  "https://[fd12:3456::1]",
  "https://[ff02::1]",
  "https://0.0.0.0",
  "https://10.0.0.1",
  "https://100.64.0.1",
  "https://169.254.169.254",
  "https://0xa9fea9fe",
  "https://172.16.0.1",
  "https://192.168.1.1",
  "https://192.0.2.1",
  "https://198.18.0.1",
  "https://224.0.0.1",
  "https://255.255.255.255",
  "https://example.com@127.0.0.1",
  "https://user:password@example.com",
  "https://example.com/?x=1",
  "https://example.com/#127.0.0.1",
  "http://example.com",
  "file:///etc/passwd",
  "gopher://example.com",
];
test.each(literals)("%s is no base URL for a provider that may not go inside", (url) => {
  expect(() => parseGatewaySettings(`providers: { p: { base_url: "${url}" } }`, "gateway.yaml")).toThrow("providers.p.base_url");
});

test.each(["https://example.com/v1", "https://1.1.1.1", "https://[2606:4700::1111]", "https://127.0.0.1.example.com"])(
  "%s is one",
  (url) => {
    expect(parseGatewaySettings(`providers: { p: { base_url: "${url}" } }`, "gateway.yaml").providers).toHaveLength(1);
  },
);

test("an inside address that is allowed is only the one that was told to be", () => {
  const inside = `providers: { p: { base_url: "http://127.0.0.1:${port}/v1", allow_private_network: true } }`;
  const [provider] = parseGatewaySettings(inside, "gateway.yaml").providers;
  expect(() => openUpstream({ ...provider!, allowsPrivateNetwork: false }, undefined)).toThrow("inside address");
});

test("no address of IPv4 changes sides when it is written as one of IPv6", () => {
  for (let round = 0; round < 2000; round++) {
    const parts = Array.from({ length: 4 }, () => Math.floor(Math.random() * 256));
    const address = parts.join(".");
    expect([address, isPrivateAddress(`::ffff:${address}`)]).toStrictEqual([address, isPrivateAddress(address)]);
  }
});
