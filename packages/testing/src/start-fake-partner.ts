/** Stands in for GitHub where it reports leaked keys: publishes signing keys, signs reports. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakePartner {
  url: string;
  fetches(): number;
  /** Replaces the honest list of keys. */
  answerWith(answer: ((response: ServerResponse) => void) | undefined): void;
  /** What the honest list holds at present. */
  list(): string;
  /** A new key, in the list at once. */
  addKey(): void;
  /** Headers and body of a signed report. */
  sign(body: string | Buffer, by?: { key: KeyObject; identifier: string }): { headers: Record<string, string>; body: Buffer };
  close(): Promise<void>;
}

export async function startFakePartner(): Promise<FakePartner> {
  const pairs: { key: KeyObject; identifier: string; pem: string }[] = [];
  let fetches = 0;
  let answer: ((response: ServerResponse) => void) | undefined;
  const list = (): string =>
    JSON.stringify({
      public_keys: pairs.map(({ identifier, pem }) => ({ key_identifier: identifier, key: pem, is_current: true })),
    });
  const server = createServer((_request, response) => {
    fetches++;
    if (answer) answer(response);
    else response.setHeader("content-type", "application/json").end(list());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const partner: FakePartner = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    fetches: () => fetches,
    answerWith: (given) => void (answer = given),
    list,
    addKey() {
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
      const identifier = createHash("sha256").update(randomBytes(16)).digest("hex");
      pairs.push({ key: privateKey, identifier, pem: publicKey.export({ type: "spki", format: "pem" }).toString() });
    },
    sign(body, by = pairs.at(-1)) {
      const bytes = Buffer.from(body);
      const headers = {
        "content-type": "application/json",
        "github-public-key-identifier": by?.identifier ?? "",
        "github-public-key-signature": by ? sign("sha256", bytes, by.key).toString("base64") : "",
      };
      return { headers, body: bytes };
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  partner.addKey();
  return partner;
}
