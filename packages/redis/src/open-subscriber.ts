/** Listens to channels on a connection of its own, as a subscribed connection can do nothing else. */
import { Redis } from "ioredis";
import type { RedisTarget } from "./redis-target.ts";

export interface Subscriber {
  close(): void;
}

export interface SubscriberOptions {
  /** Called each time that the subscription stands: what was said before was missed. */
  onListening?: () => void;
}

/** Milliseconds without a byte after which a connection is taken for dead: a probe is sent every third of it. */
const silenceMs = 9000;

/**
 * Calls the listener of a channel with each message, as long as Redis is there. What is said while it is away is missed: a
 * message may only ever be a hint to look.
 */
export function openSubscriber(
  target: RedisTarget,
  channels: Readonly<Record<string, (message: string) => void>>,
  options: SubscriberOptions = {},
): Subscriber {
  const client = new Redis(target.url, {
    lazyConnect: true,
    protocol: 2,
    maxRetriesPerRequest: null,
    enableReadyCheck: false,
    // It is done below: the client's own promise for it is nobody's, and ends the process when the connection closes before the reply.
    autoResubscribe: false,
    connectTimeout: 2000,
    retryStrategy: (attempt) => 50 + Math.floor(Math.random() * Math.min(2000, 100 * 2 ** Math.min(attempt, 5))),
  });
  // Whether Redis is away is what the cache's own connection reports.
  client.on("error", () => {});
  client.on("message", (channel: string, message: string) => channels[channel]?.(message));
  client.on("ready", () => {
    client.subscribe(...Object.keys(channels)).then(
      () => options.onListening?.(),
      () => {},
    );
  });
  const stopProbing = probeSilence(client);
  client.connect().catch(() => {});
  return {
    close: () => {
      stopProbing();
      client.disconnect();
    },
  };
}

/** A peer that vanished without a word leaves a connection that looks alive; whoever does not answer is dialled anew. */
function probeSilence(client: Redis): () => void {
  let heard = performance.now();
  client.on("connect", () => {
    heard = performance.now();
    client.stream.on("data", () => void (heard = performance.now()));
  });
  const timer = setInterval(() => {
    if (client.status !== "ready") return;
    if (performance.now() - heard > silenceMs) client.stream.destroy();
    else client.ping().catch(() => {});
  }, silenceMs / 3);
  timer.unref();
  return () => clearInterval(timer);
}
