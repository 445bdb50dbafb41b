import { randomBytes } from "node:crypto";
import { type Clock, type OrganizationId, newUuid, uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import {
  type AuditActor,
  type AuditBody,
  type AuditContext,
  type AuditOutcome,
  type AuditTarget,
  canonicalEntry,
  commitmentOf,
  macOf,
  schemaVersion,
  writerMacKey,
} from "./audit-entry.ts";
import { insertEntry, type PersonalValue } from "./audit.store.ts";
import type { Json } from "./canonical-json.ts";

export interface AuditEntry {
  /** `area.happened`, such as `key.created`. */
  action: string;
  outcome: AuditOutcome;
  organizationId?: OrganizationId | undefined;
  actor: AuditActor;
  targets: readonly AuditTarget[];
  context: AuditContext;
  /** Facts without personal data; before and after where something changed. */
  details: Readonly<Record<string, Json>>;
  /** Personal facts (an e-mail address, a name): a commitment stands in `details`, the value apart. */
  personal?: Readonly<Record<string, string>> | undefined;
}

export interface AuditWriter {
  readonly writerId: string;
  /** Inserts the entry through `tx`, in one round trip: it commits or vanishes with the change that it describes. */
  write(tx: Db, entry: AuditEntry): Promise<void>;
}

const longestPersonalValue = 1024;

/**
 * A writer with an identity and a sequence of its own, both in every entry: a number that is missing shows.
 * `macKey` is the installation's audit key; each writer's MAC key is derived from it.
 */
export function openAuditWriter(options: { clock: Clock; macKey: string }): AuditWriter {
  const writerId = newUuid(options.clock.now());
  const key = writerMacKey(options.macKey, writerId);
  let lastSeq = 0n;
  return {
    writerId,
    async write(tx, entry) {
      const now = options.clock.now();
      lastSeq += 1n;
      const { body, personal } = describe(entry, { now, writerId, seq: lastSeq });
      const canonical = canonicalEntry(body);
      await insertEntry(tx, { body, canonical, mac: macOf(key, canonical), personal });
    },
  };
}

function describe(entry: AuditEntry, by: { now: number; writerId: string; seq: bigint }) {
  const personal: PersonalValue[] = [];
  const commit = (field: string, value: string): string => {
    const kept = storable(value).slice(0, longestPersonalValue).toWellFormed();
    const salt = randomBytes(16);
    personal.push({ field, salt, value: kept });
    return commitmentOf(salt, kept);
  };
  const { ip, user_agent, ...context } = entry.context;
  const body: AuditBody = {
    id: newUuid(by.now),
    occurred_at: new Date(by.now).toISOString(),
    organization_id: entry.organizationId === undefined ? null : rowId(entry.organizationId),
    action: entry.action,
    outcome: entry.outcome,
    actor: members({ ...entry.actor }),
    targets: entry.targets.map((target) => members({ ...target })),
    context: {
      ...members(context),
      ...(ip ? { ip: commit("context.ip", ip) } : {}),
      ...(user_agent ? { user_agent: commit("context.user_agent", user_agent) } : {}),
    },
    details: {
      ...members(entry.details),
      ...Object.fromEntries(
        Object.entries(entry.personal ?? {}).map(([name, value]) => [name, commit(`details.${name}`, value)]),
      ),
    },
    schema_version: schemaVersion,
    writer_id: by.writerId,
    writer_seq: by.seq.toString(),
  };
  return { body, personal };
}

function rowId(organizationId: OrganizationId): string {
  const uuid = uuidOf("organization", organizationId);
  if (uuid === undefined) throw new TypeError("an audit entry needs a whole organization id");
  return uuid;
}

function members(value: Readonly<Record<string, Json | undefined>>): Record<string, Json> {
  return storableJson(value) as Record<string, Json>;
}

/** PostgreSQL stores neither U+0000 nor a lone surrogate. A caller who sends one must not be able to keep an entry from being written. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll("\u0000", "\ufffd");
}

function storableJson(value: Json | undefined): Json | undefined {
  if (typeof value === "string") return storable(value);
  if (Array.isArray(value)) return value.map((item) => storableJson(item as Json) ?? null);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries.map(([name, member]) => [storable(name), storableJson(member)]));
}
