/** One guardrail at work, of whichever kind. */
import type { FieldError } from "@nexus/core";
import type { GuardrailSettings } from "./guardrail-settings.ts";

/** What is judged: the texts of a request or of an answer. */
export interface Judged {
  stage: "input" | "output";
  requestId: string;
  endpoint: string;
  /** As the client named it. */
  model: string;
  organizationId: string;
  keyId: string | null;
  texts: readonly JudgedText[];
}

export interface JudgedText {
  /** JSON Pointer into the body, or where in a stream. */
  at: string;
  text: string;
}

/** What a guardrail says; it is for the gateway to act on. */
export interface Verdict {
  /** The call is not to go on, whatever could be redacted. */
  blocks: boolean;
  /** Places and kinds, never a text. */
  findings: readonly FieldError[];
  /** Texts to put in the place of others, by their index. */
  redacted: ReadonlyMap<number, string>;
}

export interface Guardrail {
  readonly settings: GuardrailSettings;
  /** @throws GuardrailFailure when it cannot tell */
  judge(judged: Judged): Promise<Verdict>;
  close(): Promise<void>;
}

export const nothingFound: Verdict = { blocks: false, findings: [], redacted: new Map() };

/** It could not tell: too slow, away, or in no shape that is an answer. The message is for the log. */
export class GuardrailFailure extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "GuardrailFailure";
  }
}
