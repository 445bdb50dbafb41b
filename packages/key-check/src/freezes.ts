/**
 * What is frozen, as a process knows it that follows the change feed. The list is loaded before the feed goes on: who says that
 * it has applied a freeze refuses by it, and who cannot load it goes blind.
 */
import type { ChangeFeed } from "@nexus/change-feed";
import type { FrozenTarget } from "@nexus/contracts/key-record";
import { Problem, toId } from "@nexus/core";
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
  /** Goes by the list while it is known, else by what was heard last of the organization. */
  refuses(use: FreezableUse): boolean;
  /** What refuses it, the widest first; `undefined`: nothing. */
  find(use: FreezableUse): FrozenTarget | undefined;
  /** False when the list is so old that it may not be relied on: blind, and the blind seconds are over. */
  isKnown(): boolean;
  /** What holds within an organization. */
  within(organizationId: string): FrozenTarget[];
  /** What holds within an organization, as somebody said who can tell. */
  hear(organizationId: string, freezes: readonly FrozenTarget[]): void;
}

interface Holds extends FrozenTarget {
  everywhere: boolean;
  /** Ids of the organizations within which it holds. */
  organizations: Set<string>;
}

/** Organizations of which something is remembered by hearsay; past that all are forgotten, and asked about again. */
const mostHeard = 10_000;

export function openFreezes(feed: ChangeFeed, db: Db): Freezes {
  let frozen = new Map<string, Holds>();
  const heard = new Map<string, Set<string>>();
  const load = async (): Promise<void> => {
    frozen = byTarget(await listOpenFreezes(db));
  };
  feed.onReset(load);
  feed.onChange(async ({ kind }) => {
    if (kind === "freeze") await load();
  });
  const isKnown = (): boolean => feed.lease.isSighted() || feed.lease.blindForMs() < feed.blindMs;
  const find = (use: FreezableUse): FrozenTarget | undefined => {
    if (isKnown()) heard.clear();
    const hearsay = heard.get(use.organizationId);
    return targetsOf(use).find(({ kind, target }) => {
      const name = nameOf(kind, target);
      return hearsay ? hearsay.has(name) : holdsIn(frozen.get(name), use.organizationId);
    });
  };
  return {
    get any() {
      return frozen.size > 0 || heard.size > 0;
    },
    refuses: (use) => find(use) !== undefined,
    find,
    isKnown,
    within: (organizationId) =>
      [...frozen.values()].filter((holds) => holdsIn(holds, organizationId)).map(({ kind, target }) => ({ kind, target })),
    hear: (organizationId, freezes) => {
      if (heard.size >= mostHeard) heard.clear();
      heard.set(organizationId, new Set(freezes.map(({ kind, target }) => nameOf(kind, target))));
    },
  };
}

function byTarget(freezes: readonly OpenFreeze[]): Map<string, Holds> {
  const frozen = new Map<string, Holds>();
  for (const { kind, target, organizationId } of freezes) {
    const name = nameOf(kind, target);
    const holds = frozen.get(name) ?? { kind, target, everywhere: false, organizations: new Set() };
    if (organizationId === null) holds.everywhere = true;
    else holds.organizations.add(toId("organization", organizationId));
    frozen.set(name, holds);
  }
  return frozen;
}

/** Everything by which this use can be frozen, the widest first. */
function targetsOf(use: FreezableUse): FrozenTarget[] {
  const { organizationId, ownerUserId, environment, keyId, model, provider } = use;
  const targets: FrozenTarget[] = [
    { kind: "everything", target: "" },
    { kind: "organization", target: organizationId },
  ];
  if (ownerUserId !== null) targets.push({ kind: "owner", target: ownerUserId });
  if (environment !== undefined) targets.push({ kind: "environment", target: environment });
  if (keyId !== undefined) targets.push({ kind: "key", target: keyId });
  if (model !== undefined) targets.push({ kind: "model", target: model });
  if (provider !== undefined) targets.push({ kind: "provider", target: provider });
  return targets;
}

/** What a caller is told: the kind of what is frozen, by name only what they called. Never who froze it, or why. */
export function frozenProblem({ kind, target }: FrozenTarget): Problem {
  const named = kind === "model" || kind === "provider" ? { frozen_target: target } : {};
  return new Problem("frozen", details[kind], { extensions: { frozen: kind, ...named } });
}

const details: Readonly<Record<FrozenTarget["kind"], string>> = {
  everything: "Everything is frozen at the moment.",
  organization: "The organization is frozen at the moment.",
  owner: "The person whose call this is, or to whom the key belongs, is frozen at the moment.",
  environment: "The environment of the key is frozen at the moment.",
  key: "The key is frozen at the moment.",
  model: "The model is frozen at the moment.",
  provider: "The provider of the model is frozen at the moment.",
};

function nameOf(kind: FrozenTarget["kind"], target: string): string {
  return `${kind} ${target}`;
}

function holdsIn(holds: Holds | undefined, organizationId: string): boolean {
  return holds !== undefined && (holds.everywhere || holds.organizations.has(organizationId));
}
