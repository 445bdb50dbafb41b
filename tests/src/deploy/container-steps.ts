/** What an operator sees of a deployment: containers, secrets, recovery. */
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readEnvFile } from "./checkout.ts";
import { inspect, must, run, until } from "./engine.ts";
import { applications, containers, type Scene } from "./scene.ts";
import { ask, chat, expectStatus, signIn } from "./user.ts";

const isSecret = (name: string): boolean => /PASSWORD|SECRET|PEPPERS|ENCRYPTION_KEYS|AUDIT_KEY|TOKEN_/.test(name);

export async function seeContainers({ origins }: Scene): Promise<void> {
  const ports = Object.values(origins).map((origin) => new URL(String(origin)).port);
  for (const name of containers) {
    const { State, HostConfig } = await inspect(name);
    if (State.Health?.Status !== "healthy")
      throw new Error(`${name} is ${State.Status}, ${State.Health?.Status ?? "without health"}`);
    const published = Object.values(HostConfig.PortBindings).flatMap((bindings) => bindings.map(({ HostPort }) => HostPort));
    const wanted = applications.includes(name) ? 1 : 0;
    if (published.length !== wanted || !published.every((port) => ports.includes(port))) {
      throw new Error(`${name} publishes ${published.join(", ") || "nothing"}`);
    }
  }
}

export async function seeHardening(): Promise<void> {
  const faults: string[] = [];
  for (const name of containers) {
    const { Config, HostConfig } = await inspect(name);
    const demands: Record<string, boolean> = {
      "a read-only root": HostConfig.ReadonlyRootfs,
      "no capability": HostConfig.CapDrop?.includes("ALL") === true && !HostConfig.CapAdd?.length,
      "no new privileges": HostConfig.SecurityOpt?.some((option) => option.startsWith("no-new-privileges")) === true,
      "an init": HostConfig.Init,
      "a numeric user that is not root": /^[1-9]\d*(:\d+)?$/.test(Config.User),
      "a memory limit": HostConfig.Memory > 0,
      "a limit of processes": HostConfig.PidsLimit > 0,
      "log rotation": Boolean(HostConfig.LogConfig.Config["max-size"]),
      "a restart policy": HostConfig.RestartPolicy.Name === "unless-stopped",
      "the private network": HostConfig.NetworkMode === "nexus-network",
    };
    for (const [demand, met] of Object.entries(demands)) if (!met) faults.push(`${name} has not ${demand}`);
    const write = await run("docker", ["exec", name, "sh", "-c", "touch /planted 2>/dev/null"]);
    if (write.code === 0) faults.push(`${name} can write to its root`);
  }
  if (faults.length > 0) throw new Error(faults.join("; "));
}

export async function seeSecrets({ copy }: Scene): Promise<void> {
  const modeOf = (path: string): string => (statSync(join(copy, path)).mode & 0o777).toString(8);
  if (modeOf(".env.pf") !== "600") throw new Error(`.env.pf has mode ${modeOf(".env.pf")}`);
  for (const name of readdirSync(join(copy, "secrets"))) {
    if (modeOf(`secrets/${name}`) !== "440") throw new Error(`secrets/${name} has mode ${modeOf(`secrets/${name}`)}`);
  }
  const secrets = [...readEnvFile(copy)].filter(([name, value]) => isSecret(name) && value !== "");
  if (secrets.length < 8) throw new Error(`only ${secrets.length} secrets were found, so nothing was checked`);
  for (const container of [...containers, "nexus-cos-migrations"]) {
    const seen = `${await must("docker", ["inspect", container])}\n${await must("docker", ["logs", container])}`;
    const shown = secrets.filter(([, value]) => seen.includes(value.replace(/^\d+:/, ""))).map(([name]) => name);
    if (shown.length > 0) throw new Error(`${container} shows ${shown.join(", ")} in its environment or log`);
  }
}

/** Data services and private listeners answer on the private network alone. */
export async function seePrivatePorts(): Promise<void> {
  for (const name of containers) {
    const published = await run("docker", ["port", name]);
    for (const port of ["5432", "6379", "14000", "13002", "13041"]) {
      if (published.output.includes(`${port}/tcp`)) throw new Error(`${name} publishes ${port}`);
    }
  }
  const probe = "fetch('http://nexus-cos-pv-keys:13041/health').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))";
  await must("docker", ["exec", "puabo-api", "node", "-e", probe]);
}

/** Kills the process inside, as a crash does; a container stopped through the engine would stay down. */
export async function survivePostgresCrash({ origins, key }: Scene): Promise<void> {
  const { RestartCount: before } = await inspect("nexus-cos-postgres");
  await must("docker", [
    "exec",
    "nexus-cos-postgres",
    "sh",
    "-c",
    "kill -9 $(head -n 1 /var/lib/postgresql/data/postmaster.pid)",
  ]);
  await until("a restart of nexus-cos-postgres", 60_000, async () => (await inspect("nexus-cos-postgres")).RestartCount > before);
  await everythingWorks(origins, key);
}

