/**
 * Reads a stream on its way. What may be the beginning of a finding waits: the run without a space that is under way, and a few
 * characters before it, as numbers are written in groups. What is decided leaves, frame by frame in its order.
 */
import { findIn } from "../detect/find-in.ts";
import { type Finding, type FindingKind, sayingOf } from "../detect/finding.ts";
import { markOf } from "../detect/redacted-text.ts";
import { framesIn } from "../wire/frames-in.ts";
import { type GrowingBuffer, growingBuffer } from "../wire/growing-buffer.ts";
import { type Leaf, readFrame, type TextFrame } from "../wire/stream-texts.ts";
import type { GuardedCall } from "./guarded-call.ts";
import type { GuardrailAction } from "./guardrail-settings.ts";
import type { Guardrail } from "./guardrail.ts";

/** Characters; the longest finding with spaces in it (an IBAN in groups, a phone) is shorter. */
const window = 48;
/** Longest run without a space that waits for its end. */
const longestRun = 4096;
/** Longest wait: a block of a private key. */
const longestHeld = 32 * 1024;
/** Most that waits, whatever texts it is of: a provider that never ends them would fill the memory. */
const mostFrames = 8192;
const mostTexts = 512;
const mostBytes = 16 * 1024 * 1024;
const nothing = Buffer.alloc(0);
/** Most texts whose end is remembered. */
const mostChannels = 1024;

interface WaitingFrame {
  frame: TextFrame;
  /** Of its texts those that are decided by what follows. */
  pieces: readonly Leaf[];
  /** Frames without such texts that came behind it. */
  rest: GrowingBuffer;
}

/** Owns the frames of one stream that wait. */
export class StreamWindow {
  readonly #guarded: GuardedCall;
  readonly #owners: ReadonlyMap<FindingKind, Guardrail>;
  readonly #kinds: ReadonlySet<FindingKind>;
  /** By channel, the end of what has left: a finding depends on what stands before it. */
  readonly #left = new Map<string, string>();
  readonly #waiting: WaitingFrame[] = [];
  #waitingBytes = 0;
  readonly #warned = new Set<FindingKind>();

  /** @param guardrails detectors */
  constructor(guarded: GuardedCall, guardrails: readonly Guardrail[]) {
    this.#guarded = guarded;
    this.#owners = ownersOf(guardrails);
    this.#kinds = new Set(this.#owners.keys());
  }

  /** What may leave now; with `isLast` everything. @throws Problem `guardrail_blocked` */
  push(frames: Buffer | undefined, isLast: boolean): Buffer | undefined {
    for (const bytes of frames ? framesIn(frames) : []) {
      const frame = readFrame(bytes);
      for (const leaf of frame.leaves) if (leaf.channel === undefined) this.#passPieces([leaf], "", true);
      this.#wait(frame);
    }
    const isFull = this.#waiting.length > mostFrames || this.#waitingBytes > mostBytes;
    const passed = this.#passTexts(isLast || isFull);
    const waits = this.#waiting.findIndex(({ pieces }) => !pieces.every((leaf) => passed.has(leaf)));
    const leaving = this.#waiting.splice(0, waits === -1 ? this.#waiting.length : waits);
    const out = leaving.flatMap(({ frame, pieces, rest }) => {
      for (const leaf of pieces) this.#remember(leaf);
      this.#waitingBytes -= frame.bytes.length + rest.size();
      return [frame.write(), rest.take() ?? nothing];
    });
    return out.length > 0 ? Buffer.concat(out) : undefined;
  }

