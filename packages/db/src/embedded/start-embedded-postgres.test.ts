import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isRunning } from "@nexus/processes";
import { waitFor } from "@nexus/testing";
import { Client } from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Connection } from "../connection.ts";
import { executeStatements, withClient } from "../with-client.ts";
import { canEnter, type UnixUser } from "./run-as.ts";
import { type EmbeddedPostgres, type EmbeddedPostgresOptions, startEmbeddedPostgres } from "./start-embedded-postgres.ts";

let folder: string;
let dataDirectory: string;
const running: EmbeddedPostgres[] = [];
const children: ChildProcess[] = [];
const elsewhere = new Set<string>();

beforeEach(async () => {
  // Not the TMPDIR of whoever runs this: PostgreSQL may run as somebody who cannot enter that.
  folder = await mkdtemp("/tmp/nexus-embedded-");
  await chmod(folder, 0o755);
  dataDirectory = join(folder, "data");
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await Promise.all(running.splice(0).map((postgres) => postgres.stop()));
  for (const path of [folder, ...elsewhere]) await rm(path, { recursive: true, force: true });
  elsewhere.clear();
});

async function start(options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDirectory, drainMs: 100, ...options });
  running.push(postgres);
  if (!postgres.dataDirectory.startsWith(folder)) elsewhere.add(postgres.dataDirectory);
  return postgres;
}

/** A program that starts the database and says so on stdout. */
async function startInChild(options: { env?: NodeJS.ProcessEnv; user?: UnixUser | undefined; directory?: string } = {}) {
  const code = `import { startEmbeddedPostgres } from ${JSON.stringify(new URL("./start-embedded-postgres.ts", import.meta.url).href)};
    const postgres = await startEmbeddedPostgres({ dataDirectory: process.argv[1], path: process.env.PATH });
    console.log(JSON.stringify({ connection: postgres.connection, pid: postgres.pid, dataDirectory: postgres.dataDirectory }));
    process.stdin.on("end", async () => { await postgres.stop(); process.exit(0); }).resume();`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code, options.directory ?? dataDirectory], {
    env: options.env ?? {},
    cwd: "/",
    ...(options.user ? { uid: options.user.uid, gid: options.user.gid } : {}),
  });
  children.push(child);
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
  await waitFor(() => out.endsWith("\n") || child.exitCode !== null, { timeoutMs: 20_000 });
  expect(err).toBe("");
  const told = JSON.parse(out) as { connection: Connection; pid: number; dataDirectory: string };
  if (!told.dataDirectory.startsWith(folder)) elsewhere.add(told.dataDirectory);
  return { child, ...told };
}

const query = async (connection: Connection, sql: string) => await withClient(connection, "test", (client) => client.query(sql));
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

test("the first start makes the platform's database, the next one finds it as it was", async () => {
  const first = await start();
  await executeStatements(first.connection, "test", ["CREATE TABLE kept (n integer)", "INSERT INTO kept VALUES (42)"]);
  expect(await modeOf(join(dataDirectory, "password"))).toBe(0o600);
  expect(await modeOf(join(dataDirectory, "cluster"))).toBe(0o700);
  expect(await modeOf(join(dataDirectory, "postgres.log"))).toBe(0o600);
  await first.stop();
  const second = await start();
  expect((await query(second.connection, "SELECT n FROM kept")).rows).toEqual([{ n: 42 }]);
  const { rows } = await query(
    second.connection,
    `SELECT current_user, current_database(), current_setting('server_encoding') AS encoding, current_setting('lc_collate') AS locale,
      current_setting('synchronous_commit') AS commit, current_setting('fsync') AS fsync, current_setting('listen_addresses') AS listens,
      current_setting('unix_socket_directories') AS sockets, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super`,
  );
  expect(rows).toEqual([
    {
      current_user: "nexus_user",
      current_database: "nexus_db",
      encoding: "UTF8",
      locale: "C",
      commit: "on",
      fsync: "on",
      listens: "127.0.0.1",
      sockets: "",
      super: true,
    },
  ]);
});

test("nobody gets in without the password", async () => {
  const { connection } = await start();
  await expect(query({ ...connection, password: "another" }, "SELECT 1")).rejects.toMatchObject({ code: "28P01" });
});

