import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConfigError, loadConfig } from "@nexus/config";
import { expect, test } from "vitest";
import { redisFields, redisRules, redisTargetFrom } from "./redis-target.ts";

const load = (env: Record<string, string>) => redisTargetFrom(loadConfig(redisFields, env, redisRules));

function faultsOf(env: Record<string, string>): readonly string[] {
  try {
    load(env);
    return [];
  } catch (error) {
    return (error as ConfigError).faults;
  }
}

test("Redis is named by a URL, or by its host, or not at all", async () => {
  expect(load({})).toBeUndefined();
  expect(load({ REDIS_URL: "redis://:p%40ss@redis.example:6380/2" })).toEqual({ url: "redis://:p%40ss@redis.example:6380/2" });
  expect(load({ REDIS_URL: "rediss://redis.example" })).toEqual({ url: "rediss://redis.example" });
  expect(load({ REDIS_HOST: "nexus-cos-redis" })).toEqual({ url: "redis://nexus-cos-redis:6379/0" });
  expect(load({ REDIS_HOST: "::1", REDIS_PORT: "6380" })).toEqual({ url: "redis://[::1]:6380/0" });
  expect(load({ REDIS_HOST: "h", REDIS_PASSWORD: "p@ss/w:rd#1" })).toEqual({ url: "redis://:p%40ss%2Fw%3Ard%231@h:6379/0" });
  const directory = await mkdtemp(join(tmpdir(), "redis-target-"));
  await writeFile(join(directory, "url"), "redis://:from-a-file@h:1/0\n");
  expect(load({ REDIS_URL_FILE: join(directory, "url") })).toEqual({ url: "redis://:from-a-file@h:1/0" });
  await rm(directory, { recursive: true });
});

test.each([
  [{ REDIS_URL: "http://:the-password@h" }, "REDIS_URL"],
  [{ REDIS_URL: "the-password" }, "REDIS_URL"],
  [{ REDIS_URL: "redis://:the-password@h/x" }, "REDIS_URL"],
  [{ REDIS_URL: "redis://:the-password@h?family=6" }, "REDIS_URL"],
  [{ REDIS_URL: "redis://h", REDIS_HOST: "h" }, "REDIS_HOST"],
  [{ REDIS_URL: "redis://h", REDIS_PASSWORD: "the-password" }, "REDIS_PASSWORD"],
  [{ REDIS_HOST: "h/the-password" }, "REDIS_HOST"],
  [{ REDIS_HOST: "h", REDIS_PORT: "0" }, "REDIS_PORT"],
  [{ REDIS_HOST: "h", REDIS_PASSWORD: "password" }, "REDIS_PASSWORD"],
])("%j is a fault that names %s and shows no value", (env, name) => {
  const faults = faultsOf(env);
  expect(faults).toHaveLength(1);
  expect(faults[0]).toContain(name);
  expect(faults[0]).not.toContain("the-password");
});
