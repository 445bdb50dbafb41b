import { type AddressInfo, createServer } from "node:net";
import { freePort } from "@nexus/testing";
import { expect, it } from "vitest";
import { firstTakenPort } from "./free-ports.ts";

it("names the port that something listens on", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => holder.once("listening", resolve));
  const { port } = holder.address() as AddressInfo;
  expect(await firstTakenPort([await freePort(), port], "127.0.0.1")).toBe(port);
  await new Promise((resolve) => holder.close(resolve));
  expect(await firstTakenPort([port], "127.0.0.1")).toBeUndefined();
});
