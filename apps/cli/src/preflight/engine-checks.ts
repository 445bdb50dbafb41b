import { type Check, type Finding, pass } from "./check.ts";
import type { Known } from "./facts.ts";

/** `start_interval` of health checks came with Engine 25, and Compose 2.24 knows every key of the file. */
const leastEngine = "25.0";
const leastCompose = "2.24";

export const engineChecks: readonly Check[] = [
  {
    id: "engine.reachable",
    severity: "critical",
    title: "A Docker Engine answers",
    proves: "containers can be started from here",
    fix: "Start Docker, add yourself to the docker group, or set DOCKER_HOST.",
    find: ({ engine }) => ("fault" in engine ? { state: "fail", evidence: engine.fault } : pass(`Engine ${engine.value}`)),
  },
  {
    id: "engine.version",
    severity: "critical",
    title: `Docker Engine ${leastEngine} or newer`,
    proves: "health checks probe every second while a container starts",
    fix: `Install Docker Engine ${leastEngine} or newer: https://docs.docker.com/engine/install/`,
    find: ({ engine }) => atLeast(engine, leastEngine),
  },
  {
    id: "compose.version",
    severity: "critical",
    title: `Docker Compose ${leastCompose} or newer`,
    proves: "every key of docker-compose.pf.yml is understood",
    fix: `Install the Compose plugin ${leastCompose} or newer.`,
    find: ({ compose }) => atLeast(compose, leastCompose),
  },
];

function atLeast(version: Known<string>, least: string): Finding {
  if ("fault" in version) return { state: "fail", evidence: version.fault };
  const parts = (text: string): number[] => text.replace(/^v/, "").split(/[.+-]/).map(Number);
  const [[major = 0, minor = 0], [leastMajor = 0, leastMinor = 0]] = [parts(version.value), parts(least)];
  const enough = major > leastMajor || (major === leastMajor && minor >= leastMinor);
  return { state: enough ? "pass" : "fail", evidence: version.value };
}
