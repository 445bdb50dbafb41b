import { toId, type OrganizationId } from "@nexus/core";
import type { Db } from "@nexus/db";
import { sql } from "kysely";
import type { SessionUser } from "../sessions/session.ts";

/** How an account with a password is named in `accounts.provider_id`; better-auth's word. */
const credential = "credential";

interface NewPerson {
  userId: string;
  accountId: string;
  organizationId: string;
  organizationName: string;
  email: string;
  name: string;
  image: string | null;
  role: "user" | "admin";
  passwordHash: string;
  now: Date;
}

/** The person, the password, the personal organization and the membership in it, in one round trip. */
export async function insertPerson(tx: Db, person: NewPerson): Promise<void> {
  const { userId, organizationId, now } = person;
  await tx
    .with("person", (db) =>
      db.insertInto("users").values({
        id: userId,
        email: person.email,
        name: person.name,
        image: person.image,
        role: person.role,
        created_at: now,
        updated_at: now,
      }),
    )
    .with("tenant", (db) =>
      db
        .insertInto("organizations")
        .values({ id: organizationId, name: person.organizationName, personal: true, created_at: now }),
    )
    .with("membership", (db) =>
      db.insertInto("members").values({ organization_id: organizationId, user_id: userId, role: "owner", created_at: now }),
    )
    .insertInto("accounts")
    .values({
      id: person.accountId,
      user_id: userId,
      provider_id: credential,
      account_id: userId,
      password_hash: person.passwordHash,
      created_at: now,
      updated_at: now,
    })
    .execute();
}

export interface Credential {
  accountId: string;
  passwordHash: string;
  disabled: boolean;
  organizationId: OrganizationId;
  user: SessionUser;
}

/** The person with this address (in lower case), their password's hash and their personal organization. */
export async function findCredential(db: Db, email: string): Promise<Credential | undefined> {
  const row = await db
    .selectFrom("users as u")
    .innerJoin("accounts as a", (join) => join.onRef("a.user_id", "=", "u.id").on("a.provider_id", "=", credential))
    .innerJoin("members as m", (join) => join.onRef("m.user_id", "=", "u.id").on("m.role", "=", "owner"))
    .innerJoin("organizations as o", (join) => join.onRef("o.id", "=", "m.organization_id").on("o.personal", "=", true))
    .select([
      "u.id",
      "u.email",
      "u.email_verified",
      "u.name",
      "u.image",
      "u.role",
      "u.created_at",
      "u.updated_at",
      "u.disabled_at",
    ])
    .select(["a.id as account_id", "a.password_hash", "o.id as organization_id"])
    .where(sql<string>`lower(u.email)`, "=", email)
    .executeTakeFirst();
  if (!row || row.password_hash === null) return undefined;
  return {
    accountId: row.account_id,
    passwordHash: row.password_hash,
    disabled: row.disabled_at !== null,
    organizationId: toId("organization", row.organization_id),
    user: {
      id: toId("user", row.id),
      email: row.email,
      emailVerified: row.email_verified,
      name: row.name,
      image: row.image,
      role: row.role,
      createdAt: row.created_at.toISOString(),
      updatedAt: row.updated_at.toISOString(),
    },
  };
}

/**
 * Holds the credential until the transaction ends, if it still is what was verified: a password changed, or a person
 * disabled, while the hash was being computed must win over the sign-in that it was computed for.
 */
export async function lockCredential(tx: Db, seen: Credential): Promise<boolean> {
  const row = await tx
    .selectFrom("accounts as a")
    .innerJoin("users as u", "u.id", "a.user_id")
    .select("a.id")
    .where("a.id", "=", seen.accountId)
    .where("a.password_hash", "=", seen.passwordHash)
    .where("u.disabled_at", "is", null)
    .forShare()
    .executeTakeFirst();
  return row !== undefined;
}

export async function replacePasswordHash(db: Db, seen: Credential, by: { passwordHash: string; now: Date }): Promise<void> {
  await db
    .updateTable("accounts")
    .set({ password_hash: by.passwordHash, updated_at: by.now })
    .where("id", "=", seen.accountId)
    .where("password_hash", "=", seen.passwordHash)
    .execute();
}
