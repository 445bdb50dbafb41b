import { setImmediate as nextTurn } from "node:timers/promises";
import type { FieldError } from "@nexus/core";
import { findIn } from "./detect/find-in.ts";
import type { Finding, FindingKind } from "./detect/finding.ts";
import type { DetectorSettings } from "./guardrail-settings.ts";
import { type Guardrail, GuardrailFailure, type Judged, nothingFound, type Verdict } from "./guardrail.ts";

/** A text is read in pieces of so many characters, with a look at the clock between them. */
const pieceLength = 128 * 1024;
/** Longest time without letting others have their turn, milliseconds. */
const turnMs = 8;
const mostTold = 20;

/** The detector that comes with the gateway: it asks nobody. */
export function detectorGuardrail(settings: DetectorSettings): Guardrail {
  const kinds = new Set(settings.detects);
  return {
    settings,
    judge: (judged) => detect(judged, kinds, settings.timeoutMs),
    close: async () => {},
  };
}

async function detect({ texts }: Judged, kinds: ReadonlySet<FindingKind>, timeoutMs: number): Promise<Verdict> {
  const told: FieldError[] = [];
  const redacted = new Map<number, string>();
  const start = performance.now();
  let turn = start;
  for (const [index, { at, text }] of texts.entries()) {
    const findings: Finding[] = [];
    for (let from = 0; from < text.length; from = Math.max(from + pieceLength, findings.at(-1)?.end ?? 0)) {
      findings.push(...findIn(text, kinds, from, Math.min(from + pieceLength, text.length)));
      const now = performance.now();
      if (now - start > timeoutMs) throw new GuardrailFailure(`the deadline of ${timeoutMs} ms passed`);
      if (now - turn < turnMs) continue;
      await nextTurn();
      turn = performance.now();
    }
    if (findings.length === 0) continue;
    redacted.set(index, redactedText(text, findings));
    for (const { kind } of findings) if (told.length < mostTold) told.push({ pointer: at, detail: `holds ${sayingOf(kind)}` });
  }
  return told.length === 0 ? nothingFound : { blocks: false, findings: told, redacted };
}

/** Each finding gives way to its kind: `[EMAIL]`. @internal */
export function redactedText(text: string, findings: readonly Finding[]): string {
  let out = "";
  let at = 0;
  for (const { kind, start, end } of findings) {
    out += `${text.slice(at, start)}[${kind.toUpperCase()}]`;
    at = end;
  }
  return out + text.slice(at);
}

/** What a client is told of a finding. */
export function sayingOf(kind: FindingKind): string {
  return kind.replaceAll("_", " ");
}
