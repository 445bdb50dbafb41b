import { Problem } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type FakePartner, fakeClock, startFakePartner } from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { openSigningKeys, type SigningKeySource } from "./signing-key-source.ts";

const [second, minute, hour] = [1000, 60_000, 3_600_000];
const logger = createLogger({ service: "pv-keys", level: "warn", destination: captureLogs().stream });
let partner: FakePartner;
let clock: ReturnType<typeof fakeClock>;
let keys: SigningKeySource;
beforeAll(async () => void (partner = await startFakePartner()));
beforeEach(() => {
  partner.answerWith(undefined);
  clock = fakeClock();
  keys = openSigningKeys({ url: partner.url, pinned: undefined, clock, logger });
});
afterAll(() => partner.close());

const identifierNow = (): string => partner.sign("").headers["github-public-key-identifier"] ?? "";
/** The seconds after which to come again, where it is too early to tell. */
const asked = async (identifier: string) =>
  await keys.find(identifier).then(
    (key) => (key ? "known" : "unknown"),
    (problem: unknown) => Number(problem instanceof Problem && problem.headers["retry-after"]),
  );

it("is asked no more than five times at once and then once in five minutes, whatever strangers name", async () => {
  const before = partner.fetches();
  for (let passed = 0; passed < hour; passed += 2 * second) {
    await asked(`stranger ${passed}`);
    clock.advance(2 * second);
  }
  expect(partner.fetches() - before).toBeGreaterThan(10);
  expect(partner.fetches() - before).toBeLessThanOrEqual(5 + 12);
});

it("finds a new key all the same, at the time at which the sender was told to come again", async () => {
  expect(await asked(identifierNow())).toBe("known");
  for (let times = 0; times < 100; times++) {
    await asked("stranger");
    clock.advance(second);
  }
  partner.addKey();
  const wait = await asked(identifierNow());
  expect(wait).toBeGreaterThan(10);
  clock.advance(Number(wait) * 1000);
  expect(await asked(identifierNow())).toBe("known");
});

it("is believed for a day while it cannot be renewed, and not for longer", async () => {
  expect(await asked(identifierNow())).toBe("known");
  partner.answerWith((response) => response.writeHead(403).end());
  const before = partner.fetches();
  for (let hours = 0; hours < 23; hours++) {
    clock.advance(hour);
    expect(await asked(identifierNow())).toBe("known");
  }
  expect(partner.fetches() - before).toBe(23);
  clock.advance(hour + minute);
  expect(await asked(identifierNow())).toBe(10);
  partner.answerWith(undefined);
  clock.advance(10 * second);
  expect(await asked(identifierNow())).toBe("known");
});
