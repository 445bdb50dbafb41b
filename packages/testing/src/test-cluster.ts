import type { Connection, ServiceRole } from "@nexus/db";

/** What the global set-up hands to the workers. */
export interface TestCluster {
  /** The owner, on the template database. */
  owner: Connection;
  passwords: Record<ServiceRole, string>;
}

export const templateDatabase = "nexus_template";

declare module "vitest" {
  interface ProvidedContext {
    nexusTestCluster: TestCluster;
  }
}
