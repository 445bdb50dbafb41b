import type { Origins } from "./user.ts";

/** What the steps of one run share. */
export interface Scene {
  /** The copy of the checkout that is deployed. */
  readonly copy: string;
  readonly project: string;
  readonly origins: Origins;
  key: string;
  keyId: string;
}

export const applications = ["puabo-api", "nexus-cos-puaboai-sdk", "nexus-cos-pv-keys"];
export const containers = ["nexus-cos-postgres", "nexus-cos-redis", ...applications];
