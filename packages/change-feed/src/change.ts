/** What the feed speaks of, and how the fast path spells it. */
import type { Tables } from "@nexus/db";

export interface Change {
  /** Its place in the feed: gap-free and in commit order within one generation. */
  readonly rev: number;
  readonly kind: Tables["changes"]["kind"];
  /** The uuid of what changed. */
  readonly subjectId: string;
  readonly organizationId: string | null;
}

/** A change that was committed, said aloud so that nobody waits for the next look at the feed. */
export interface Hint extends Change {
  readonly generation: string;
}

/** A verifier says that it has applied everything up to `rev`. */
export interface Acknowledgement {
  readonly generation: string;
  readonly verifierId: string;
  readonly rev: number;
}

export const hintChannel = "nexus:changes";
export const acknowledgementChannel = "nexus:changes:applied";

/** Whatever else may be on the channel is not for us. */
export function parseHint(message: string): Hint | undefined {
  return parseRevision(message) as Hint | undefined;
}

export function parseAcknowledgement(message: string): Acknowledgement | undefined {
  return parseRevision(message) as Acknowledgement | undefined;
}

function parseRevision(message: string): { generation: string; rev: number } | undefined {
  try {
    const value = JSON.parse(message) as { generation: string; rev: number } | null;
    return value !== null && typeof value.generation === "string" && Number.isSafeInteger(value.rev) ? value : undefined;
  } catch {
    return undefined;
  }
}
