import { randomBytes } from "node:crypto";
import { loadConfig } from "@nexus/config";
import { newUuid, toId } from "@nexus/core";
import { connectionFrom, databaseRules, type Db, inTransaction } from "@nexus/db";
import { type Algorithm, hash } from "@node-rs/argon2";
import { journeyUserFields } from "./config.ts";
import { newJourneyEmail } from "./journey-email.ts";
import { actor, withOwner } from "./open-owner.ts";
import type { Program } from "./run-db-admin.ts";
import { UsageError } from "./usage-error.ts";

/** Ten cents: enough for a verification's calls, not enough to matter should the removal never come. */
const budgetNanos = 100_000_000n;

interface JourneyUser {
  userId: string;
  organizationId: string;
  email: string;
  passwordHash: string;
  role: "user" | "admin";
}

/** Makes a person with a personal organization and a small budget, as sign-up would. Prints one line of JSON. */
export async function createJourneyUser(program: Program, role: string): Promise<void> {
  if (role !== "user" && role !== "admin") throw new UsageError("--role must be user or admin");
  const config = loadConfig(journeyUserFields, program.env, databaseRules);
  const given = config.NEXUS_JOURNEY_PASSWORD;
  const password = given ?? randomBytes(24).toString("base64url");
  const user: JourneyUser = {
    userId: newUuid(),
    organizationId: newUuid(),
    email: newJourneyEmail(),
    passwordHash: await hashPassword(password),
    role,
  };
  await withOwner(connectionFrom(config), config.NEXUS_AUDIT_KEY, async ({ db, audit }) => {
    await inTransaction(db, async (tx) => {
      await insertJourneyUser(tx, user);
      await audit.write(tx, {
        action: "user.created",
        outcome: "success",
        organizationId: toId("organization", user.organizationId),
        actor,
        targets: [
          { kind: "user", id: toId("user", user.userId) },
          { kind: "organization", id: toId("organization", user.organizationId) },
        ],
        context: {},
        details: { role, purpose: "verification" },
        personal: { email: user.email },
      });
    });
  });
  program.print(
    JSON.stringify({
      email: user.email,
      user_id: toId("user", user.userId),
      organization_id: toId("organization", user.organizationId),
      role,
      // A password that the caller already has is not repeated.
      ...(given === undefined ? { password } : {}),
    }),
  );
}

async function insertJourneyUser(tx: Db, user: JourneyUser): Promise<void> {
  const { userId, organizationId, email, role } = user;
  const name = "Verification";
  await tx.insertInto("users").values({ id: userId, email, name, role }).execute();
  await tx.insertInto("organizations").values({ id: organizationId, name, personal: true }).execute();
  await tx.insertInto("members").values({ organization_id: organizationId, user_id: userId, role: "owner" }).execute();
  await tx
    .insertInto("accounts")
    .values({ id: newUuid(), user_id: userId, provider_id: "credential", account_id: userId, password_hash: user.passwordHash })
    .execute();
  await tx
    .insertInto("budgets")
    .values({ id: newUuid(), organization_id: organizationId, level: "organization", limit_nanos: budgetNanos })
    .execute();
}

/** As puabo-api hashes: argon2id with OWASP's parameters, over the NFKC form (NIST SP 800-63B-4 §3.1.1.2). */
async function hashPassword(password: string): Promise<string> {
  const parameters = { algorithm: 2 satisfies Algorithm.Argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 };
  return await hash(password.toWellFormed().normalize("NFKC"), parameters);
}
