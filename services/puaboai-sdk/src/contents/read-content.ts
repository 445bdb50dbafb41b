import type { RequestContent } from "@nexus/contracts/contents";
import { Problem, toId } from "@nexus/core";
import { inTransaction } from "@nexus/db";
import type { ChangedBy } from "@nexus/http";
import type { ContentLogDeps } from "./change-content-log.ts";
import { findContent, type StoredContent } from "./contents.store.ts";

/**
 * What was asked and answered. The audit entry of the reading is committed before the text leaves.
 * @throws Problem `not_found`: nothing is kept of it, or not any more
 */
export async function readContent(
  deps: ContentLogDeps,
  requestId: string,
  { caller, context }: ChangedBy,
): Promise<RequestContent> {
  // Whoever asks after their call sees it: what this process has recorded is brought in first.
  await deps.contents.flush();
  return await inTransaction(deps.db, async (tx) => {
    const found = await findContent(tx, requestId);
    if (!found) throw new Problem("not_found", "Nothing is kept of such a request.");
    const id = toId("request", requestId);
    const organizationId = toId("organization", found.content.organization_id);
    await deps.audit.write(tx, {
      action: "request_content.read",
      outcome: "success",
      organizationId,
      actor: { kind: "person", id: caller.userId },
      targets: [{ kind: "request", id }],
      context,
      details: {},
    });
    return present(deps, found);
  });
}

function present(
  { contents }: ContentLogDeps,
  { content, expiresAt }: { content: StoredContent; expiresAt: Date },
): RequestContent {
  const requestId = toId("request", content.request_id);
  const organizationId = toId("organization", content.organization_id);
  const text = (part: "prompt" | "answer"): RequestContent["prompt"] => {
    const sealed = content[part];
    if (!sealed) return null;
    const opened = contents.textOf({ organizationId, requestId, part }, sealed);
    return { text: opened ?? null, bytes: Number(content[`${part}_bytes`]), cut: content[`${part}_cut`] };
  };
  return {
    request_id: requestId,
    organization_id: organizationId,
    kept_at: content.created_at.toISOString(),
    expires_at: expiresAt.toISOString(),
    streamed: content.streamed,
    prompt: text("prompt"),
    answer: text("answer"),
  };
}
