import type { Platform } from "./start-platform.ts";

const dataServices = {
  "redis-server": "a redis-server of its own",
  embedded: "the embedded cache",
  external: "your Redis",
} as const satisfies Record<Platform["cache"], string>;

/** What somebody who has just started the platform wants to know. */
export function banner(platform: Platform, about: { seconds: number; dataDirectory: string }): string {
  const { urls, setupUrl, database, cache } = platform;
  const lines = [
    "",
    `  Nexus COS is up (${about.seconds.toFixed(1)} s), on ${database.embedded ? "the embedded PostgreSQL" : "your PostgreSQL"} and ${dataServices[cache]}.`,
    "",
    `    puabo-api     ${urls.api}   accounts, audit, status`,
    `    puaboai-sdk   ${urls.ai}   AI gateway, OpenAI-compatible under /v1`,
    `    pv-keys       ${urls.keys}   API keys`,
    "",
    ...(setupUrl === undefined
      ? []
      : ["  There is no administrator yet. This link makes one; it works once, within 30 minutes:", `    ${setupUrl}`, ""]),
    "  Try:",
    `    curl ${urls.api}/api/status`,
    "",
    `  Data: ${about.dataDirectory}   API reference: /docs on each port   Stop: Ctrl-C`,
    "",
  ];
  return `${lines.join("\n")}\n`;
}
