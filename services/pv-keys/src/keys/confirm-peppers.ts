import { ConfigError } from "@nexus/config";
import type { Db } from "@nexus/db";
import { pepperFingerprint, type Peppers } from "../peppers.ts";
import { pepperVersionsInUse, rememberPeppers } from "./keys.store.ts";

/** Whether the configured peppers are those that stored keys were hashed with. Found out once; what fails is tried again. */
export interface PepperCheck {
  readonly confirmed: boolean;
  /** @throws ConfigError naming the versions that are missing or wrong; any other error when it cannot be told at the moment */
  confirm(): Promise<void>;
}

export function pepperCheck(deps: { db: Db; peppers: Peppers }): PepperCheck {
  let confirmed = false;
  return {
    get confirmed() {
      return confirmed;
    },
    confirm: async () => {
      if (confirmed) return;
      await confirmPeppers(deps);
      confirmed = true;
    },
  };
}

/** With a missing or wrong pepper every good key would look unknown: better not to serve than to refuse them. */
async function confirmPeppers({ db, peppers }: { db: Db; peppers: Peppers }): Promise<void> {
  const used = await pepperVersionsInUse(db);
  const missing = used.filter((version) => !peppers.versions.has(version)).toSorted((a, b) => a - b);
  if (missing.length > 0) {
    throw new ConfigError([`NEXUS_KEY_PEPPERS lacks version ${missing.join(", ")}, with which stored keys were hashed`]);
  }
  const ours = [...peppers.versions].map(([version, pepper]) => ({ version, fingerprint: pepperFingerprint(pepper) }));
  const known = await rememberPeppers(db, ours);
  const wrong = ours.filter(({ version, fingerprint }) => known.get(version)?.equals(fingerprint) === false);
  if (wrong.length > 0) {
    const versions = wrong.map(({ version }) => version).join(", ");
    throw new ConfigError([`NEXUS_KEY_PEPPERS holds another secret under version ${versions} than this database was used with`]);
  }
}
