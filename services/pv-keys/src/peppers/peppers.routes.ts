import { PepperUseList } from "@nexus/contracts/peppers";
import type { App } from "@nexus/http";
import type { Deps } from "../deps.ts";
import { countPepperUses } from "./peppers.store.ts";

export function addPepperRoutes(app: App, { db, peppers }: Deps): void {
  app.route({
    method: "GET",
    url: "/v1/keys/peppers",
    config: { permission: "admin" },
    schema: {
      summary: "How many keys still hang on which pepper",
      tags: ["keys"],
      response: { 200: PepperUseList },
    },
    handler: async () => {
      const uses = await countPepperUses(db);
      return {
        data: uses.map((use) => ({ ...use, current: use.version === peppers.current, held: peppers.versions.has(use.version) })),
      };
    },
  });
}
