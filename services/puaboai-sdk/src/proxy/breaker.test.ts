import { fakeClock } from "@nexus/testing";
import { expect, test } from "vitest";
import { openBreaker } from "./breaker.ts";

const settings = { failures: 3, openMs: 10_000 };

function fail(breaker: ReturnType<typeof openBreaker>, times: number): void {
  for (let n = 0; n < times; n++) {
    const attempt = breaker.enter();
    attempt.failed();
    attempt.ended();
  }
}

test("after so many failures in a row the provider is left alone, and a success in between begins the count anew", () => {
  const breaker = openBreaker("p", settings, fakeClock());
  fail(breaker, 2);
  breaker.enter().succeeded();
  fail(breaker, 2);
  expect(breaker.state()).toBe("closed");
  fail(breaker, 1);
  expect(breaker.state()).toBe("open");
  expect(() => breaker.enter()).toThrow(expect.objectContaining({ code: "unavailable", headers: { "retry-after": "10" } }));
});

test("then one call tries, alone; its success opens the way and its failure closes it again", () => {
  const clock = fakeClock();
  const breaker = openBreaker("p", settings, clock);
  fail(breaker, 3);
  clock.advance(10_001);
  expect(breaker.state()).toBe("half_open");
  const first = breaker.enter();
  expect(breaker.state()).toBe("half_open");
  expect(() => breaker.enter()).toThrow("keeps failing");
  first.failed();
  first.ended();
  expect(breaker.state()).toBe("open");
  expect(() => breaker.enter()).toThrow("keeps failing");
  clock.advance(10_001);
  const second = breaker.enter();
  second.succeeded();
  second.ended();
  expect(breaker.state()).toBe("closed");
  breaker.enter();
  breaker.enter();
});

test("a try without a verdict, as when the client goes away, lets the next one try", () => {
  const clock = fakeClock();
  const breaker = openBreaker("p", settings, clock);
  fail(breaker, 3);
  clock.advance(10_001);
  breaker.enter().ended();
  expect(breaker.enter()).toBeDefined();
});

test("switched off it never opens", () => {
  const breaker = openBreaker("p", { failures: 0, openMs: 10_000 }, fakeClock());
  fail(breaker, 100);
  expect(breaker.state()).toBe("closed");
});
