/** Asks pv-keys' private listener what a digest stands for; within a deadline or not at all. */
import type { LookupKeyAnswer } from "@nexus/contracts/key-record";
import { Pool } from "undici";
import type { Found, KeySource } from "./key-source.ts";

interface Options {
  /** `http://host:port` of pv-keys' private listener. */
  url: string;
  /** This service's own proof. */
  serviceToken: string;
  /** 800 ms unless told. Later, pv-keys counts as away. */
  timeoutMs?: number;
}

/** An answer is well below 64 kB; more is not from pv-keys. */
const answerLimitBytes = 256 * 1024;
const connections = 16;

export function pvKeysSource({ url, serviceToken, timeoutMs = 800 }: Options): KeySource {
  const pool = new Pool(new URL(url).origin, {
    connections,
    connect: { timeout: timeoutMs },
    maxResponseSize: answerLimitBytes,
  });
  const ask = async (digest: Buffer, minRev: number): Promise<Found> => {
    const answer = await pool.request({
      method: "POST",
      path: "/v1/keys/lookup",
      headers: { authorization: `Bearer ${serviceToken}`, "content-type": "application/json" },
      body: JSON.stringify({ digest: digest.toString("base64url"), min_rev: minRev }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (answer.statusCode !== 200) {
      await answer.body.dump();
      throw new Error(`pv-keys answered with status ${answer.statusCode}`);
    }
    return readAnswer(await answer.body.json());
  };
  return {
    find: async (digest, minRev) => {
      try {
        return await ask(digest, minRev);
      } catch (error) {
        // A kept connection may end just as it is used, as when pv-keys restarts; asking twice changes nothing.
        if (isCutConnection(error)) return await ask(digest, minRev);
        throw error;
      }
    },
    close: () => pool.destroy(),
  };
}

function isCutConnection(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE";
}

/** Members that a newer pv-keys adds are let through; what a verifier relies on must be there. */
function readAnswer(body: unknown): Found {
  const answer = (typeof body === "object" && body !== null ? body : {}) as Partial<LookupKeyAnswer>;
  const { key, generation, as_of: asOf } = answer;
  if (typeof generation !== "string" || !Number.isSafeInteger(asOf) || (key !== null && !isWhole(key))) {
    throw new Error("pv-keys answered in another shape");
  }
  return { record: key ?? null, generation, asOf: asOf ?? 0, freezes: readFreezes(answer.freezes) };
}

function readFreezes(freezes: LookupKeyAnswer["freezes"]): Found["freezes"] {
  if (freezes === undefined) return undefined;
  const isList = Array.isArray(freezes) && freezes.every((one) => typeof one.kind === "string" && typeof one.target === "string");
  if (!isList) throw new Error("pv-keys answered in another shape");
  return freezes;
}

function isWhole(key: LookupKeyAnswer["key"] | undefined): boolean {
  if (!key) return false;
  const { expires_at: expiresAt } = key;
  return (
    typeof key.key_id === "string" &&
    typeof key.organization_id === "string" &&
    typeof key.owner === "object" &&
    ["active", "disabled", "revoked"].includes(key.state) &&
    isTexts(key.scopes) &&
    [key.models, key.ip_allow].every((list) => list === null || isTexts(list)) &&
    Array.isArray(key.limits) &&
    (expiresAt === null || (typeof expiresAt === "string" && !Number.isNaN(Date.parse(expiresAt))))
  );
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
