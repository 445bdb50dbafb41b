/** Vitest starts this once a run: one embedded PostgreSQL in a folder of its own, and in it a migrated template. */
import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureRoles, executeStatements, migrate, startEmbeddedPostgres } from "@nexus/db";
import type { TestProject } from "vitest/node";
import { templateDatabase, type TestCluster } from "./test-cluster.ts";

const prefix = "nexus-test-";

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  await removeAbandoned();
  const directory = await mkdtemp(join(tmpdir(), prefix));
  // As root, PostgreSQL runs as another user, who must be able to enter.
  await chmod(directory, 0o755);
  const postgres = await startEmbeddedPostgres({
    dataDirectory: join(directory, "postgres"),
    path: process.env["PATH"] ?? "",
    // The cluster lives as long as the run: nobody will read it after a power failure.
    settings: { fsync: "off", full_page_writes: "off", max_connections: "400" },
    drainMs: 50,
  });
  const owner = { ...postgres.connection, database: templateDatabase };
  const cluster: TestCluster = {
    owner: { ...owner },
    passwords: { nexus_api: newPassword(), nexus_ai: newPassword(), nexus_keys: newPassword() },
  };
  await executeStatements(postgres.connection, "nexus-testing", [`CREATE DATABASE ${templateDatabase}`]);
  await ensureRoles(owner, cluster.passwords);
  await migrate(owner);
  project.provide("nexusTestCluster", cluster);
  return async () => {
    await postgres.stop();
    await rm(postgres.dataDirectory, { recursive: true, force: true });
    await rm(directory, { recursive: true, force: true });
  };
}

function newPassword(): string {
  return randomBytes(18).toString("base64url");
}

/** A run that was killed left its PostgreSQL running. Runs that are still at work hold their folder, and keep it. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const dataDirectory = join(tmpdir(), name, "postgres");
    if (!name.startsWith(prefix) || !(await isThere(join(dataDirectory, "owner.json")))) continue;
    try {
      const left = await startEmbeddedPostgres({ dataDirectory, path: process.env["PATH"] ?? "" });
      await left.stop();
      await rm(left.dataDirectory, { recursive: true, force: true });
      await rm(join(tmpdir(), name), { recursive: true, force: true });
    } catch {
      // In use, or not ours.
    }
  }
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
