import type { Replica } from "./replica.ts";

/** One call of the fake provider's model through a gateway. @returns the status, 0 when there was no answer */
export async function chat(gateway: Replica, secret: string): Promise<number> {
  try {
    const answer = await openChat(gateway, secret);
    await answer.arrayBuffer();
    return answer.status;
  } catch {
    return 0;
  }
}

/** The answer as it begins. */
export function openChat(gateway: Replica, secret: string, options: { stream?: boolean } = {}): Promise<Response> {
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "chat", messages: [{ role: "user", content: "hello" }], ...options }),
    signal: AbortSignal.timeout(15_000),
  });
}
