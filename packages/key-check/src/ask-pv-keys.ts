/** One question to pv-keys' private listener, answered within a deadline or not at all. */
import type { VerifyKeyAnswer } from "@nexus/contracts/verify-key";
import { Pool } from "undici";

interface AskOptions {
  /** `http://host:port` of pv-keys' private listener. */
  verifyUrl: string;
  serviceToken: string;
  timeoutMs: number;
  connections: number;
}

export interface PvKeys {
  /** @throws Error when there is no answer in time, or one that is not an answer */
  ask(key: string): Promise<VerifyKeyAnswer>;
  close(): Promise<void>;
}

/** An answer is well below 64 kB; more is not from pv-keys. */
const answerLimitBytes = 256 * 1024;

export function openPvKeys(options: AskOptions): PvKeys {
  const pool = new Pool(new URL(options.verifyUrl).origin, {
    connections: options.connections,
    connect: { timeout: options.timeoutMs },
    maxResponseSize: answerLimitBytes,
  });
  const request = async (key: string): Promise<VerifyKeyAnswer> => {
    const answer = await pool.request({
      method: "POST",
      path: "/v1/keys/verify",
      headers: { authorization: `Bearer ${options.serviceToken}`, "content-type": "application/json" },
      body: JSON.stringify({ key }),
      signal: AbortSignal.timeout(options.timeoutMs),
    });
    if (answer.statusCode !== 200) {
      await answer.body.dump();
      throw new Error(`pv-keys answered with status ${answer.statusCode}`);
    }
    return readAnswer(await answer.body.json());
  };
  return {
    ask: async (key) => {
      try {
        return await request(key);
      } catch (error) {
        // A kept connection may end just as it is used, as when pv-keys restarts; asking twice changes nothing.
        if (isCutConnection(error)) return await request(key);
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

/** Members that a newer pv-keys adds are let through; what a caller relies on must be there. */
function readAnswer(body: unknown): VerifyKeyAnswer {
  const answer = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  if (answer["valid"] === false && typeof answer["code"] === "string") return Object.freeze(body as VerifyKeyAnswer);
  const { expires_at: expiresAt, models } = answer;
  const whole =
    answer["valid"] === true &&
    typeof answer["key_id"] === "string" &&
    typeof answer["organization_id"] === "string" &&
    typeof answer["owner"] === "object" &&
    isTexts(answer["scopes"]) &&
    (models === null || isTexts(models)) &&
    (expiresAt === null || (typeof expiresAt === "string" && !Number.isNaN(Date.parse(expiresAt))));
  if (!whole) throw new Error("pv-keys answered in another shape");
  return Object.freeze(body as VerifyKeyAnswer);
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
