import { hash } from "@node-rs/argon2";
import { expect, test } from "vitest";
import { openPasswordHasher, parallelHashes } from "./password-hasher.ts";

test("a password matches its own hash alone, and the hash names today's parameters", async () => {
  const hasher = await openPasswordHasher({ parallel: 1, maxWaiting: 8 });
  const stored = await hasher.hash("a long pass phrase of mine");
  expect(stored.startsWith("$argon2id$v=19$m=19456,t=2,p=1$")).toBe(true);
  expect(await hasher.verify(stored, "a long pass phrase of mine")).toEqual({ matches: true, rehash: false });
  expect(await hasher.verify(stored, "a long pass phrase of mind")).toEqual({ matches: false, rehash: false });
});

test("an unknown account costs a whole hash and never matches", async () => {
  const hasher = await openPasswordHasher({ parallel: 1, maxWaiting: 8 });
  expect(await hasher.verify(undefined, "whatever it may be")).toEqual({ matches: false, rehash: false });
});

test("a hash made with other parameters is to be made again", async () => {
  const hasher = await openPasswordHasher({ parallel: 1, maxWaiting: 8 });
  const old = await hash("a long pass phrase of mine", { memoryCost: 8192, timeCost: 1, parallelism: 1 });
  expect(await hasher.verify(old, "a long pass phrase of mine")).toEqual({ matches: true, rehash: true });
});

test("the same password in other code points is the same password", async () => {
  const hasher = await openPasswordHasher({ parallel: 1, maxWaiting: 8 });
  const stored = await hasher.hash("Gru\u0308ne Wiese und Kuh");
  expect((await hasher.verify(stored, "Gr\u00fcne Wiese und Kuh")).matches).toBe(true);
});

test("a full queue refuses at once with Retry-After, and serves again afterwards", async () => {
  const hasher = await openPasswordHasher({ parallel: 1, maxWaiting: 2 });
  const results = await Promise.allSettled(Array.from({ length: 5 }, () => hasher.hash("a long pass phrase of mine")));
  const refused = results.filter((result) => result.status === "rejected");
  expect(refused).toHaveLength(2);
  expect(refused[0]!.reason).toMatchObject({ code: "unavailable", headers: { "retry-after": "1" } });
  expect(await hasher.hash("a long pass phrase of mine")).toContain("$argon2id$");
});

test("a thread of libuv's pool stays free however many cores there are", () => {
  expect([1, 2, 64].map((cores) => parallelHashes(cores))).toEqual([1, 2, 3]);
});
