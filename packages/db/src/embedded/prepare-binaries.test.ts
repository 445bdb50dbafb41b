import { execFileSync, spawn } from "node:child_process";
import { chmod, cp, lstat, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isRunning } from "@nexus/processes";
import { waitFor } from "@nexus/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { choosePlace } from "./choose-place.ts";
import { findBinaries, majorOf } from "./find-binaries.ts";
import { prepareBinaries } from "./prepare-binaries.ts";
import { canEnter, chooseRunAs } from "./run-as.ts";
import { sharedPlace } from "./shared-place.ts";
import { startEmbeddedPostgres } from "./start-embedded-postgres.ts";

let folder: string;
beforeEach(async () => {
  // Not the TMPDIR of whoever runs this, which others may be unable to enter.
  folder = await mkdtemp("/tmp/nexus-binaries-");
});
afterEach(async () => await rm(folder, { recursive: true, force: true }));

const missing = (name: string): never => {
  throw new Error(`Cannot find package ${name}`);
};

async function fakeProgram(directory: string, name: string, prints: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, name), `#!/bin/sh\necho '${prints}'\n`, { mode: 0o755 });
}

test("without the platform package a PostgreSQL on the PATH is taken, where initdb stands beside it", async () => {
  await fakeProgram(join(folder, "half"), "postgres", "postgres (PostgreSQL) 15.1");
  await fakeProgram(join(folder, "whole"), "postgres", "postgres (PostgreSQL) 16.2 (Debian)");
  await fakeProgram(join(folder, "whole"), "initdb", "initdb");
  const found = await findBinaries({ path: `${folder}/half:${folder}/whole`, resolvePackage: missing, usualPlaces: [] });
  expect(found).toEqual({ binDirectory: join(folder, "whole"), packageDirectory: undefined });
  expect(await majorOf(found.binDirectory)).toBe(16);
});

test("without any PostgreSQL one sentence says what to install", async () => {
  await expect(findBinaries({ path: folder, resolvePackage: missing, usualPlaces: [] })).rejects.toThrow(
    /^no PostgreSQL to run: the package @embedded-postgres\/\S+ is not installed .* DATABASE_URL or DB_HOST$/,
  );
});

test("a PostgreSQL that is too old, or does not run here, is refused by name", async () => {
  await fakeProgram(folder, "postgres", "postgres (PostgreSQL) 13.4");
  await expect(majorOf(folder)).rejects.toThrow(/PostgreSQL\) 13\.4; PostgreSQL 15 to/);
  await writeFile(join(folder, "postgres"), "no program", { mode: 0o755 });
  await expect(majorOf(folder)).rejects.toThrow(/does not run here/);
});

/** The installed package as npm leaves it with --ignore-scripts: without its links. */
async function packageWithoutLinks(): Promise<string> {
  const { packageDirectory } = await findBinaries({ path: "" });
  const copy = join(folder, "package");
  await cp(packageDirectory!, copy, { recursive: true, filter: (path) => !path.endsWith(".a") });
  for (const { target } of JSON.parse(await readFile(join(copy, "native", "pg-symlinks.json"), "utf8")) as { target: string }[]) {
    await rm(join(copy, target), { force: true });
  }
  return copy;
}

test("library links that npm could not make are made at start, and the programs run", async () => {
  const copy = await packageWithoutLinks();
  const binaries = { binDirectory: join(copy, "native", "bin"), packageDirectory: copy };
  const directory = await prepareBinaries(binaries, undefined, join(folder, "private"));
  expect(directory).toBe(binaries.binDirectory);
  expect((await lstat(join(copy, "native", "lib", "libpq.so.5"))).isSymbolicLink()).toBe(true);
  expect(execFileSync(join(directory, "initdb"), ["--version"], { env: {} }).toString()).toContain("15.18");
  // A second start finds them.
  expect(await prepareBinaries(binaries, undefined, join(folder, "private"))).toBe(directory);
});

