import { loadConfig } from "@nexus/config";
import { toId } from "@nexus/core";
import { connectionFrom, databaseRules, type Db, inTransaction } from "@nexus/db";
import { auditedFields } from "./config.ts";
import { isJourneyEmail } from "./journey-email.ts";
import { recordChange } from "./journey-user.store.ts";
import { actor, withOwner } from "./open-owner.ts";
import type { Program } from "./run-db-admin.ts";
import { UsageError } from "./usage-error.ts";

interface Removed {
  sessions: number;
  keys: number;
}

/**
 * Removes a person that `createJourneyUser` made, with all that the verification left: sessions and keys (each told to the
 * verifiers by the change feed), budget, organization. Usage rows and audit entries stay, as records do.
 * Prints one line of JSON; a person who is gone already is `"removed": false`.
 */
export async function removeJourneyUser(program: Program, email: string | undefined): Promise<void> {
  if (email === undefined) throw new UsageError("--email is missing");
  if (!isJourneyEmail(email)) throw new UsageError("--email must be an address that `journey-user create` gave out");
  const config = loadConfig(auditedFields, program.env, databaseRules);
  const removed = await withOwner(connectionFrom(config), config.NEXUS_AUDIT_KEY, ({ db, audit }) =>
    inTransaction(db, async (tx) => {
      const user = await tx.selectFrom("users").select("id").where("email", "=", email).forUpdate().executeTakeFirst();
      if (!user) return undefined;
      const organizations = await organizationsOf(tx, user.id);
      const { changed, ...counts } = await deleteEverything(tx, user.id, organizations);
      await audit.write(tx, {
        action: "user.removed",
        outcome: "success",
        ...(organizations[0] === undefined ? {} : { organizationId: toId("organization", organizations[0]) }),
        actor,
        targets: [
          { kind: "user", id: toId("user", user.id) },
          ...organizations.map((id) => ({ kind: "organization", id: toId("organization", id) })),
        ],
        context: {},
        details: { purpose: "verification", ...counts },
        personal: { email },
      });
      // Last, as every writer of the change feed waits behind us from here on.
      for (const change of changed) await recordChange(tx, change);
      return counts;
    }),
  );
  program.print(
    JSON.stringify({ removed: removed !== undefined, email, sessions: removed?.sessions ?? 0, keys: removed?.keys ?? 0 }),
  );
}

async function organizationsOf(tx: Db, userId: string): Promise<string[]> {
  const rows = await tx
    .selectFrom("members as m")
    .innerJoin("organizations as o", "o.id", "m.organization_id")
    .select("o.id")
    .where("m.user_id", "=", userId)
    .where("o.personal", "=", true)
    .execute();
  return rows.map((row) => row.id);
}

interface Change {
  kind: "key" | "session" | "user";
  subjectId: string;
  organizationId: string | null;
}

async function deleteEverything(tx: Db, userId: string, organizations: string[]): Promise<Removed & { changed: Change[] }> {
  const keys = await tx
    .deleteFrom("api_keys")
    .where((eb) =>
      eb.or([
        eb("owner_user_id", "=", userId),
        ...organizations.map((organizationId) => eb("organization_id", "=", organizationId)),
      ]),
    )
    .returning(["id", "organization_id"])
    .execute();
  const sessions = await tx.deleteFrom("sessions").where("user_id", "=", userId).returning(["id", "organization_id"]).execute();
  for (const organizationId of organizations) {
    await tx.deleteFrom("budgets").where("organization_id", "=", organizationId).execute();
    await tx.deleteFrom("organizations").where("id", "=", organizationId).execute();
  }
  await tx.deleteFrom("users").where("id", "=", userId).execute();
  const changed: Change[] = [
    ...keys.map((row) => ({ kind: "key" as const, subjectId: row.id, organizationId: row.organization_id })),
    ...sessions.map((row) => ({ kind: "session" as const, subjectId: row.id, organizationId: row.organization_id })),
    { kind: "user", subjectId: userId, organizationId: organizations[0] ?? null },
  ];
  return { sessions: sessions.length, keys: keys.length, changed };
}
