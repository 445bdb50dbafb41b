import { randomBytes } from "node:crypto";
import type { Clock } from "@nexus/core";
import type { Db } from "@nexus/db";
import { findLiveSession } from "./sessions.store.ts";

/** Does what every check of a session does, with a token that nobody has. Rejects when nobody's session could be found. */
export async function probeSessions(needs: { db: Db; clock: Clock }): Promise<void> {
  await findLiveSession(needs.db, randomBytes(32), new Date(needs.clock.now()));
}
