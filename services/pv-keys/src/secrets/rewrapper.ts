/** Works off runs of rewrapping in the background. Every process does, beside the others; all that is known of a run is in its tables. */
import { setTimeout as delay } from "node:timers/promises";
import { inTransaction } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";
import { findKey, type KeyEncryption } from "./key-encryption.ts";
import { rewrapBatch } from "./rewrap-batch.ts";
import { countRemaining, findRunning, type RewrapRow } from "./rewraps.store.ts";
import type { SecretDeps } from "./secret-deps.ts";
import { endRewrap } from "./start-rewrap.ts";

export interface Rewrapper {
  /** There may be something to do. Returns at once. */
  wake(): void;
  /** Lets the batch under way end. */
  close(): Promise<void>;
}

const waitMs = 500;
const longestWaitMs = 15_000;

export function openRewrapper(deps: SecretDeps & { logger: Pick<Logger, "info" | "warn"> }): Rewrapper {
  const closing = new AbortController();
  let wanted = false;
  let working: Promise<void> | undefined;

  async function work(encryption: KeyEncryption): Promise<void> {
    let failures = 0;
    while (!closing.signal.aborted) {
      wanted = false;
      try {
        const next = await step(deps, encryption);
        failures = 0;
        if (next === "idle" && !wanted) return;
        if (next === "wait") await pause(waitMs);
      } catch (error) {
        if (failures++ === 0) deps.logger.warn({ event: "secret_rewrap", err: error }, "rewrapping has to wait; trying again");
        await pause(Math.min(longestWaitMs, waitMs * 2 ** Math.min(failures, 10)));
      }
    }
  }

  /** By chance, so that replicas do not look in step. */
  async function pause(ms: number): Promise<void> {
    await delay(ms * (0.5 + Math.random()), undefined, { signal: closing.signal }).catch(() => {});
  }

  const wake = (): void => {
    const { keyEncryption } = deps;
    wanted = true;
    if (!keyEncryption || closing.signal.aborted) return;
    working ??= work(keyEncryption).finally(() => {
      working = undefined;
      // Woken between the last look and this moment.
      if (wanted) wake();
    });
  };
  return {
    wake,
    close: async () => {
      closing.abort();
      await working;
    },
  };
}

/** One batch. `idle`: there is no run that this process can help; `wait`: the rest is in other hands. */
async function step(
  deps: SecretDeps & { logger: Pick<Logger, "info"> },
  encryption: KeyEncryption,
): Promise<"again" | "idle" | "wait"> {
  await deps.keyEncryptionCheck.confirm();
  const rewrap = await findRunning(deps.db);
  const to = rewrap && findKey(encryption, rewrap.to_fingerprint);
  if (!rewrap || !to) return "idle";
  if ((await rewrapBatch(deps.db, encryption, rewrap, to)) > 0) return "again";
  if ((await countRemaining(deps.db, rewrap)) > 0) return "wait";
  await finish(deps, rewrap);
  return "again";
}

async function finish(deps: SecretDeps & { logger: Pick<Logger, "info"> }, { id }: RewrapRow): Promise<void> {
  const ended = await inTransaction(deps.db, (tx) => endRewrap(deps, tx, id, { superseded: false }));
  if (!ended) return;
  const { done, failed } = ended;
  deps.logger.info({ event: "secret_rewrap", done: Number(done), failed: Number(failed) }, "every data key was rewrapped");
}
