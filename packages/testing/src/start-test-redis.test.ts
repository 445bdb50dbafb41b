import { openRedis } from "@nexus/redis";
import { expect, test } from "vitest";
import { startTestRedis } from "./start-test-redis.ts";
import { waitFor } from "./wait-for.ts";

test("two test servers share nothing, and answer until they are stopped", async () => {
  const [one, two] = await Promise.all([startTestRedis(), startTestRedis()]);
  const caches = [one, two].map((server) => openRedis(server.target, {}));
  await waitFor(() => caches.every((cache) => cache.isReady()));
  await caches[0]!.client.set("k", "v");
  expect(await caches[1]!.client.get("k")).toBeNull();
  await Promise.all(caches.map((cache) => cache.close()));
  await Promise.all([one.stop(), two.stop()]);
});
