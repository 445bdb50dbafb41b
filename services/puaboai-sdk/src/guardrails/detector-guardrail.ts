import type { FieldError } from "@nexus/core";
import { findInPieces } from "../detect/find-in-pieces.ts";
import { type Finding, type FindingKind, sayingOf } from "../detect/finding.ts";
import { redactedText } from "../detect/redacted-text.ts";
import { Turns } from "../detect/turns.ts";
import type { DetectorSettings } from "./guardrail-settings.ts";
import { type Guardrail, GuardrailFailure, type Judged, nothingFound, type Verdict } from "./guardrail.ts";

/** Characters between two looks at the clock. */
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
  const deadline = performance.now() + timeoutMs;
  const turns = new Turns(turnMs);
  for (const [index, { at, text }] of texts.entries()) {
    const findings: Finding[] = [];
    for (const found of findInPieces(text, kinds, pieceLength)) {
      findings.push(...found);
      if (performance.now() > deadline) throw new GuardrailFailure(`the deadline of ${timeoutMs} ms passed`);
      if (turns.isDue()) await turns.take();
    }
    if (findings.length === 0) continue;
    redacted.set(index, redactedText(text, findings));
    for (const { kind } of findings) if (told.length < mostTold) told.push({ pointer: at, detail: `holds ${sayingOf(kind)}` });
  }
  return told.length === 0 ? nothingFound : { blocks: false, findings: told, redacted };
}
