/** One call each, all at once: whole and streamed, some given up in the middle, some that the upstream fails. */
import { Agent, request as httpRequest } from "node:http";

interface Calls {
  urls: readonly string[];
  secret: string;
  count: number;
}

/** @returns for each call, its status; 0: no answer, as from a process that died, or given up by the caller */
export function callAtOnce({ urls, secret, count }: Calls): Promise<number>[] {
  const agent = new Agent({ maxSockets: Infinity });
  return Array.from({ length: count }, (_, index) => call(agent, urls[index % urls.length] ?? "", secret, index));
}

function call(agent: Agent, url: string, secret: string, index: number): Promise<number> {
  const body = JSON.stringify({
    model: "bench",
    max_tokens: 20 + (index % 40),
    stream: index % 3 === 0,
    messages: [{ role: "user", content: "hello" }],
    ...(index % 13 === 0 ? { user: "fails" } : {}),
  });
  const headers = { authorization: `Bearer ${secret}`, "content-type": "application/json", "content-length": body.length };
  return new Promise((resolve) => {
    const request = httpRequest(`${url}/v1/chat/completions`, { method: "POST", headers, agent }, (answer) => {
      answer.resume();
      answer.once("end", () => resolve(answer.statusCode ?? 0));
      answer.once("error", () => resolve(0));
      if (index % 11 === 0) setTimeout(() => request.destroy(), 20);
    });
    request.once("error", () => resolve(0));
    request.setTimeout(20_000, () => request.destroy());
    request.end(body);
  });
}
