import { hash } from "node:crypto";
/** Stands in for pv-keys' private listener towards a service that verifies keys. The change feed is the real one. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { KeyRecord, LookupKeyAnswer, LookupKeyRequest } from "@nexus/contracts/key-record";
import { generateApiKey, uuidOf } from "@nexus/core";
import type { Database } from "@nexus/db";
import { recordTestChange } from "./record-test-change.ts";
import { someKeyRecord } from "./some-key-record.ts";

export interface FakePvKeys {
  url: string;
  /** A key that verifies; `change` replaces parts of what is known of it. */
  issue(change?: Partial<KeyRecord>): { key: string; id: string; organizationId: string };
  /** From now on the key is another; every process that follows the feed hears of it. */
  change(key: string, change: Partial<KeyRecord>): Promise<void>;
  /** Lookups asked so far. */
  asked(): number;
  close(): Promise<void>;
}

/** `token` is what callers must present; `owner` the database whose change feed they follow. */
export async function startFakePvKeys(token: string, owner: Database): Promise<FakePvKeys> {
  const records = new Map<string, KeyRecord>();
  let asked = 0;
  const lookUp = async (body: string): Promise<LookupKeyAnswer> => {
    const { digest } = JSON.parse(body) as LookupKeyRequest;
    const counter = await owner.db.selectFrom("change_counter").selectAll().executeTakeFirstOrThrow();
    return { key: records.get(digest) ?? null, generation: counter.generation, as_of: Number(counter.rev) };
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    const json = (status: number, body: unknown): void =>
      void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (request.url === "/livez") return json(200, { status: "alive" });
      if (request.headers.authorization !== `Bearer ${token}`) return json(401, {});
      asked++;
      lookUp(Buffer.concat(chunks).toString()).then(
        (answer) => json(200, answer),
        () => json(503, {}),
      );
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    issue: (change = {}) => {
      const { key } = generateApiKey("sk", "test");
      const record = someKeyRecord(change);
      records.set(digestOf(key), record);
      return { key, id: record.key_id, organizationId: record.organization_id };
    },
    change: async (key, change) => {
      const record = records.get(digestOf(key));
      if (!record) throw new Error("this key was not issued here");
      records.set(digestOf(key), { ...record, ...change });
      await recordTestChange(owner, "key", uuidOf("key", record.key_id) ?? "");
    },
    asked: () => asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function digestOf(key: string): string {
  return hash("sha256", key, "base64url");
}
