import { describe, expect, it } from "vitest";
import { createMetrics } from "./create-metrics.ts";

describe("metrics", () => {
  it("every service has a registry of its own, though several share a process", async () => {
    const [one, two] = [createMetrics({ service: "one" }), createMetrics({ service: "two" })];
    one.observeRequest({ method: "GET", route: "/v1/keys/:id", status: 200, durationSeconds: 0.02 });
    const text = await one.registry.metrics();
    const labels = String.raw`method="GET",route="/v1/keys/:id",status="200"`;
    expect(text).toMatch(new RegExp(`duration_seconds_count\\{.*${labels}.*\\} 1`));
    expect(text).toMatch(new RegExp(`duration_seconds_bucket\\{.*le="0.025".*\\} 1`));
    expect(text).toContain("process_cpu_seconds_total");
    expect(await two.registry.metrics()).not.toContain("/v1/keys/:id");
  });

  it("a service's own counters, gauges and histograms stand in its registry", async () => {
    const metrics = createMetrics({ service: "one" });
    metrics.counter({ name: "calls_total", help: "calls", labelNames: ["model"] }).inc({ model: "echo" }, 2);
    metrics.gauge({ name: "open_streams", help: "streams" }).set(3);
    metrics.histogram({ name: "wait_seconds", help: "wait", buckets: [1] }).observe(0.5);
    const text = await metrics.registry.metrics();
    expect(text).toContain('calls_total{model="echo",service="one"} 2');
    expect(text).toContain('open_streams{service="one"} 3');
    expect(text).toContain('wait_seconds_count{service="one"} 1');
  });
});
