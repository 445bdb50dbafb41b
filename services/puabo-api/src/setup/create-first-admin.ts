import type { AuditWriter } from "@nexus/audit";
import { ConfigError } from "@nexus/config";
import { type Clock, Problem } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import { createPerson } from "../accounts/create-person.ts";
import type { PasswordHasher } from "../passwords/password-hasher.ts";
import { adminExists, lockSetup } from "./setup.store.ts";

interface Needs {
  db: Db;
  clock: Clock;
  audit: AuditWriter;
  hasher: PasswordHasher;
}

/**
 * The first administrator from NEXUS_INIT_EMAIL and NEXUS_INIT_PASSWORD; false when there is one already.
 * @throws ConfigError when the address belongs to somebody who signed up: they would keep their own password
 */
export async function createFirstAdmin(needs: Needs, init: { email: string; password: string }): Promise<boolean> {
  if (await adminExists(needs.db)) return false;
  const passwordHash = await needs.hasher.hash(init.password);
  return await inTransaction(needs.db, async (tx) => {
    await lockSetup(tx);
    if (await adminExists(tx)) return false;
    const name = init.email.slice(0, init.email.lastIndexOf("@"));
    const person = { email: init.email, name, image: null, role: "admin" as const, passwordHash };
    const { user, organizationId } = await createPerson(needs, tx, person).catch((error: unknown) => {
      throw error instanceof Problem
        ? new ConfigError(["NEXUS_INIT_EMAIL belongs to somebody who signed up already; name another address"])
        : error;
    });
    await needs.audit.write(tx, {
      action: "setup.completed",
      outcome: "success",
      organizationId,
      actor: { kind: "system", id: "puabo-api" },
      targets: [
        { kind: "user", id: user.id },
        { kind: "organization", id: organizationId },
      ],
      context: {},
      details: { role: "admin", way: "configuration" },
      personal: { email: init.email },
    });
    return true;
  });
}
