import { access, constants } from "node:fs/promises";
import { delimiter, resolve } from "node:path";

const names = ["redis-server", "valkey-server"];
/** Where packages put it; asked when no PATH is given. */
const usualPlaces = ["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin", "/opt/homebrew/bin", "/snap/bin"];

/** The first redis-server, else the first valkey-server, on a PATH. */
export async function findRedisServer(path: string | undefined): Promise<string | undefined> {
  const directories = path === undefined ? usualPlaces : path.split(delimiter).filter((directory) => directory !== "");
  for (const name of names) {
    for (const directory of directories) {
      const candidate = resolve(directory, name);
      if (await isExecutable(candidate)) return candidate;
    }
  }
  return undefined;
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
