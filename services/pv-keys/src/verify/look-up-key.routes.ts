import { LookupKeyAnswer, LookupKeyRequest } from "@nexus/contracts/key-record";
import type { App } from "@nexus/http";
import type { Deps } from "../deps.ts";

/** What the platform's other verifiers ask when they meet a key that they do not know. */
export function addLookUpRoute(internal: App, { verifier }: Deps): void {
  internal.route({
    method: "POST",
    url: "/v1/keys/lookup",
    config: { permission: "service" },
    schema: {
      summary: "The key of a digest, as of a revision of the change feed",
      tags: ["keys"],
      body: LookupKeyRequest,
      response: { 200: LookupKeyAnswer },
    },
    handler: async (request) => {
      const { digest, min_rev: minRev } = request.body;
      const found = await verifier.checker.lookUp(Buffer.from(digest, "base64url"), minRev);
      const { record: key, generation, asOf: as_of, freezes = [] } = found;
      return { key, generation, as_of, freezes: [...freezes] };
    },
  });
}
