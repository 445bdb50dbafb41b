import { HealthReport } from "@nexus/contracts/health";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, fakeClock } from "@nexus/testing";
import { Compile } from "typebox/compile";
import { describe, expect, it } from "vitest";
import { createHealth, type HealthCheck } from "./health.ts";
import { createReadiness } from "./operations-routes.ts";

const identity = { name: "example", version: "1.2.3", commit: "abc", description: "An example." };

function healthOf(checks: HealthCheck[]) {
  const clock = fakeClock();
  const logs = captureLogs();
  const logger = createLogger({ service: "example", level: "debug", destination: logs.stream });
  return { clock, logs, report: createHealth({ identity, checks, clock, logger }) };
}
const works = async (): Promise<void> => {};
const breaks = async (): Promise<void> => {
  throw new Error("password=hunter2 for nexus_user at 10.0.0.7");
};

describe("health", () => {
  it("passes when everything does, in the form of the draft", async () => {
    const { report } = healthOf([{ name: "postgresql:connection", critical: true, probe: works }]);
    const answer = await report();
    expect(answer).toMatchObject({ status: "pass", version: "1.2.3", releaseId: "abc", serviceId: "example" });
    expect(answer.checks["postgresql:connection"]).toEqual([
      {
        status: "pass",
        observedValue: expect.any(Number) as number,
        observedUnit: "ms",
        time: expect.stringMatching(/Z$/) as string,
      },
    ]);
    expect(Compile(HealthReport).Check(answer)).toBe(true);
  });

  it("warns when something is broken that it can do without, fails when it cannot", async () => {
    const redis = { name: "redis:connection", critical: false, probe: breaks };
    expect(await healthOf([{ name: "a", critical: true, probe: works }, redis]).report()).toMatchObject({
      status: "warn",
      checks: { a: [{ status: "pass" }], "redis:connection": [{ status: "warn" }] },
    });
    expect(await healthOf([{ name: "a", critical: true, probe: breaks }, redis]).report()).toMatchObject({
      status: "fail",
      checks: { a: [{ status: "fail" }], "redis:connection": [{ status: "warn" }] },
    });
  });

  it("tells the reason to the log alone", async () => {
    const { report, logs } = healthOf([{ name: "a", critical: true, probe: breaks }]);
    expect(JSON.stringify(await report())).not.toMatch(/hunter2|10\.0\.0\.7|nexus_user/);
    expect(logs.lines()).toMatchObject([{ level: "warn", event: "health", dependency: "a", status: "fail" }]);
  });

  it("logs changes, not every look", async () => {
    let probe = breaks;
    const { report, logs, clock } = healthOf([{ name: "a", critical: true, probe: () => probe() }]);
    for (let n = 0; n < 5; n++) {
      await report();
      clock.advance(1001);
    }
    probe = works;
    expect((await report()).status).toBe("pass");
    expect(logs.lines().map((line) => line["status"])).toEqual(["fail", "pass"]);
  });

  it("asks a dependency once a second, however many ask", async () => {
    let asked = 0;
    const probe = async (): Promise<void> => {
      asked++;
      await new Promise((resolve) => setImmediate(resolve));
    };
    const { report, clock } = healthOf([{ name: "a", critical: true, probe }]);
    await Promise.all(Array.from({ length: 100 }, () => report()));
    await report();
    expect(asked).toBe(1);
    clock.advance(1000);
    await Promise.all(Array.from({ length: 100 }, () => report()));
    expect(asked).toBe(2);
  });

  it("a dependency that hangs costs its deadline, for all who wait, and hears that it is over", async () => {
    let signal: AbortSignal | undefined;
    const probe = (given: AbortSignal): Promise<void> => {
      signal = given;
      return new Promise(() => {});
    };
    const { report } = healthOf([
      { name: "hung", critical: true, deadlineMs: 50, probe },
      { name: "well", critical: true, probe: works },
    ]);
    const began = performance.now();
    const answers = await Promise.all([report(), report()]);
    expect(performance.now() - began).toBeLessThan(1000);
    expect(answers[0]).toMatchObject({ status: "fail", checks: { hung: [{ status: "fail" }], well: [{ status: "pass" }] } });
    expect(signal?.aborted).toBe(true);
  });

  it("a probe that throws at once, or rejects with nothing, is a broken dependency", async () => {
    const probes: HealthCheck["probe"][] = [
      () => {
        throw new Error("x");
      },
      () => {
        const { promise, reject } = Promise.withResolvers<void>();
        reject();
        return promise;
      },
    ];
    for (const probe of probes) expect((await healthOf([{ name: "a", critical: true, probe }]).report()).status).toBe("fail");
  });

  it("a late rejection after the deadline disturbs nobody", async () => {
    let late: (error: Error) => void = () => {};
    const { report } = healthOf([
      { name: "a", critical: true, deadlineMs: 20, probe: () => new Promise((_resolve, reject) => (late = reject)) },
    ]);
    await report();
    late(new Error("too late"));
    await new Promise((resolve) => setImmediate(resolve));
  });
});

describe("readiness", () => {
  it("says what is missing, and looks again after a second", async () => {
    let missing = ["migration 1 is missing"];
    const clock = fakeClock();
    const ready = createReadiness({ ask: async () => missing, clock, onFailure: () => {} });
    expect(await ready()).toEqual(["migration 1 is missing"]);
    missing = [];
    expect(await ready()).toEqual(["migration 1 is missing"]);
    clock.advance(1000);
    expect(await ready()).toEqual([]);
  });

  it("stays as it was when the dependency that knows goes away or hangs: degraded is still ready", async () => {
    let ask = async (): Promise<string[]> => [];
    const clock = fakeClock();
    const failures: unknown[] = [];
    const ready = createReadiness({ ask: () => ask(), clock, onFailure: (error) => failures.push(error), deadlineMs: 30 });
    expect(await ready()).toEqual([]);
    ask = () => Promise.reject(new Error("PostgreSQL is away"));
    clock.advance(1000);
    expect(await ready()).toEqual([]);
    ask = () => new Promise(() => {});
    clock.advance(1000);
    expect(await ready()).toEqual([]);
    expect(failures).toHaveLength(2);
  });

  it("is not given before anything is known", async () => {
    const clock = fakeClock();
    const ready = createReadiness({ ask: () => Promise.reject(new Error("away")), clock, onFailure: () => {} });
    expect(await ready()).toEqual(["readiness could not be found out"]);
  });
});
