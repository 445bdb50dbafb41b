import { type Clock, newUuid, type OrganizationId, toId } from "@nexus/core";
import { type Db, isUniqueViolation } from "@nexus/db";
import type { SessionUser } from "../sessions/session.ts";
import { insertPerson } from "./accounts.store.ts";
import { authProblem } from "./auth-problem.ts";

export interface NewPerson {
  /** In lower case, as `parseEmailAddress` gives it. */
  email: string;
  name: string;
  image: string | null;
  role: "user" | "admin";
  passwordHash: string;
}

/**
 * A person with a personal organization, which is the tenant of all that they own. It may spend nothing until an
 * administrator gives it a budget. @throws Problem for an address that is taken
 */
export async function createPerson(
  needs: { clock: Clock },
  tx: Db,
  person: NewPerson,
): Promise<{ user: SessionUser; organizationId: OrganizationId }> {
  const now = needs.clock.now();
  const [userId, organizationId] = [newUuid(now), newUuid(now)];
  try {
    await insertPerson(tx, {
      ...person,
      userId,
      organizationId,
      accountId: newUuid(now),
      organizationName: person.name,
      now: new Date(now),
    });
  } catch (error) {
    if (isUniqueViolation(error, "users_email_key")) throw authProblem("USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL", error);
    throw error;
  }
  const createdAt = new Date(now).toISOString();
  return {
    organizationId: toId("organization", organizationId),
    user: {
      id: toId("user", userId),
      email: person.email,
      emailVerified: false,
      name: person.name,
      image: person.image,
      role: person.role,
      createdAt,
      updatedAt: createdAt,
    },
  };
}
