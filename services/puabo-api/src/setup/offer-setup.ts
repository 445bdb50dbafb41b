import type { AuditWriter } from "@nexus/audit";
import type { Clock } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import { generateSetupCode, hashSetupCode, setupCodeLifetimeMs } from "./setup-code.ts";
import { adminExists, lockSetup, replaceSetupCode } from "./setup.store.ts";

interface Needs {
  db: Db;
  clock: Clock;
  audit: AuditWriter;
  publicUrl: string;
}

/** A fresh set-up link while nobody is administrator, else `undefined`. Links of earlier starts stop working. */
export async function offerSetup(needs: Needs): Promise<string | undefined> {
  const code = generateSetupCode();
  return await inTransaction(needs.db, async (tx) => {
    await lockSetup(tx);
    if (await adminExists(tx)) return undefined;
    const now = needs.clock.now();
    await replaceSetupCode(tx, hashSetupCode(code), { now: new Date(now), expiresAt: new Date(now + setupCodeLifetimeMs) });
    await needs.audit.write(tx, {
      action: "setup.offered",
      outcome: "success",
      actor: { kind: "system", id: "puabo-api" },
      targets: [],
      context: {},
      details: { valid_minutes: setupCodeLifetimeMs / 60_000 },
    });
    return `${needs.publicUrl}/setup?code=${code}`;
  });
}
