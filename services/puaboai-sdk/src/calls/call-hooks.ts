/** What an installation may put around its calls: guardrails, and answers that are kept. Where it has none, none of it is there. */
import type { FastifyReply, FastifyRequest } from "@nexus/http";
import type { Catalogue, Model } from "../catalogue/catalogue.ts";
import type { OpenCall } from "./call-deps.ts";
import type { CallLedger } from "./call-ledger.ts";

export interface CallHooks {
  /**
   * What is around this call; `undefined`: nothing.
   * @throws Problem `guardrail_blocked`, `guardrail_failed`; what is wrong with model and body, as the route would
   */
  open(asked: HookedRequest): Promise<HookedCall | undefined>;
  close(): Promise<void>;
}

export interface HookedRequest {
  request: FastifyRequest;
  reply: FastifyReply;
  endpoint: string;
  call: Pick<OpenCall, "ledger" | "running" | "caller" | "asked" | "body">;
  catalogue: Catalogue;
}

export interface HookedCall {
  /** As guardrails left it. */
  body: Buffer;
  /** The client has its answer: nobody need be asked. */
  isAnswered: boolean;
  /** Another attempt has another account. */
  nextAttempt(ledger: CallLedger): void;
  answer: AnswerHooks;
}

/** What is done with an answer on its way to the client, in the client's format. */
export interface AnswerHooks {
  /** Absent: whole answers are not looked at. What it returns is sent. @throws Problem `guardrail_blocked`, `guardrail_failed` */
  checkWhole?: (answer: Buffer) => Promise<Buffer>;
  /** Present: a stream is held until it is whole, and checked then. @throws as `checkWhole` */
  checkStream?: (frames: Buffer) => Promise<Buffer>;
  /** A whole answer is about to be sent, byte for byte. */
  keepWhole(model: Model, headers: Readonly<Record<string, string>>, body: Buffer): void;
  /** For the stream of one attempt. */
  openStream(model: Model, headers: Readonly<Record<string, string>>): StreamHooks;
}

export interface StreamHooks {
  /** What may leave now. @param isLast the frame that ends every whole stream is among them @throws as `checkWhole` */
  push(frames: Buffer | undefined, isLast: boolean): Buffer | undefined;
  /** The rest. @param isWhole the stream was complete and without a fault */
  end(rest: Buffer | undefined, isWhole: boolean): Buffer | undefined;
}

export const asItIs: AnswerHooks = {
  keepWhole: () => {},
  openStream: () => ({ push: (frames) => frames, end: (rest) => rest }),
};
