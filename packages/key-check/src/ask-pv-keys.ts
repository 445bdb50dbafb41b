/** The one call this package makes: `POST /v1/keys/verify` on pv-keys' private listener. */
import { VerifyKeyAnswer } from "@nexus/contracts/verify-key";
import { Compile } from "typebox/compile";
import { Pool } from "undici";

export interface PvKeysClient {
  /** Rejects when there is no well-formed answer in time. */
  ask(key: string): Promise<VerifyKeyAnswer>;
  close(): Promise<void>;
}

const answerShape = Compile(VerifyKeyAnswer);

export function askPvKeys(options: { url: string; token: string; timeoutMs: number }): PvKeysClient {
  const pool = new Pool(options.url, { connections: 16, connect: { timeout: options.timeoutMs } });
  const headers = { authorization: `Bearer ${options.token}`, "content-type": "application/json", accept: "application/json" };
  return {
    async ask(key) {
      const answer = await pool.request({
        method: "POST",
        path: "/v1/keys/verify",
        headers,
        body: JSON.stringify({ key }),
        signal: AbortSignal.timeout(options.timeoutMs),
      });
      const body: unknown = await answer.body.json();
      if (answer.statusCode !== 200 || !answerShape.Check(body))
        throw new Error(`pv-keys answered ${answer.statusCode} to a verification`);
      return body;
    },
    close: () => pool.destroy(),
  };
}
