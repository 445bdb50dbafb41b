/** The guardrails of one call: what they did to it, what its client is told of that, and what its usage row tells. */
import { isUtf8 } from "node:buffer";
import { type FieldError, Problem } from "@nexus/core";
import type { FastifyReply } from "@nexus/http";
import type { Logger } from "@nexus/telemetry";
import type { CallLedger } from "../calls/call-ledger.ts";
import { dotted } from "../json/pointers.ts";
import { skipSpace, skipValue } from "../json/scan-json.ts";
import { splice } from "../json/splice.ts";
import type { GuardrailAction } from "./guardrail-settings.ts";
import { type Guardrail, GuardrailFailure, type Judged, type JudgedText, type Verdict } from "./guardrail.ts";
import { stringValues } from "./string-values.ts";

export interface GuardTools {
  logger: Pick<Logger, "warn">;
  /** For metrics. */
  count: (name: string, did: GuardrailAction | "pass" | "failed") => void;
}

interface GuardedRequest {
  tools: GuardTools;
  reply: FastifyReply;
  ledger: CallLedger;
  about: Omit<Judged, "texts" | "stage">;
}

type Stage = Judged["stage"];

/** Findings that an error names in its message; it lists more of them. */
const mostTold = 3;

const strength: Readonly<Record<GuardrailAction, number>> = { warn: 1, redact: 2, block: 3 };

export class GuardedCall {
  readonly #request: GuardedRequest;
  readonly #did = new Map<string, GuardrailAction | "failed">();
  #ledger: CallLedger;
  #strongest: { guardrail: string; guardrailAction: GuardrailAction } | undefined;

  constructor(request: GuardedRequest) {
    this.#request = request;
    this.#ledger = request.ledger;
  }

  /** Another attempt has another account. */
  moveTo(ledger: CallLedger): void {
    this.#ledger = ledger;
    if (this.#strongest) ledger.note(this.#strongest);
  }

  /** A JSON body as the guardrails leave it. @throws Problem `guardrail_blocked`, `guardrail_failed` */
  async body(stage: Stage, body: Buffer, guardrails: readonly Guardrail[]): Promise<Buffer> {
    if (stage === "output" && !isJson(body)) return this.#unreadable(body, guardrails);
    const values = [...stringValues(body)].filter(({ at }) => at !== "/model");
    const texts = await this.texts(stage, values, guardrails);
    const changed = values.flatMap(({ start, end, text }, index) => {
      const now = texts[index] ?? text;
      return now === text ? [] : [{ start, end, text: JSON.stringify(now) }];
    });
    return splice(body, changed);
  }

  /** Texts as the guardrails leave them, one after the other. @throws Problem `guardrail_blocked`, `guardrail_failed` */
  async texts(stage: Stage, given: readonly JudgedText[], guardrails: readonly Guardrail[]): Promise<string[]> {
    const texts = given.map(({ text }) => text);
    for (const guardrail of guardrails) {
      const judged = given.map(({ at }, index) => ({ at, text: texts[index] ?? "" }));
      const verdict = await this.#verdictOf(guardrail, { ...this.#request.about, stage, texts: judged });
      const found = verdict !== undefined && (verdict.blocks || verdict.findings.length > 0);
      if (!found) continue;
      const action = this.found(guardrail, stage, verdict);
      if (action === "redact") for (const [index, text] of verdict.redacted) texts[index] = text;
    }
    return texts;
  }

  /** What is done about a finding; it is written down. @throws Problem `guardrail_blocked` */
  found(
    { settings }: Pick<Guardrail, "settings">,
    stage: Stage,
    { blocks, findings }: Omit<Verdict, "redacted">,
  ): GuardrailAction {
    const { name } = settings;
    const action = settings.action === "redact" && blocks ? "block" : settings.action;
    this.#note(name, action);
    if (action === "block") throw blocked(name, stage, findings);
    return action;
  }

  /** A provider's answer that cannot be read cannot be judged. */
  #unreadable(body: Buffer, guardrails: readonly Guardrail[]): Buffer {
    for (const { settings } of guardrails) {
      this.failed(settings.name, new GuardrailFailure("the answer is no JSON"));
      if (settings.onFailure === "closed") throw failedClosed(settings.name);
    }
    return body;
  }

  async #verdictOf(guardrail: Guardrail, judged: Judged): Promise<Verdict | undefined> {
    const { name, onFailure } = guardrail.settings;
    try {
      const verdict = await guardrail.judge(judged);
      if (!verdict.blocks && verdict.findings.length === 0) this.#request.tools.count(name, "pass");
      return verdict;
    } catch (error) {
      if (!(error instanceof GuardrailFailure)) throw error;
      this.failed(name, error);
      if (onFailure === "closed") throw failedClosed(name);
      return undefined;
    }
  }

  failed(name: string, err: GuardrailFailure): void {
    const { tools, about } = this.#request;
    tools.count(name, "failed");
    tools.logger.warn({ guardrail: name, err, request_id: about.requestId }, "a guardrail could not judge a call");
    if (!this.#did.has(name)) this.#did.set(name, "failed");
    this.#tell();
  }

  #note(name: string, action: GuardrailAction): void {
    this.#request.tools.count(name, action);
    const before = this.#did.get(name);
    if (before === undefined || before === "failed" || strength[before] < strength[action]) this.#did.set(name, action);
    if (!this.#strongest || strength[this.#strongest.guardrailAction] < strength[action])
      this.#strongest = { guardrail: name, guardrailAction: action };
    this.#ledger.note(this.#strongest);
    this.#tell();
  }

  /** A stream that has begun can be told no header any more; its usage row tells it. */
  #tell(): void {
    const { raw } = this.#request.reply;
    if (raw.headersSent) return;
    raw.setHeader("x-nexus-guardrail", Array.from(this.#did, ([name, did]) => `${name}=${did}`).join(", "));
  }
}

function isJson(body: Buffer): boolean {
  try {
    return isUtf8(body) && skipSpace(body, skipValue(body, skipSpace(body, 0))) === body.length;
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
}

function blocked(name: string, stage: Stage, findings: readonly FieldError[]): Problem {
  const what = stage === "input" ? "request" : "answer";
  const told = findings.slice(0, mostTold).map((one) => `${dotted(one.pointer) || "it"} ${one.detail}`);
  const detail = [`The guardrail ${name} does not let this ${what} pass`, ...(told.length > 0 ? [told.join("; ")] : [])].join(
    ": ",
  );
  return new Problem("guardrail_blocked", detail, { errors: [...findings], extensions: { guardrail: name, stage } });
}

function failedClosed(name: string): Problem {
  return new Problem("guardrail_failed", `The guardrail ${name} could not judge this call.`, { headers: { "retry-after": "5" } });
}
