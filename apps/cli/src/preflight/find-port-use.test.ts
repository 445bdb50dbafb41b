import { type AddressInfo, createServer, type Server } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Docker } from "../docker/open-docker.ts";
import { findPortUse } from "./find-port-use.ts";

let holder: Server;
let port: number;

beforeEach(async () => {
  holder = createServer().listen(0, "0.0.0.0");
  await new Promise((resolve) => holder.once("listening", resolve));
  port = (holder.address() as AddressInfo).port;
});
afterEach(() => {
  holder.close();
});

/** An engine that lists these containers, one answer after the other; the last one stays. */
function engine(...answers: string[]): Docker {
  let asked = 0;
  return {
    docker: async () => ({ code: 0, stdout: answers[Math.min(asked++, answers.length - 1)] ?? "", stderr: "" }),
  } as unknown as Docker;
}

it("names another process's port, and says so only after it has looked again", async () => {
  expect(await findPortUse(port, "ours", engine(""))).toMatchObject({ holder: { ours: false } });
});

it("another project's container is not ours", async () => {
  const use = await findPortUse(port, "ours", engine("other-api\tother"));
  expect(use.holder).toEqual({ ours: false, who: "container other-api" });
});

it("a container of ours that the engine does not list yet, because it restarts, is ours all the same", async () => {
  const use = await findPortUse(port, "ours", engine("", "", "nexus-cos-puaboai-sdk\tours"));
  expect(use.holder).toEqual({ ours: true, who: "container nexus-cos-puaboai-sdk" });
});

it("a port that nobody listens on is free", async () => {
  await new Promise((resolve) => holder.close(resolve));
  expect(await findPortUse(port, "ours", engine(""))).toEqual({ port, holder: undefined });
});
