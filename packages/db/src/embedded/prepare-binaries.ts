import { constants } from "node:fs";
import { chmod, cp, mkdir, readdir, readFile, rename, rm, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { ownPid } from "@nexus/processes";
import { executable, type PostgresBinaries } from "./find-binaries.ts";
import { canEnter, canRun, exists, type UnixUser } from "./run-as.ts";
import { sharedPlace } from "./shared-place.ts";

/**
 * Makes the binaries usable by whoever is to run them: library links in place, every file within reach. Copies them
 * once where the installed ones cannot be used as they lie (a 0700 home, a read-only or foreign node_modules).
 * @param privatePlace a folder of ours that may hold the copy while nobody else has to reach it
 * @returns the folder of the programs to run
 */
export async function prepareBinaries(
  binaries: PostgresBinaries,
  runAs: UnixUser | undefined,
  privatePlace: string,
): Promise<string> {
  const { packageDirectory } = binaries;
  if (packageDirectory === undefined) return binaries.binDirectory;
  if ((!runAs || (await isWithinReach(packageDirectory, runAs))) && (await makeLinks(packageDirectory))) {
    return binaries.binDirectory;
  }
  const manifest = JSON.parse(await readFile(join(packageDirectory, "package.json"), "utf8")) as { version: string };
  const place = runAs ? await sharedPlace(packageDirectory, runAs) : privatePlace;
  const copy = join(place, `postgres-${manifest.version}`);
  if (!(await exists(copy))) await copyPackage(packageDirectory, copy);
  return join(copy, "native", "bin");
}

async function isWithinReach(packageDirectory: string, user: UnixUser): Promise<boolean> {
  const native = join(packageDirectory, "native");
  return (
    (await canEnter(join(native, "lib", "postgresql"), user)) &&
    (await canEnter(join(native, "share", "postgresql"), user)) &&
    (await canEnter(join(native, "bin"), user)) &&
    (await canRun(join(native, "bin", executable("postgres")), user))
  );
}

interface Link {
  /** The file, from the package's folder. */
  source: string;
  /** The link to it. */
  target: string;
}

/** npm tarballs hold no symbolic links, and the script that makes them may have been blocked. False: no right to make them. */
async function makeLinks(packageDirectory: string): Promise<boolean> {
  const list = await readFile(join(packageDirectory, "native", "pg-symlinks.json"), "utf8").catch(() => "[]");
  for (const { source, target } of JSON.parse(list) as Link[]) {
    const link = join(packageDirectory, target);
    if (await exists(link)) continue;
    try {
      await symlink(relative(dirname(target), source), link);
    } catch (error) {
      // Another process made it in the meantime; or node_modules is not ours to write to.
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") return false;
    }
  }
  return true;
}

/** Copies under another name and renames: a copy with the right name is whole, whenever we were killed. */
async function copyPackage(packageDirectory: string, copy: string): Promise<void> {
  const unfinished = `${copy}.${ownPid}`;
  await mkdir(dirname(copy), { recursive: true });
  await rm(unfinished, { recursive: true, force: true });
  await cp(join(packageDirectory, "native"), join(unfinished, "native"), {
    recursive: true,
    verbatimSymlinks: true,
    mode: constants.COPYFILE_FICLONE,
    filter: (path) => !path.endsWith(".a"),
  });
  if (!(await makeLinks(unfinished))) throw new Error(`cannot make the library links in ${unfinished}`);
  await openToAll(unfinished);
  try {
    await rename(unfinished, copy);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    // Another start was quicker; its copy is as good.
    if (!(await exists(copy))) throw error;
  }
}

async function openToAll(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await openToAll(path);
    else if (entry.isFile()) await chmod(path, directory.endsWith("bin") ? 0o755 : 0o644);
  }
}
