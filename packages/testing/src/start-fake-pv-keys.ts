/** Stands in for pv-keys' private listener towards a service that verifies keys. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { RefusedKey, ValidKey, VerifyKeyAnswer } from "@nexus/contracts/verify-key";
import { generateApiKey, newId } from "@nexus/core";

export interface FakePvKeys {
  url: string;
  /** A key that verifies; `change` replaces parts of the answer. */
  issue(change?: Partial<ValidKey>): { key: string; id: string; organizationId: string };
  /** From now on the key is refused so. */
  refuse(key: string, code?: RefusedKey["code"]): void;
  /** Verifications asked so far. */
  asked(): number;
  close(): Promise<void>;
}

/** `token` is what callers must present. */
export async function startFakePvKeys(token: string, port = 0): Promise<FakePvKeys> {
  const answers = new Map<string, VerifyKeyAnswer>();
  let asked = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const json = (status: number, body: unknown) =>
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
      if (request.url === "/livez") return json(200, { status: "alive" });
      if (request.headers.authorization !== `Bearer ${token}`) return json(401, {});
      asked++;
      const { key } = JSON.parse(Buffer.concat(chunks).toString()) as { key: string };
      return json(200, answers.get(key) ?? { valid: false, code: "not_found" });
    });
  });
  await new Promise<void>((resolve) => void server.listen(port, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    issue: (change = {}) => {
      const { key } = generateApiKey("sk", "test");
      const answer: ValidKey = {
        valid: true,
        key_id: newId("key"),
        organization_id: newId("organization"),
        owner: { kind: "organization", id: null },
        state: "active",
        expires_at: null,
        scopes: ["ai:*", "usage:read"],
        models: null,
        ip_allow: null,
        limits: [],
        budget_ids: [],
        rev: 1,
        ...change,
      };
      answers.set(key, answer);
      return { key, id: answer.key_id, organizationId: answer.organization_id };
    },
    refuse: (key, code = "revoked") => void answers.set(key, { valid: false, code }),
    asked: () => asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