  /** What has no text waits with the text before it, and is not looked at again. */
  #wait(frame: TextFrame): void {
    const pieces = frame.leaves.filter(({ channel, text }) => channel !== undefined && text !== "");
    const before = this.#waiting.at(-1);
    const bytes = before && pieces.length === 0 ? frame.write() : frame.bytes;
    this.#waitingBytes += bytes.length;
    if (before && pieces.length === 0) before.rest.push(bytes);
    else this.#waiting.push({ frame, pieces, rest: growingBuffer() });
  }

  #passTexts(isLast: boolean): Set<Leaf> {
    const pieces = this.#waiting.flatMap((one) => one.pieces);
    const texts = Map.groupBy(pieces, ({ channel }) => channel ?? "");
    const isEnd = isLast || texts.size > mostTexts;
    return new Set(
      Array.from(texts, ([channel, leaves]) => this.#passPieces(leaves, this.#left.get(channel) ?? "", isEnd)).flat(),
    );
  }

  /** Cuts out of the pieces of a text what is found in them. @returns those that may leave */
  #passPieces(leaves: readonly Leaf[], before: string, isLast: boolean): Leaf[] {
    const text = before + leaves.map((leaf) => leaf.text).join("");
    const { may, cuts } = this.#decide(text, before.length, isLast);
    const passed: Leaf[] = [];
    let at = before.length;
    for (const leaf of leaves) {
      const end = at + leaf.text.length;
      const now = cuts.length > 0 ? cutOut(text, { start: at, end }, cuts) : leaf.text;
      if (end <= may) passed.push(leaf);
      if (now !== leaf.text) Object.assign(leaf, { text: now, isChanged: true });
      at = end;
    }
    return passed;
  }

  /** Acts on what is decided of a text, and tells how much of it may leave. */
  #decide(text: string, from: number, isLast: boolean): { may: number; cuts: Finding[] } {
    // From the beginning, as what names a secret may have left before its value came.
    const scanned = findIn(text, this.#kinds, Math.min(from, text.indexOf(" ") + 1));
    const findings = scanned.filter(({ start }) => start >= from);
    let may = isLast || text.length - from > longestHeld ? text.length : decidedEnd(text);
    for (const { start, end } of findings) if (end > may && start < may) may = start;
    return { may, cuts: findings.filter((finding) => finding.end <= may && this.#act(finding) === "redact") };
  }

  #act({ kind }: Finding): GuardrailAction {
    const owner = this.#owners.get(kind);
    // What is only warned of stays where it is, and is seen again until it has left.
    if (!owner || this.#warned.has(kind)) return "warn";
    if (owner.settings.action === "warn") this.#warned.add(kind);
    const findings = [{ pointer: "/stream", detail: `holds ${sayingOf(kind)}` }];
    return this.#guarded.found(owner, "output", { blocks: false, findings });
  }

  #remember({ channel, text }: Leaf): void {
    if (channel === undefined) return;
    const before = this.#left.get(channel) ?? "";
    // The one that was written in last stands last.
    this.#left.delete(channel);
    this.#left.set(channel, (before + text).slice(-window));
    const [oldest] = this.#left.keys();
    if (this.#left.size > mostChannels && oldest !== undefined) this.#left.delete(oldest);
  }
}

/** The first guardrail that looks for a kind acts on it. */
function ownersOf(guardrails: readonly Guardrail[]): Map<FindingKind, Guardrail> {
  const owners = new Map<FindingKind, Guardrail>();
  for (const guardrail of guardrails) {
    if (guardrail.settings.kind !== "detector") continue;
    for (const kind of guardrail.settings.detects) if (!owners.has(kind)) owners.set(kind, guardrail);
  }
  return owners;
}

/** Up to where nothing that follows can change what was found. */
function decidedEnd(text: string): number {
  let run = text.length;
  while (run > 0 && text.length - run < longestRun && !isSpace(text.charCodeAt(run - 1))) run--;
  return Math.max(0, Math.min(text.length - window, run));
}

function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}

/** A part of a text without what was found in it; the kind stands where the finding began. */
function cutOut(text: string, { start, end }: { start: number; end: number }, cuts: readonly Finding[]): string {
  let out = "";
  let at = start;
  for (const cut of cuts) {
    if (cut.end <= start || cut.start >= end) continue;
    out += text.slice(at, Math.max(at, cut.start));
    if (cut.start >= start) out += markOf(cut.kind);
    at = Math.min(end, cut.end);
  }
  return out + text.slice(at, end);
}
