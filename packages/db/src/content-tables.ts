import type { Generated } from "kysely";

/** Texts of calls, where an administrator has them kept. */
export interface ContentTables {
  content_log_settings: {
    organization_id: string;
    enabled: boolean;
    retention_days: number;
    max_bytes: number;
    erased_at: Date | null;
    updated_at: Generated<Date>;
    updated_by: string;
  };
  request_contents: {
    request_id: string;
    organization_id: string;
    created_at: Generated<Date>;
    prompt: Buffer | null;
    answer: Buffer | null;
    prompt_bytes: bigint;
    answer_bytes: bigint;
    prompt_cut: boolean;
    answer_cut: boolean;
    streamed: boolean;
  };
}
