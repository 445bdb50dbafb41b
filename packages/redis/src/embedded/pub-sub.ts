import type { Reply } from "./reply.ts";

export interface Subscriber {
  readonly channels: Set<string>;
  push(reply: Reply): void;
}

/** Who listens to which channel. Messages are kept for nobody. */
export class PubSub {
  readonly #subscribers = new Map<string, Set<Subscriber>>();

  subscribe(subscriber: Subscriber, channel: string): void {
    subscriber.channels.add(channel);
    const listening = this.#subscribers.get(channel) ?? new Set();
    this.#subscribers.set(channel, listening.add(subscriber));
  }

  unsubscribe(subscriber: Subscriber, channel: string): void {
    subscriber.channels.delete(channel);
    const listening = this.#subscribers.get(channel);
    listening?.delete(subscriber);
    if (listening?.size === 0) this.#subscribers.delete(channel);
  }

  leave(subscriber: Subscriber): void {
    for (const channel of subscriber.channels) this.unsubscribe(subscriber, channel);
  }

  count(channel: string): number {
    return this.#subscribers.get(channel)?.size ?? 0;
  }

  /** @returns how many it was sent to */
  publish(channel: string, message: string): number {
    const listening = this.#subscribers.get(channel);
    for (const subscriber of listening ?? []) subscriber.push(["message", channel, message]);
    return listening?.size ?? 0;
  }
}
