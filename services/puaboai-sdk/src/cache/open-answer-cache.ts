import type { Clock } from "@nexus/core";
import { CacheUnavailable, openRedis, type RedisTarget } from "@nexus/redis";
import type { Logger } from "@nexus/telemetry";
import { deriveKey } from "../sealing/derive-key.ts";
import { openAnswerEntries, type CacheBounds } from "./answer-entries.ts";
import { type CachedAnswer, openAnswer, sealAnswer } from "./cached-answer.ts";
import { digestRequest } from "./request-digest.ts";

export interface AnswerCache {
  /** Where the answer to a request lies. */
  placeOf(request: Parameters<typeof digestRequest>[1]): AnswerPlace;
  /** `undefined` when there is none, or when nobody can tell within a Redis deadline (50 ms). Never throws. */
  find(place: AnswerPlace, kind: CachedAnswer["kind"]): Promise<CachedAnswer | undefined>;
  /** Returns at once; an answer that cannot be kept is not. */
  put(place: AnswerPlace, ttlSeconds: number, answer: Pick<CachedAnswer, "kind" | "model" | "headers" | "body">): void;
  close(): Promise<void>;
}

interface AnswerPlace {
  organizationId: string;
  digest: string;
}

interface CacheOptions {
  target: RedisTarget;
  bounds: CacheBounds;
  /** What the keys of entries are derived from: the same in every replica. */
  secret: string;
  clock: Clock;
  logger: Logger;
  /** For metrics. */
  count: (event: "hit" | "miss" | "stored" | "failed") => void;
}

/** On a connection of its own: a large answer on a slow line must not make the limits of keys miss their deadlines. */
export function openAnswerCache({ target, bounds, secret, clock, logger, count }: CacheOptions): AnswerCache {
  const redis = openRedis(target, { logger });
  const entries = openAnswerEntries(redis, bounds);
  const macKey = deriveKey(secret, "puaboai-sdk answers digest");
  const sealKey = deriveKey(secret, "puaboai-sdk answers seal");
  const failed = (err: unknown): void => {
    count("failed");
    // That Redis is away its client says once; anything else is worth a line.
    if (!(err instanceof CacheUnavailable)) logger.warn({ err }, "the cache of answers failed");
  };

  async function read(place: AnswerPlace, kind: CachedAnswer["kind"]): Promise<CachedAnswer | undefined> {
    const entry = await entries.get(place);
    if (!entry) return undefined;
    const answer = openAnswer(sealKey, nameOf(place), entry);
    if (!answer) count("failed");
    const isFresh = answer && clock.now() < answer.storedAt + answer.ttlSeconds * 1000;
    return isFresh && answer.kind === kind ? answer : undefined;
  }

  async function write(place: AnswerPlace, answer: CachedAnswer): Promise<void> {
    const sealed = sealAnswer(sealKey, nameOf(place), answer);
    if (await entries.put({ ...place, sealed, ttlSeconds: answer.ttlSeconds })) count("stored");
  }

  return {
    placeOf: (request) => ({ organizationId: request.organizationId, digest: digestRequest(macKey, request) }),
    async find(place, kind) {
      try {
        const answer = await read(place, kind);
        count(answer ? "hit" : "miss");
        return answer;
      } catch (error) {
        failed(error);
        return undefined;
      }
    },
    put(place, ttlSeconds, answer) {
      write(place, { ...answer, ttlSeconds, storedAt: clock.now() }).catch(failed);
    },
    close: () => redis.close(),
  };
}

function nameOf({ organizationId, digest }: AnswerPlace): string {
  return `${organizationId}/${digest}`;
}
