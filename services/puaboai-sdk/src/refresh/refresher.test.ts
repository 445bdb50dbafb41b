import { waitFor } from "@nexus/testing";
import { expect, test } from "vitest";
import { atMost } from "./at-most.ts";
import { oneAtATime } from "./one-at-a-time.ts";
import { Refresher } from "./refresher.ts";

const pause = { shortestMs: 5, longestMs: 20 };

test("a change that is heard of during a reading is read after it, and many are one reading", async () => {
  const gates: (() => void)[] = [];
  const refresher = new Refresher({
    read: () => new Promise((resolve) => void gates.push(resolve)),
    onFailure: () => {},
    pause,
  });
  const first = refresher.refresh();
  for (let change = 0; change < 5; change++) void refresher.refresh();
  expect(gates).toHaveLength(1);
  gates[0]!();
  await waitFor(() => gates.length === 2);
  gates[1]!();
  await first;
  expect(gates).toHaveLength(2);
});

test("a reading that fails is tried again until it does not, and told once", async () => {
  let left = 4;
  const told: unknown[] = [];
  const refresher = new Refresher({
    read: async () => {
      if (left-- > 0) throw new Error("away");
    },
    onFailure: (error) => void told.push(error),
    pause,
  });
  await refresher.refresh();
  expect(left).toBe(-1);
  expect(told).toEqual([new Error("away")]);
});

test("news end the pause after a failure", async () => {
  let readings = 0;
  const refresher = new Refresher({
    read: async () => {
      if (++readings === 1) throw new Error("away");
    },
    onFailure: () => {},
    pause: { shortestMs: 3_600_000, longestMs: 3_600_000 },
  });
  const read = refresher.refresh();
  await waitFor(() => readings === 1);
  void refresher.refresh();
  await read;
  expect(readings).toBe(2);
});

test("closing ends the reading and every pause", async () => {
  const refresher = new Refresher({
    read: (signal) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(new Error("ended")));
      }),
    onFailure: () => expect.unreachable("nobody is told of the end"),
    pause,
  });
  void refresher.refresh();
  await refresher.close();
});

test("nobody waits longer than they said", async () => {
  await atMost(10, new Promise(() => {}));
  await atMost(3_600_000, Promise.resolve());
});

test("work is done in its order, also after some that failed", async () => {
  const inTurn = oneAtATime();
  const done: number[] = [];
  const slow = inTurn(async () => {
    await atMost(20, new Promise(() => {}));
    done.push(1);
    throw new Error("failed");
  });
  const next = inTurn(async () => done.push(2));
  await expect(slow).rejects.toThrow("failed");
  await next;
  expect(done).toEqual([1, 2]);
});
