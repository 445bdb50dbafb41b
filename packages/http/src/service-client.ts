/** Calls to another service's private listener: JSON, with a deadline, under this service's token. */
import { Problem } from "@nexus/core";
import { Pool } from "undici";

interface ClientOptions {
  baseUrl: string;
  token: string;
  /** Milliseconds for the whole call; 2,000 unless told. */
  timeoutMs?: number;
  connections?: number;
}

interface Call {
  method: "GET" | "POST";
  path: string;
  body?: unknown;
  requestId?: string;
  signal?: AbortSignal;
}

export interface ServiceClient {
  /** The answer's status and parsed body. @throws Problem `unavailable` when there is no answer in time or it is no JSON */
  call(call: Call): Promise<{ status: number; body: unknown }>;
  close(): Promise<void>;
}

export function openServiceClient(options: ClientOptions): ServiceClient {
  const timeout = options.timeoutMs ?? 2000;
  const pool = new Pool(options.baseUrl, { connections: options.connections ?? 16, connect: { timeout } });
  return {
    async call({ method, path, body, requestId, signal }) {
      const deadline = AbortSignal.timeout(timeout);
      try {
        const answer = await pool.request({
          method,
          path,
          headers: {
            authorization: `Bearer ${options.token}`,
            accept: "application/json",
            ...(body === undefined ? {} : { "content-type": "application/json" }),
            ...(requestId === undefined ? {} : { "x-request-id": requestId }),
          },
          body: body === undefined ? null : JSON.stringify(body),
          signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
        });
        return { status: answer.statusCode, body: await answer.body.json() };
      } catch (cause) {
        throw new Problem("unavailable", undefined, { cause, headers: { "retry-after": "1" } });
      }
    },
    close: () => pool.destroy(),
  };
}
