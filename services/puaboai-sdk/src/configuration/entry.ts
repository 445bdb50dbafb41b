/** A provider, a model or a route that was set by API. */
import type { FieldError } from "@nexus/core";

export const entryKinds = ["provider", "model", "route"] as const;
export type EntryKind = (typeof entryKinds)[number];

export interface Entry {
  /** UUID. */
  id: string;
  kind: EntryKind;
  /** A provider's name, or the id of a model or route. */
  name: string;
  /** As it would stand in gateway.yaml, without its name. */
  document: Readonly<Record<string, unknown>>;
  /** Counts its changes, from 1. */
  version: number;
  createdAt: Date;
  updatedAt: Date;
  /** `usr_…` */
  updatedBy: string;
}

/** One that does not count, and why. */
export interface SetAside {
  kind: EntryKind;
  name: string;
  faults: readonly FieldError[];
}
