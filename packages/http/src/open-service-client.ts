/** JSON calls to another service's private listener: one pool, one deadline, one way to fail. */
import { Problem } from "@nexus/core";
import { Pool } from "undici";

interface ServiceClientOptions {
  /** `http://127.0.0.1:13041`; may have a path. */
  baseUrl: string;
  /** This service's own token. */
  token: string;
  /** For the whole call, connecting and reading the answer included; 2,000 unless told. */
  timeoutMs?: number;
  /** 16 unless told. */
  connections?: number;
  /** 4 MiB unless told. */
  answerLimitBytes?: number;
}

interface ServiceCall {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With its query, if any. */
  path: string;
  body?: unknown;
  /** Our request id, so that both services' logs tell one story. */
  requestId?: string;
  signal?: AbortSignal;
}

export interface ServiceClient {
  /**
   * The answer's status (below 500) and parsed body, `undefined` when it has none.
   * @throws Problem `unavailable` when the service is away, too slow, failing, or answers no JSON; the signal's reason when it fired
   */
  call(call: ServiceCall): Promise<{ status: number; body: unknown }>;
  close(): Promise<void>;
}

export function openServiceClient(options: ServiceClientOptions): ServiceClient {
  const timeoutMs = options.timeoutMs ?? 2000;
  const base = new URL(options.baseUrl);
  const prefix = base.pathname.replace(/\/+$/, "");
  const pool = new Pool(base.origin, {
    connections: options.connections ?? 16,
    connect: { timeout: timeoutMs },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: options.answerLimitBytes ?? 4_194_304,
  });
  const send = async (call: ServiceCall): Promise<{ status: number; body: unknown }> => {
    const deadline = AbortSignal.timeout(timeoutMs);
    const answer = await pool.request({
      method: call.method,
      path: prefix + call.path,
      headers: headersOf(call, options.token),
      body: call.body === undefined ? null : JSON.stringify(call.body),
      signal: call.signal ? AbortSignal.any([deadline, call.signal]) : deadline,
    });
    const text = await answer.body.text();
    if (answer.statusCode >= 500) throw new Error(`${call.method} ${base.host} answered ${answer.statusCode}`);
    return { status: answer.statusCode, body: text === "" ? undefined : (JSON.parse(text) as unknown) };
  };
  return {
    call: async (call) => {
      try {
        return await send(call);
      } catch (cause) {
        // The caller gave up: that is no trouble of the other service.
        if (call.signal?.aborted) throw call.signal.reason;
        throw new Problem("unavailable", undefined, { cause, headers: { "retry-after": "1" } });
      }
    },
    close: () => pool.destroy(),
  };
}

function headersOf(call: ServiceCall, token: string): Record<string, string> {
  return {
    authorization: `Bearer ${token}`,
    accept: "application/json",
    ...(call.requestId === undefined ? {} : { "x-request-id": call.requestId }),
    ...(call.body === undefined ? {} : { "content-type": "application/json" }),
  };
}
