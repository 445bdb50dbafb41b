/** `GET /health` (draft-inadarei-api-health-check-06) and `GET /readyz`. */
import { type Static, Type } from "typebox";
import { strictObject, Timestamp } from "./common.ts";

export const HealthStatus = Type.Union([Type.Literal("pass"), Type.Literal("warn"), Type.Literal("fail")], {
  description: "pass: all well; warn: degraded but doing its job; fail: cannot do its job",
});
export type HealthStatus = Static<typeof HealthStatus>;

export const HealthEntry = strictObject({
  status: HealthStatus,
  observedValue: Type.Number({ description: "how long the probe took" }),
  observedUnit: Type.Literal("ms"),
  time: Timestamp,
  output: Type.Optional(Type.String({ description: "how it is, in words" })),
});
export type HealthEntry = Static<typeof HealthEntry>;

export const HealthReport = strictObject({
  status: HealthStatus,
  version: Type.String(),
  releaseId: Type.String({ description: "the commit" }),
  serviceId: Type.String(),
  description: Type.String(),
  checks: Type.Record(Type.String(), Type.Array(HealthEntry), { description: "one member per dependency, `name:measurement`" }),
});
export type HealthReport = Static<typeof HealthReport>;

export const Readiness = strictObject({
  ready: Type.Boolean(),
  reasons: Type.Array(Type.String(), { description: "why not: starting, draining, or what the service says is missing" }),
});
export type Readiness = Static<typeof Readiness>;

export const Liveness = strictObject({ status: Type.Literal("alive") });
