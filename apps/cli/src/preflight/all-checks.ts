import type { Check } from "./check.ts";
import { composeChecks } from "./compose-checks.ts";
import { engineChecks } from "./engine-checks.ts";
import { envChecks } from "./env-checks.ts";
import { hostChecks } from "./host-checks.ts";
import { secretChecks } from "./secret-checks.ts";

export const allChecks: readonly Check[] = [...engineChecks, ...hostChecks, ...composeChecks, ...envChecks, ...secretChecks];
