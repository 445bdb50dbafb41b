/** What administrators do to the configuration. Each with its audit entry, and word to every gateway process, in one transaction. */
import type { AuditWriter } from "@nexus/audit";
import { type ChangeDeps, inChangeTransaction, recordGatewayChange } from "@nexus/change-feed";
import { type Clock, newUuid, Problem } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { ChangedBy } from "@nexus/http";
import { deleteEntry, fileSubject, listEntries, lockEntries, upsertEntry } from "./entries.store.ts";
import type { Entry, SetAside } from "./entry.ts";
import type { LiveConfiguration } from "./live-configuration.ts";
import { mergeSettings } from "./merge-settings.ts";

export interface ConfigurationDeps extends ChangeDeps {
  audit: AuditWriter;
  clock: Clock;
  configuration: LiveConfiguration;
}

/** What the caller believes to be there. */
export interface Precondition {
  ifMatch: string | undefined;
  ifNoneMatch: string | undefined;
}

type Named = Pick<Entry, "kind" | "name">;

/** An entity-tag (RFC 9110 §8.8.3): an entry that is made again has another id, so none of them comes twice. */
export function etagOf({ id, version }: Pick<Entry, "id" | "version">): string {
  return `"${id}.${version}"`;
}

/**
 * Sets an entry; this process has it in force when it answers, the others within the bound of the change feed.
 * @throws Problem `configuration_refused`, `conflict` where gateway.yaml has one of that name or where others would no longer fit,
 * `precondition_failed`, `precondition_required`
 */
export async function setEntry(
  deps: ConfigurationDeps,
  entry: Pick<Entry, "kind" | "name" | "document">,
  { precondition, by }: { precondition: Precondition; by: ChangedBy },
): Promise<Entry> {
  return await commit(deps, async (tx) => {
    const before = await listEntries(tx);
    const known = find(before, entry);
    requireVersion(known, precondition);
    const id = known?.id ?? newUuid(deps.clock.now());
    const after = await upsertEntry(tx, { ...entry, id, updatedBy: by.caller.userId });
    const all = known ? before.map((one) => (one === known ? after : one)) : [...before, after];
    refuseUnfit(deps.configuration, { before, after: all, entry });
    await write(tx, deps, by, { action: known ? "updated" : "created", entry: after });
    return after;
  });
}

/** @throws Problem `not_found`, `conflict` when something uses it, `precondition_failed` */
export async function removeEntry(
  deps: ConfigurationDeps,
  named: Named,
  { precondition, by }: { precondition: Precondition; by: ChangedBy },
): Promise<void> {
  await commit(deps, async (tx) => {
    const before = await listEntries(tx);
    const known = find(before, named);
    if (!known && isInFile(deps.configuration, named)) throw new Problem("conflict", inFile(deps, named));
    if (!known) throw new Problem("not_found", `There is no ${named.kind} of this name.`);
    requireVersion(known, precondition);
    await deleteEntry(tx, known.id);
    refuseUnfit(deps.configuration, { before, after: before.filter((one) => one !== known) });
    await write(tx, deps, by, { action: "deleted", entry: known });
    return known;
  });
}

/** Has every gateway process read its file again. */
export async function recordReload(deps: ConfigurationDeps, { caller, context }: ChangedBy): Promise<void> {
  await inChangeTransaction(deps, async (tx) => {
    await deps.audit.write(tx, {
      action: "gateway.reload_requested",
      outcome: "success",
      actor: { kind: "person", id: caller.userId },
      targets: [{ kind: "gateway_configuration", id: "file" }],
      context,
      details: {},
    });
    await recordSettingsChange(tx, fileSubject);
  });
}

function find(entries: readonly Entry[], { kind, name }: Named): Entry | undefined {
  return entries.find((one) => one.kind === kind && one.name === name);
}

async function commit(deps: ConfigurationDeps, work: (tx: Db) => Promise<Entry>): Promise<Entry> {
  const entry = await inChangeTransaction(deps, async (tx) => {
    await lockEntries(tx);
    const done = await work(tx);
    await recordSettingsChange(tx, done.id);
    return done;
  });
  await deps.configuration.takeEntries(() => listEntries(deps.db));
  return entry;
}

async function recordSettingsChange(tx: Db, subjectId: string): Promise<void> {
  await recordGatewayChange(tx, { kind: "gateway_settings", subjectId, organizationId: null });
}

/** What is there is changed only by those who know it. */
function requireVersion(known: Entry | undefined, { ifMatch, ifNoneMatch }: Precondition): void {
  if (ifNoneMatch !== undefined && known) throw new Problem("precondition_failed");
  if (ifMatch !== undefined && !matches(ifMatch, known)) throw new Problem("precondition_failed");
  if (known && ifMatch === undefined) throw new Problem("precondition_required", "Send its etag in If-Match.");
}

function matches(ifMatch: string, known: Entry | undefined): boolean {
  if (!known) return false;
  const tags = ifMatch.split(",").map((tag) => tag.trim());
  return tags.includes("*") || tags.includes(etagOf(known));
}

interface Fit {
  before: readonly Entry[];
  after: readonly Entry[];
  /** The one that is set; absent: one is taken away. */
  entry?: Named;
}

function refuseUnfit({ file, tools }: LiveConfiguration, { before, after, entry }: Fit): void {
  const was = mergeSettings(file, before, tools).setAside;
  const now = mergeSettings(file, after, tools).setAside;
  const own = entry && now.find((one) => isOf(one, entry));
  if (own) {
    const [first] = own.faults;
    if (first?.pointer === "") throw new Problem("conflict", `${own.name} ${first.detail}.`);
    throw new Problem("configuration_refused", undefined, { errors: [...own.faults] });
  }
  const fallen = now.filter((one) => !was.some((other) => isOf(other, one)));
  if (fallen.length === 0) return;
  const names = fallen.map(({ kind, name }) => `the ${kind} ${name}`).join(", ");
  throw new Problem("conflict", `It is used as it is by ${names}.`);
}

function isOf(one: SetAside, { kind, name }: Named): boolean {
  return one.kind === kind && one.name === name;
}

function isInFile({ file }: LiveConfiguration, { kind, name }: Named): boolean {
  if (kind === "provider") return file.providers.some((one) => one.name === name);
  return file[kind === "model" ? "models" : "routes"].some(({ id }) => id === name);
}

function inFile({ configuration }: ConfigurationDeps, named: Named): string | undefined {
  return isInFile(configuration, named) ? "It stands in gateway.yaml, and is changed there." : undefined;
}

async function write(
  tx: Db,
  { audit }: ConfigurationDeps,
  { caller, context }: ChangedBy,
  { action, entry }: { action: "created" | "updated" | "deleted"; entry: Entry },
): Promise<void> {
  const { kind, name, version, document } = entry;
  await audit.write(tx, {
    action: `gateway_${kind}.${action}`,
    outcome: "success",
    actor: { kind: "person", id: caller.userId },
    targets: [{ kind: `gateway_${kind}`, id: name }],
    context,
    // The document holds no secret; what it says is what later calls did.
    details: { version, document: action === "deleted" ? null : JSON.stringify(document) },
  });
}
