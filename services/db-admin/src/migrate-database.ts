import { loadConfig } from "@nexus/config";
import {
  connectionFrom,
  databaseFields,
  databaseRules,
  ensureRoles,
  migrate,
  migrationStatus,
  type MigrationStep,
} from "@nexus/db";
import { migrateFields } from "./config.ts";
import { actor, withOwner } from "./open-owner.ts";
import type { Program } from "./run-db-admin.ts";

/** Makes the roles, then applies what is pending. A dry run says what it would apply, and changes nothing. */
export async function migrateDatabase(program: Program, dryRun: boolean): Promise<void> {
  if (dryRun) {
    const config = loadConfig(databaseFields, program.env, databaseRules);
    const { applied } = await migrate(connectionFrom(config), { dryRun });
    for (const name of applied) program.print(`would apply ${name}`);
    if (applied.length === 0) program.print("nothing to apply");
    return;
  }
  const config = loadConfig(migrateFields, program.env, databaseRules);
  const owner = connectionFrom(config);
  await ensureRoles(owner, {
    nexus_api: config.NEXUS_API_DB_PASSWORD,
    nexus_ai: config.NEXUS_AI_DB_PASSWORD,
    nexus_keys: config.NEXUS_KEYS_DB_PASSWORD,
  });
  const { applied, earlier } = await migrate(owner, { onStep: (step) => program.print(sentenceFor(step)) });
  if (applied.length > 0 && config.NEXUS_AUDIT_KEY !== undefined) await recordMigrations(owner, config.NEXUS_AUDIT_KEY, applied);
  program.print(`the schema is up to date: ${applied.length} applied now, ${earlier.length} before`);
}

/** What was applied, what is pending; throws when files and database disagree. */
export async function showMigrations(program: Program): Promise<void> {
  const config = loadConfig(databaseFields, program.env, databaseRules);
  const { applied, pending, drift } = await migrationStatus(connectionFrom(config));
  for (const { name, appliedAt } of applied) program.print(`applied ${appliedAt.toISOString()} ${name}`);
  for (const name of pending) program.print(`pending ${name}`);
  if (drift.length > 0) throw new Error(drift.join("\n"));
}

async function recordMigrations(owner: Parameters<typeof withOwner>[0], auditKey: string, applied: string[]): Promise<void> {
  await withOwner(owner, auditKey, async ({ db, audit }) => {
    await audit.write(db, {
      action: "schema.migrated",
      outcome: "success",
      actor,
      targets: applied.map((id) => ({ kind: "migration", id })),
      context: {},
      details: { applied: applied.length },
    });
  });
}

function sentenceFor(step: MigrationStep): string {
  if (step.kind === "waiting") return `waiting for another migration: ${step.for}`;
  if (step.kind === "applying") return `applying ${step.name}`;
  if (step.kind === "applied") return `applied ${step.name} in ${step.durationMs} ms`;
  return `monthly partitions: ${step.made} made`;
}
