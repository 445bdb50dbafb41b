import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { waitFor } from "@nexus/testing";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { openSubscriber } from "./open-subscriber.ts";
import { type StartedRedis, startRedis } from "./start-redis.ts";

let redis: StartedRedis;
let door: Server;
/** The connections of the subscriber, oldest first. */
let sockets: Socket[];
/** From now on the server's answer to a subscription is lost on the way. */
let losesAnswers: boolean;
let subscriptions: number;
const unhandled: unknown[] = [];
const note = (reason: unknown): void => void unhandled.push(reason);

beforeAll(async () => {
  redis = await startRedis({ path: process.env["PATH"] ?? "" });
  process.on("unhandledRejection", note);
  [sockets, losesAnswers, subscriptions] = [[], false, 0];
  door = createServer((inner) => {
    const outer = connect(Number(new URL(redis.target.url).port), "127.0.0.1");
    let asked = false;
    for (const socket of [inner, outer]) socket.on("error", () => {});
    inner.on("data", (chunk) => {
      if (chunk.toString().toLowerCase().includes("subscribe")) {
        asked = true;
        subscriptions++;
      }
      outer.write(chunk);
    });
    outer.on("data", (chunk) => void ((asked && losesAnswers) || inner.write(chunk)));
    inner.on("close", () => outer.destroy());
    sockets.push(inner);
  });
  door.listen(0, "127.0.0.1");
  await once(door, "listening");
});
afterEach(() => {
  losesAnswers = false;
});
afterAll(async () => {
  process.off("unhandledRejection", note);
  for (const socket of sockets) socket.destroy();
  door.close();
  await redis.stop();
});

test("after a lost connection it listens again, once, and closing it before the answer is nobody's error", async () => {
  const url = new URL(redis.target.url);
  url.port = String((door.address() as { port: number }).port);
  const heard: string[] = [];
  let listening = 0;
  const subscriber = openSubscriber(
    { url: url.href },
    { news: (message) => heard.push(message) },
    { onListening: () => listening++ },
  );
  await waitFor(() => listening === 1);
  sockets.at(-1)?.destroy();
  await waitFor(() => listening === 2);
  expect(subscriptions).toBe(2);
  losesAnswers = true;
  sockets.at(-1)?.destroy();
  await waitFor(() => subscriptions === 3);
  subscriber.close();
  await delay(100);
  expect(unhandled).toEqual([]);
});
