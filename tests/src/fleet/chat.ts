import type { Replica } from "./replica.ts";

/** One call of the fake provider's model through a gateway. @returns the status, 0 when there was no answer */
export async function chat(gateway: Replica, secret: string): Promise<number> {
  try {
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "chat", messages: [{ role: "user", content: "hello" }] }),
      signal: AbortSignal.timeout(15_000),
    });
    await answer.arrayBuffer();
    return answer.status;
  } catch {
    return 0;
  }
}
