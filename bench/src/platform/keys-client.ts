/** Talks to replicas of pv-keys as cheaply as it can: the process that measures shares the machine. */
import type { BulkCreated } from "@nexus/contracts/bulk-keys";
import type { Receipt } from "@nexus/contracts/receipts";
import type { VerifyKeyAnswer } from "@nexus/contracts/verify-key";
import { Pool } from "undici";
import type { KeysReplica, Platform } from "./start-platform.ts";

export interface IssuedKey {
  id: string;
  secret: string;
}

export interface KeysClient {
  /** At most a hundred. */
  make(count: number): Promise<IssuedKey[]>;
  /** Revokes with wait=1; the receipt. */
  revoke(id: string): Promise<Receipt>;
  verify(secret: string): Promise<boolean>;
  close(): Promise<void>;
}

export function openKeysClient(platform: Platform, replica: KeysReplica): KeysClient {
  const published = new Pool(replica.url, { connections: 8 });
  const internal = new Pool(replica.internalUrl, { connections: 16 });
  const post = async (pool: Pool, path: string, token: string, body: object): Promise<unknown> => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const answer = await pool.request({ method: "POST", path, headers, body: JSON.stringify(body) });
    const said: unknown = await answer.body.json();
    if (answer.statusCode >= 300) throw new Error(`${path} answered ${answer.statusCode}: ${JSON.stringify(said)}`);
    return said;
  };
  return {
    make: async (count) => {
      const keys = Array.from({ length: count }, () => ({ name: "bench" }));
      const { data } = (await post(published, "/v1/keys/bulk-create", platform.token(), { keys })) as BulkCreated;
      return data.map(({ key, secret }) => ({ id: key.id, secret }));
    },
    revoke: async (id) => {
      const said = await post(published, `/v1/keys/${id}/revoke?wait=1`, platform.token(), {});
      return (said as { receipt: Receipt }).receipt;
    },
    verify: async (key) => {
      const said = (await post(internal, "/v1/keys/verify", platform.serviceToken, { key })) as VerifyKeyAnswer;
      return said.valid;
    },
    close: async () => {
      await Promise.all([published.close(), internal.close()]);
    },
  };
}
