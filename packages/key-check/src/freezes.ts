/**
 * What is frozen, as a process knows it that follows the change feed. The list is loaded before the feed goes on: who says that
 * it has applied a freeze refuses by it, and who cannot load it goes blind.
 */
import type { ChangeFeed } from "@nexus/change-feed";
import { toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import { listOpenFreezes, type OpenFreeze } from "./freezes.store.ts";

/** What somebody is about to use; ids as the API writes them. */
export interface FreezableUse {
  organizationId: string;
  /** `null`: nobody in particular, as with an organization's own key. */
  ownerUserId: string | null;
  environment?: string;
  keyId?: string;
  model?: string;
  provider?: string;
}

export interface Freezes {
  /** False while nothing at all is frozen: then nobody has to ask further. */
  readonly any: boolean;
  refuses(use: FreezableUse): boolean;
  /** False when the list is so old that it may not be relied on: blind, and the blind seconds are over. */
  isKnown(): boolean;
}

interface Holds {
  everywhere: boolean;
  /** Ids of the organizations within which it holds. */
  within: Set<string>;
}

export function openFreezes(feed: ChangeFeed, db: Db): Freezes {
  let frozen = new Map<string, Holds>();
  const load = async (): Promise<void> => {
    frozen = byTarget(await listOpenFreezes(db));
  };
  feed.onReset(load);
  feed.onChange(async ({ kind }) => {
    if (kind === "freeze") await load();
  });
  return {
    get any() {
      return frozen.size > 0;
    },
    refuses: (use) => frozen.size > 0 && targetsOf(use).some((target) => holdsIn(frozen.get(target), use.organizationId)),
    isKnown: () => feed.lease.isSighted() || feed.lease.blindForMs() < feed.blindMs,
  };
}

function byTarget(freezes: readonly OpenFreeze[]): Map<string, Holds> {
  const frozen = new Map<string, Holds>();
  for (const { kind, target, organizationId } of freezes) {
    const name = `${kind} ${target}`;
    const holds = frozen.get(name) ?? { everywhere: false, within: new Set() };
    if (organizationId === null) holds.everywhere = true;
    else holds.within.add(toId("organization", organizationId));
    frozen.set(name, holds);
  }
  return frozen;
}

/** Everything by which this use can be frozen. */
function targetsOf(use: FreezableUse): string[] {
  const targets = ["everything ", `organization ${use.organizationId}`];
  if (use.ownerUserId !== null) targets.push(`owner ${use.ownerUserId}`);
  for (const [kind, target] of Object.entries({
    environment: use.environment,
    key: use.keyId,
    model: use.model,
    provider: use.provider,
  })) {
    if (target !== undefined) targets.push(`${kind} ${target}`);
  }
  return targets;
}

function holdsIn(holds: Holds | undefined, organizationId: string): boolean {
  return holds !== undefined && (holds.everywhere || holds.within.has(organizationId));
}