test("an ordinary user with an empty environment can start it", async () => {
  await chmod(folder, 0o777);
  const { child, connection } = await startInChild({ env: {}, user: await ordinaryUser() });
  expect((await query(connection, "SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  child.stdin.end();
  await waitFor(() => child.exitCode === 0);
});

/** Somebody who is not root and can reach this checkout; `undefined` for whoever runs the tests. */
async function ordinaryUser(): Promise<UnixUser | undefined> {
  const nobody = { name: "nobody", uid: 65_534, gid: 65_534 };
  const here = dirname(fileURLToPath(import.meta.url));
  const reachable = (await canEnter(here, nobody)) && (await canEnter(dirname(process.execPath), nobody));
  return process.getuid?.() === 0 && reachable ? nobody : undefined;
}

test("a folder that only its owner can enter will do, and so will a locale that the machine does not have", async () => {
  await chmod(folder, 0o700);
  const env = { LANG: "xx_YY.nothing", LC_ALL: "xx_YY.nothing", PATH: "" };
  const first = await startInChild({ env });
  await executeStatements(first.connection, "test", ["CREATE TABLE kept (n integer)"]);
  first.child.stdin.end();
  await waitFor(() => first.child.exitCode === 0);
  const second = await startInChild({ env });
  expect(second.dataDirectory).toBe(first.dataDirectory);
  expect((await query(second.connection, "SELECT * FROM kept")).rows).toEqual([]);
});

test("what a killed process left running is stopped by the next start, and no committed row is lost", async () => {
  const killed = await startInChild();
  await executeStatements(killed.connection, "test", ["CREATE TABLE kept (n integer)", "INSERT INTO kept VALUES (1)"]);
  killed.child.kill("SIGKILL");
  await waitFor(() => killed.child.signalCode === "SIGKILL");
  expect(await isRunning(killed.pid)).toBe(true);
  const said: string[] = [];
  const next = await start({ log: (sentence) => said.push(sentence) });
  expect(said).toEqual([`stopped the PostgreSQL that an earlier start left behind (process ${killed.pid})`]);
  expect(await isRunning(killed.pid)).toBe(false);
  expect((await query(next.connection, "SELECT n FROM kept")).rows).toEqual([{ n: 1 }]);
});

test("a folder in use is refused, and the one who uses it is not disturbed", async () => {
  const first = await start();
  await expect(startEmbeddedPostgres({ dataDirectory })).rejects.toThrow(`is in use by process ${process.pid}`);
  expect((await query(first.connection, "SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
});

test("when PostgreSQL is killed it comes back on its port, with every committed row", async () => {
  const postgres = await start();
  await executeStatements(postgres.connection, "test", ["CREATE TABLE kept (n integer)", "INSERT INTO kept VALUES (7)"]);
  const killed = postgres.pid;
  process.kill(killed, "SIGKILL");
  await waitFor(() => postgres.pid !== killed, { timeoutMs: 20_000 });
  const found = await waitFor(() => query(postgres.connection, "SELECT n FROM kept"), { timeoutMs: 20_000 });
  expect(found.rows).toEqual([{ n: 7 }]);
});

test("stopping lets a running statement finish and does not wait for idle clients", async () => {
  const postgres = await start({ drainMs: 5000 });
  const client = new Client(postgres.connection);
  client.on("error", () => {});
  await client.connect();
  const slow = client.query("SELECT 'done' AS answer FROM pg_sleep(0.5)").finally(() => client.end());
  await waitFor(
    async () =>
      (
        await query(
          postgres.connection,
          "SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0.5)%' AND pid <> pg_backend_pid()",
        )
      ).rowCount,
  );
  await postgres.stop();
  expect((await slow).rows).toEqual([{ answer: "done" }]);

  const again = await start({ drainMs: 50 });
  const idle = new Client(again.connection);
  idle.on("error", () => {});
  await idle.connect();
  await again.stop();
  expect(await isRunning(again.pid)).toBe(false);
});

test("data of another major version is refused and left alone", async () => {
  const first = await start();
  await first.stop();
  await writeFile(join(dataDirectory, "cluster", "PG_VERSION"), "14\n");
  await expect(start()).rejects.toThrow(/was written by PostgreSQL 14 and this is 15/);
  expect(await readFile(join(dataDirectory, "cluster", "PG_VERSION"), "utf8")).toBe("14\n");
});

test("a port that was asked for and is taken is one sentence, and leaves the folder free", async () => {
  // It accepts and never says a word, as the worst of those who may hold a port.
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await expect(start({ port })).rejects.toThrow(`port ${port} for PostgreSQL is taken`);
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  expect((await start({ port })).port).toBe(port);
});

test("a cluster that was half made when its maker was killed is made anew", async () => {
  await mkdir(join(dataDirectory, "cluster.new-1-00"), { recursive: true });
  await chmod(dataDirectory, 0o755);
  await writeFile(join(dataDirectory, "cluster.new-1-00", "PG_VERSION"), "15\n");
  await writeFile(join(dataDirectory, "password"), "of that one");
  await writeFile(join(dataDirectory, "owner.json"), '{"pid":');
  await start();
  expect((await readdir(dataDirectory)).toSorted()).toEqual(["cluster", "owner.json", "password", "postgres.log"]);
});

test("a claim whose process is gone, or whose pid went to another process, holds nothing", async () => {
  const first = await start();
  await first.stop();
  for (const claim of [
    { pid: 4_194_303, started: "1" },
    { pid: process.pid, started: "1" },
  ]) {
    await writeFile(join(dataDirectory, "owner.json"), JSON.stringify(claim));
    await (await start()).stop();
  }
});

test("a cluster without its password says what is missing", async () => {
  await (await start()).stop();
  await rm(join(dataDirectory, "password"));
  await expect(start()).rejects.toThrow(/the password of the database cannot be read from .*password \(ENOENT\)/);
});