test("a first start with a package whose links npm could not make succeeds", async () => {
  await chmod(folder, 0o755);
  const copy = await packageWithoutLinks();
  const binaries = { binDirectory: join(copy, "native", "bin"), packageDirectory: copy };
  const postgres = await startEmbeddedPostgres({ dataDirectory: join(folder, "data"), binaries, settings: { fsync: "off" } });
  await postgres.stop();
});

test("binaries that the run-as user cannot reach are copied once to where it can", async () => {
  const copy = await packageWithoutLinks();
  await chmod(folder, 0o700);
  const self = process.getuid!();
  // Whoever runs the tests: somebody else, who therefore cannot enter.
  const other = (await chooseRunAs(self)) ?? { name: "somebody", uid: self + 1, gid: self + 1 };
  const binaries = { binDirectory: join(copy, "native", "bin"), packageDirectory: copy };
  const preparing = prepareBinaries(binaries, other, join(folder, "private"));
  if (self !== 0) {
    // The only folder of ours that others can enter may be none: then it says so, and never runs what it cannot reach.
    await preparing.then(
      (directory) => expect(directory).not.toContain(folder),
      (error: unknown) => expect(String(error)).toContain("no place for what"),
    );
    return;
  }
  const directory = await preparing;
  expect(directory).toMatch(/nexus-cos/);
  const ran = execFileSync(join(directory, "initdb"), ["--version"], {
    env: {},
    cwd: "/",
    uid: other.uid,
    gid: other.gid,
  });
  expect(ran.toString()).toContain("15.18");
  expect(await prepareBinaries(binaries, other, join(folder, "private"))).toBe(directory);
  await rm(join(directory, "..", "..", ".."), { recursive: true });
});

test("a shared place that somebody else could write to is not used", async () => {
  await chmod(folder, 0o755);
  await mkdir(join(folder, "open"));
  await chmod(join(folder, "open"), 0o777);
  const user = { name: "somebody", uid: 54_321, gid: 54_321 };
  await expect(sharedPlace("key", user, [join(folder, "open")])).rejects.toThrow(
    /open is not a folder that only we can write to/,
  );
  const place = await sharedPlace("key", user, [join(folder, "open"), join(folder, "fine")]);
  expect(place.startsWith(join(folder, "fine"))).toBe(true);
  expect(await sharedPlace("key", user, [join(folder, "fine")])).toBe(place);
  expect(await sharedPlace("other", user, [join(folder, "fine")])).not.toBe(place);
});

test("a folder is out of reach when any folder above it is", async () => {
  await mkdir(join(folder, "a", "b"), { recursive: true });
  for (const path of ["", "a", "a/b"]) await chmod(join(folder, path), 0o755);
  const user = { name: "somebody", uid: 54_321, gid: 54_321 };
  expect(await canEnter(join(folder, "a", "b"), user)).toBe(true);
  expect(await canEnter(join(folder, "a", "not-there-yet"), user)).toBe(true);
  await chmod(join(folder, "a"), 0o700);
  expect(await canEnter(join(folder, "a", "b"), user)).toBe(false);
  expect(await canEnter(dirname(folder), user)).toBe(true);
});

test("existing data keeps its owner: root runs PostgreSQL as that user, anybody else is refused", async () => {
  await mkdir(join(folder, "cluster"));
  await chmod(folder, 0o755);
  const { uid, gid } = await lstat(join(folder, "cluster"));
  expect(await choosePlace(folder, uid)).toEqual({ directory: folder, runAs: undefined });
  await expect(choosePlace(folder, uid + 1)).rejects.toThrow(`the data in ${folder} belongs to user ${uid}`);
  const asRoot = await choosePlace(folder, 0);
  expect(asRoot.runAs).toEqual(uid === 0 ? undefined : { name: `user ${uid}`, uid, gid });
});

test("a process that ended but was never collected does not count as running", async () => {
  const parent = spawn("/bin/sh", ["-c", "(exit 0) & echo $!; exec sleep 60"]);
  let printed = "";
  parent.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  const pid = Number(await waitFor(() => printed.trim()));
  await waitFor(async () => !(await isRunning(pid)));
  expect(await isRunning(parent.pid!)).toBe(true);
  parent.kill("SIGKILL");
});
