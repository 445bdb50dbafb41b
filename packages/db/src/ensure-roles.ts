import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type Client, escapeIdentifier, escapeLiteral } from "pg";
import type { Connection } from "./connection.ts";
import { withClient } from "./with-client.ts";

export const serviceRoles = ["nexus_api", "nexus_ai", "nexus_keys"] as const;
export type ServiceRole = (typeof serviceRoles)[number];

/**
 * Where a session of the role begins, also by hand: nobody holds a row lock for ever. They are no wall: PostgreSQL lets every
 * session change them for itself, and has no privilege that could be taken away from it.
 */
const roleSettings = {
  search_path: "public",
  statement_timeout: "30s",
  lock_timeout: "10s",
  idle_in_transaction_session_timeout: "30s",
} as const;

interface RoleAttributes {
  rolsuper: boolean;
  rolcreaterole: boolean;
  rolcreatedb: boolean;
  rolreplication: boolean;
  rolbypassrls: boolean;
}

/**
 * Makes the three roles that the services log in as, or brings existing ones to what they must be. Idempotent, and safe
 * when several processes do it at once.
 * @param owner a superuser, or a role with CREATEROLE that owns the database
 */
export async function ensureRoles(owner: Connection, passwords: Readonly<Record<ServiceRole, string>>): Promise<void> {
  await withClient(owner, "nexus-migrate", async (client) => {
    for (let attempt = 1; ; attempt++) {
      try {
        await ensureAll(client, owner.database, passwords);
        return;
      } catch (error) {
        await client.query("ROLLBACK");
        if (attempt === 10 || !isRace(error)) throw error;
        await delay(20 * attempt);
      }
    }
  });
}

/** Roles belong to the whole cluster, an advisory lock to one database: two databases' owners can still meet here. */
function isRace(error: unknown): boolean {
  const { code, message } = error as { code?: string; message: string };
  return code === "23505" || code === "42710" || (code === "XX000" && message.includes("concurrently"));
}

async function ensureAll(client: Client, database: string, passwords: Readonly<Record<ServiceRole, string>>): Promise<void> {
  await client.query("BEGIN");
  await client.query("SELECT pg_advisory_xact_lock(hashtext('nexus.ensure_roles'))");
  const name = escapeIdentifier(database);
  for (const role of serviceRoles) {
    await ensureRole(client, role, passwords[role]);
    // A role may keep other bounds for itself, and those of one database count before those of all.
    await client.query(`ALTER ROLE ${role} IN DATABASE ${name} RESET ALL`);
  }
  // PostgreSQL lets everybody log in to a new database and make temporary tables there.
  await client.query(`REVOKE CONNECT, TEMPORARY ON DATABASE ${name} FROM PUBLIC`);
  await client.query(`GRANT CONNECT ON DATABASE ${name} TO ${serviceRoles.join(", ")}`);
  await closeMaintenanceDatabases(client);
  await client.query("COMMIT");
}

/**
 * The services have no business in the databases that every cluster comes with; PUBLIC may log in to those. Only a cluster
 * without other users is closed, as they may rely on it, and only by a superuser.
 */
async function closeMaintenanceDatabases(client: Client): Promise<void> {
  const { rows } = await client.query<{ datname: string }>(
    `SELECT datname FROM pg_database WHERE datname IN ('postgres', 'template1')
      AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
      AND NOT EXISTS (SELECT FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND rolname <> ALL ($1))
      AND has_database_privilege('${serviceRoles[0]}', oid, 'CONNECT')`,
    [serviceRoles],
  );
  for (const { datname } of rows) await client.query(`REVOKE CONNECT ON DATABASE ${escapeIdentifier(datname)} FROM PUBLIC`);
}

async function ensureRole(client: Client, role: ServiceRole, password: string): Promise<void> {
  const found = await client.query<RoleAttributes>(
    "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = $1",
    [role],
  );
  const attributes = found.rows[0];
  if (!attributes) await client.query(`CREATE ROLE ${role}`);
  // Only a superuser may even repeat NOSUPERUSER, so it is said only where it changes something.
  const excess = attributes ? excessOf(attributes) : "";
  const verifier = escapeLiteral(scramVerifier(password));
  await client.query(`ALTER ROLE ${role} LOGIN NOINHERIT ${excess} PASSWORD ${verifier}`);
  await client.query(`ALTER ROLE ${role} RESET ALL`);
  for (const [name, value] of Object.entries(roleSettings)) {
    await client.query(`ALTER ROLE ${role} SET ${name} = ${escapeLiteral(value)}`);
  }
}

function excessOf(attributes: RoleAttributes): string {
  const words: string[] = [];
  if (attributes.rolsuper) words.push("NOSUPERUSER");
  if (attributes.rolcreaterole) words.push("NOCREATEROLE");
  if (attributes.rolcreatedb) words.push("NOCREATEDB");
  if (attributes.rolreplication) words.push("NOREPLICATION");
  if (attributes.rolbypassrls) words.push("NOBYPASSRLS");
  return words.join(" ");
}

const iterations = 4096;

/**
 * What PostgreSQL itself would store (RFC 5803, RFC 7677). Computed here, so that no password is ever part of an SQL
 * statement: statements end in logs and in pg_stat_activity.
 */
function scramVerifier(password: string): string {
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password.normalize("NFKC"), salt, iterations, 32, "sha256");
  const hmac = (text: string): Buffer => createHmac("sha256", salted).update(text).digest();
  const storedKey = createHash("sha256").update(hmac("Client Key")).digest("base64");
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${storedKey}:${hmac("Server Key").toString("base64")}`;
}