export async function surviveRedisCrash({ origins, key }: Scene): Promise<void> {
  const { RestartCount: before } = await inspect("nexus-cos-redis");
  await must("docker", ["exec", "nexus-cos-redis", "sh", "-c", "kill -9 $(pidof redis-server)"]);
  await until("a restart of nexus-cos-redis", 60_000, async () => (await inspect("nexus-cos-redis")).RestartCount > before);
  await everythingWorks(origins, key);
}

async function everythingWorks(origins: Scene["origins"], key: string): Promise<void> {
  for (const origin of Object.values(origins) as string[]) {
    const ms = await until(`${origin}/health`, 60_000, async () => (await ask(`${origin}/health`)).status === 200);
    console.log(`      | ${origin}/health is 200 after ${(ms / 1000).toFixed(1)} s more`);
  }
  expectStatus(await chat(origins, key), 200, "chat after the crash");
  await signIn(origins);
}

export async function deployAgain({ copy, project, origins, key }: Scene): Promise<void> {
  const before = readFileSync(join(copy, ".env.pf"), "utf8");
  await must("./deploy-pf.sh", ["--project", project], { cwd: copy, show: true });
  if (readFileSync(join(copy, ".env.pf"), "utf8") !== before) throw new Error(".env.pf was changed");
  expectStatus(await chat(origins, key), 200, "chat with the key from before");
  await signIn(origins);
}

/** Each fault in `.env.pf` makes ./validate-pf.sh end with 11 and name the variable, and ./deploy-pf.sh refuse. */
export async function refuseBadSettings({ copy, project }: Scene): Promise<void> {
  const path = join(copy, ".env.pf");
  const sound = readFileSync(path, "utf8");
  const faults: [string, string][] = [
    ["JWT_SECRET", sound.replace(/^JWT_SECRET=.*$/m, `JWT_SECRET=${["nexus-cos-secret-key", "2024-secure"].join("-")}`)],
    ["REDIS_PASSWORD", sound.replace(/^REDIS_PASSWORD=.*$/m, "REDIS_PASSWORD=short")],
    ["NEXUS_AUDIT_KEY", sound.replace(/^NEXUS_AUDIT_KEY=.*$/m, "")],
    ["NEXUS_SINGUP", `${sound}NEXUS_SINGUP=open\n`],
  ];
  try {
    for (const [name, text] of faults) {
      writeFileSync(path, text);
      const { code, output } = await run("./validate-pf.sh", ["--project", project], { cwd: copy });
      if (code !== 11 || !output.includes(name)) throw new Error(`a bad ${name} gave exit code ${code}: ${output.slice(-500)}`);
    }
    chmodSync(path, 0o644);
    const { code, output } = await run("./deploy-pf.sh", ["--project", project], { cwd: copy });
    if (code !== 1 || !output.includes("no-go")) throw new Error(`a deployment of bad settings ended with ${code}`);
  } finally {
    writeFileSync(path, sound);
    chmodSync(path, 0o600);
  }
}

/** A crash loop is no success: the deployment ends with 1, names the service and shows its log. The next one mends it. */
export async function failOverCrashLoop({ copy, project }: Scene): Promise<void> {
  const path = join(copy, ".env.pf");
  const sound = readFileSync(path, "utf8");
  try {
    writeFileSync(path, sound.replace(/^NEXUS_GATEWAY_CONFIG=.*$/m, "NEXUS_GATEWAY_CONFIG=/etc/nexus/absent.yaml"));
    const { code, output } = await run("./deploy-pf.sh", ["--project", project], { cwd: copy });
    if (code !== 1) throw new Error(`the deployment ended with ${code}`);
    const shown = output.slice(output.indexOf("The deployment failed"));
    for (const part of [/did not become healthy/, /nexus-cos-puaboai-sdk: .*restarted [1-9]\d* times/, /absent\.yaml/]) {
      if (!part.test(shown)) throw new Error(`the failure does not say ${part.source}: ${shown.slice(-1500)}`);
    }
  } finally {
    writeFileSync(path, sound);
  }
}

export async function takeDown({ copy, project }: Pick<Scene, "copy" | "project">): Promise<void> {
  const compose = ["compose", "-f", join(copy, "docker-compose.pf.yml"), "-p", project];
  await must("docker", [...compose, "down", "--volumes", "--remove-orphans", "--timeout", "20"]);
  const left = await must("docker", ["ps", "--all", "--quiet", "--filter", `label=com.docker.compose.project=${project}`]);
  const volumes = await must("docker", ["volume", "ls", "--quiet", "--filter", `label=com.docker.compose.project=${project}`]);
  if (left.trim() || volumes.trim()) throw new Error(`left behind: ${left} ${volumes}`);
}
