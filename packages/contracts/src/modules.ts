/** `GET /api/<module>/status`: what the platform knows about each of its parts. Public, without the reasons of a fault. */
import { type Static, Type } from "typebox";
import { strictObject, Timestamp } from "./common.ts";

export const moduleStates = ["operational", "degraded", "down", "unknown", "maintenance"] as const;
export type ModuleState = (typeof moduleStates)[number];

const State = Type.Union([
  Type.Literal("operational"),
  Type.Literal("degraded"),
  Type.Literal("down"),
  Type.Literal("unknown"),
  Type.Literal("maintenance"),
]);

const Share = Type.Union([Type.Number({ minimum: 0, maximum: 1 }), Type.Null()], {
  description: "share of the probes that found it doing its job; null before the first",
});

export const ModuleCheck = strictObject({
  name: Type.String(),
  status: Type.Union([Type.Literal("pass"), Type.Literal("warn"), Type.Literal("fail")]),
  latency_ms: Type.Optional(Type.Integer()),
  detail: Type.Optional(Type.String({ description: "why; shown to administrators" })),
});
export type ModuleCheck = Static<typeof ModuleCheck>;

export const ModuleIncident = strictObject({
  id: Type.String({ description: "inc_…" }),
  status: Type.Union([Type.Literal("degraded"), Type.Literal("down"), Type.Literal("unknown")]),
  started_at: Timestamp,
  ended_at: Type.Union([Timestamp, Type.Null()]),
});

export const ModuleStatus = strictObject({
  module: Type.String(),
  title: Type.String(),
  status: State,
  since: Timestamp,
  checked_at: Type.Union([Timestamp, Type.Null()]),
  latency_ms: Type.Union([Type.Integer(), Type.Null()]),
  version: Type.Optional(Type.String()),
  uptime: strictObject({ "24h": Share, "7d": Share, "30d": Share, "90d": Share }),
  checks: Type.Array(ModuleCheck),
  incidents: Type.Array(ModuleIncident),
});
export type ModuleStatus = Static<typeof ModuleStatus>;

export const ModuleParams = strictObject({ module: Type.String({ minLength: 1, maxLength: 63 }) });

/** Every module, worst state first in `status`. */
export const PlatformStatus = strictObject({ status: State, modules: Type.Array(ModuleStatus) });
export type PlatformStatus = Static<typeof PlatformStatus>;

/** The platform in one line. */
export const SystemStatus = strictObject({
  status: State,
  message: Type.String(),
  checked_at: Type.Union([Timestamp, Type.Null()]),
});
export type SystemStatus = Static<typeof SystemStatus>;
