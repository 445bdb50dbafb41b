/** The secrets of `.env.pf` as the files that containers read. */
import { chmodSync, chownSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { secretFields } from "./env-fields.ts";

/** The group of the applications inside the containers; the files belong to it and nobody else may read them. */
export const secretsGroup = 10_001;
export const secretsMode = 0o440;

/** File name → content. An optional secret that is not set is an empty file, since compose mounts each of them. */
export function secretFileContents(values: ReadonlyMap<string, string>): Map<string, string> {
  const files = new Map(secretFields.map(({ name, file }) => [file, values.get(name) ?? ""]));
  // Redis reads its password out of a configuration file: as an argument every process on the host would see it.
  const password = (values.get("REDIS_PASSWORD") ?? "").replaceAll(/["\\]/g, "\\$&");
  return files.set("redis_auth", `requirepass "${password}"`);
}

/**
 * Writes the files, each beside its old one and renamed, so that a kill in the middle leaves no half secret.
 * @returns whether every file could be given to the group; an ordinary user needs a container for that
 */
export function writeSecretFiles(directory: string, values: ReadonlyMap<string, string>): boolean {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  let owned = true;
  for (const [name, content] of secretFileContents(values)) {
    const path = join(directory, name);
    if (readIfAny(path) !== `${content}\n`) {
      writeFileSync(`${path}.new`, `${content}\n`, { mode: 0o400 });
      renameSync(`${path}.new`, path);
    }
    owned = giveToGroup(path) && owned;
  }
  return owned;
}

function giveToGroup(path: string): boolean {
  try {
    if (statSync(path).gid !== secretsGroup) chownSync(path, -1, secretsGroup);
    chmodSync(path, secretsMode);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
    return false;
  }
}

function readIfAny(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
