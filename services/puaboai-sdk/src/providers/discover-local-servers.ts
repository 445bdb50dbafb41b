import { listOf, textOf } from "../json/members.ts";

/** Model servers that people run beside the gateway, at the ports they take when nothing is configured. */
const usualPorts = { ollama: 11_434, "lm-studio": 1_234, "llama-server": 8_080 } as const;

/** An OpenAI-compatible server found on this machine. */
export interface LocalServer {
  /** The name its port goes by: `ollama`. A guess, as any program may take a port. */
  name: string;
  /** `http://127.0.0.1:11434/v1` */
  baseUrl: string;
  /** The model ids it lists, as it spells them. */
  models: string[];
}

export interface DiscoveryOptions {
  ports?: Readonly<Record<string, number>>;
  /** For each server, answer read to its end. */
  timeoutMs?: number;
}

const largestAnswerBytes = 256 * 1024;
const mostModels = 200;
const modelId = /^[\x21-\x7e]{1,200}$/;

/**
 * Asks each port on 127.0.0.1 once, all at the same time, for `GET /v1/models`. Never throws: a port where nothing, something
 * else, something slow or something endless answers is left out. Other hosts are never asked and redirects never followed.
 */
export async function discoverLocalServers(options: DiscoveryOptions = {}): Promise<LocalServer[]> {
  const { ports = usualPorts, timeoutMs = 300 } = options;
  const found = await Promise.all(
    Object.entries(ports).map(async ([name, port]) => {
      const baseUrl = `http://127.0.0.1:${port}/v1`;
      const models = await listModels(`${baseUrl}/models`, AbortSignal.timeout(timeoutMs)).catch(() => []);
      return { name, baseUrl, models };
    }),
  );
  return found.filter((server) => server.models.length > 0);
}

async function listModels(url: string, signal: AbortSignal): Promise<string[]> {
  const response = await fetch(url, { signal, redirect: "error", headers: { accept: "application/json" } });
  if (response.status !== 200) {
    await response.body?.cancel();
    return [];
  }
  const ids = listOf(JSON.parse(await readBounded(response)), "data").map((model) => textOf(model, "id"));
  return ids.filter((id): id is string => id !== undefined && modelId.test(id)).slice(0, mostModels);
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    // Leaving the loop cancels the body and closes the connection.
    if (bytes > largestAnswerBytes) throw new Error("the answer is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
