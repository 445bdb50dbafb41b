/** A stream that is read through the window tells what the whole text would, however it is cut into frames. */
import { newId } from "@nexus/core";
import type { FastifyReply } from "@nexus/http";
import { labelledTexts as corpus } from "@nexus/testing";
import { describe, expect, test } from "vitest";
import type { CallLedger } from "../calls/call-ledger.ts";
import { findIn } from "../detect/find-in.ts";
import { piiKinds, secretKinds } from "../detect/finding.ts";
import { redactedText } from "../detect/redacted-text.ts";
import { detectorGuardrail } from "./detector-guardrail.ts";
import { GuardedCall } from "./guarded-call.ts";
import { StreamWindow } from "./stream-window.ts";

const kinds = [...secretKinds, ...piiKinds];
const all = new Set(kinds);

function openWindow(): StreamWindow {
  const about = { requestId: newId("request"), endpoint: "chat.completions", model: "m", organizationId: "org", keyId: null };
  const guarded = new GuardedCall({
    tools: { logger: { warn: () => {} }, count: () => {} },
    reply: { raw: { headersSent: true } } as FastifyReply,
    ledger: { note: () => {} } as unknown as CallLedger,
    about,
  });
  const settings = { name: "tidy", kind: "detector", on: "output", action: "redact", detects: kinds } as const;
  const rest = { timeoutMs: 1000, onFailure: "closed", models: undefined, organizations: undefined } as const;
  return new StreamWindow(guarded, [detectorGuardrail({ ...settings, ...rest })]);
}

const chatFrame = (content: string) => `data: ${JSON.stringify({ id: "x", choices: [{ index: 0, delta: { content } }] })}\n\n`;
const messagesFrame = (text: string) =>
  `event: content_block_delta\r\ndata: ${JSON.stringify({ type: "content_block_delta", index: 1, delta: { type: "text_delta", text } })}\r\n\r\n`;
const responsesFrame = (delta: string) =>
  `event: response.output_text.delta\ndata: ${JSON.stringify({ type: "response.output_text.delta", output_index: 0, content_index: 0, delta })}\n\n`;

/** What a client reads of a stream. */
function textOf(stream: string): string {
  return stream
    .split(/\r?\n\r?\n/)
    .filter((frame) => frame !== "")
    .map((frame) => {
      const { choices, delta } = JSON.parse(/^data: (.*)$/m.exec(frame)![1]!) as {
        choices?: { delta: { content: string } }[];
        delta?: string | { text: string };
      };
      return choices?.[0]?.delta.content ?? (typeof delta === "object" ? delta.text : delta);
    })
    .join("");
}

function pieces(text: string, seed: number): string[] {
  const out: string[] = [];
  let state = seed;
  for (let at = 0; at < text.length;) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    const size = 1 + (state % (seed % 2 === 0 ? 4 : 40));
    out.push(text.slice(at, at + size));
    at += size;
  }
  return out;
}

describe.each([
  ["chat", chatFrame],
  ["messages", messagesFrame],
  ["responses", responsesFrame],
])("%s", (_name, frameOf) => {
  test("every text of the corpus, after and before harmless words, in pieces of many sizes", () => {
    const padding = "Some words that stand before it, as they do in an answer of a model, long enough to leave. ";
    for (const [index, { text }] of corpus.entries()) {
      for (const seed of [index * 2 + 1, index * 2 + 2]) {
        const whole = `${padding}${text}\n${padding}`;
        const window = openWindow();
        let out = "";
        for (const piece of pieces(whole, seed)) out += window.push(Buffer.from(frameOf(piece)), false)?.toString() ?? "";
        out += window.push(undefined, true)?.toString() ?? "";
        expect(textOf(out)).toBe(redactedText(whole, findIn(whole, all)));
      }
    }
  });
});

test("frames keep their number and order, and those without a text wait for those before them", () => {
  const window = openWindow();
  const frames = ["a", "b", "c"].map((text) => chatFrame(`${text} x@example.com `)).join("");
  const control = 'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\ndata: [DONE]\n\n';
  expect(window.push(Buffer.from(frames + control), false)).toBeUndefined();
  const out = window.push(undefined, true)!.toString();
  expect(out.split("\n\n").slice(0, -1)).toHaveLength(5);
  expect(out.endsWith(control)).toBe(true);
  expect(out.match(/\[EMAIL\]/g)).toHaveLength(3);
});

test("several answers in one stream are several texts", () => {
  const window = openWindow();
  const frame = (index: number, content: string) => `data: ${JSON.stringify({ choices: [{ index, delta: { content } }] })}\n\n`;
  const stream = frame(0, "some") + frame(1, "one@") + frame(0, "body@exam") + frame(1, "example.org") + frame(0, "ple.com");
  const out = window.push(Buffer.from(stream), true)!.toString();
  expect(out.match(/\[EMAIL\]/g)).toHaveLength(2);
  expect(out).not.toContain("exam");
});

test("a run without an end does not hold the stream for ever", () => {
  const window = openWindow();
  let out = 0;
  for (let at = 0; at < 400; at++) out += window.push(Buffer.from(chatFrame("x".repeat(50))), false)?.length ?? 0;
  expect(out).toBeGreaterThan(200 * 50);
});

/** Pushes one frame after the other until something leaves. */
function pushUntilFull(window: StreamWindow, frameAt: (at: number) => string): { given: string; left: string } {
  let given = "";
  for (let at = 0; at < 20_000; at++) {
    const frame = frameAt(at);
    given += frame;
    const left = window.push(Buffer.from(frame), false);
    if (left) return { given, left: left.toString() };
  }
  return { given, left: "" };
}

test("frames without text behind one that waits are not held without end, and leave in their order", () => {
  const window = openWindow();
  const comment = `: ${"-".repeat(2000)}\n\n`;
  const { given, left } = pushUntilFull(window, (at) => (at === 0 ? chatFrame("abc") : comment));
  expect(left.length).toBeGreaterThan(16 * 1024 * 1024);
  expect(left === given).toBe(true);
  // What left makes room again.
  const padding = "Some words that stand before it, as they do in an answer of a model, long enough to leave. ";
  window.push(Buffer.from(chatFrame(`${padding} me@exam`)), false);
  window.push(Buffer.from(comment), false);
  expect(window.push(Buffer.from(chatFrame("ple.com and on")), true)?.toString()).toContain("[EMAIL]");
});

test("texts that never go on are not held without end", () => {
  const frameAt = (index: number) => `data: ${JSON.stringify({ choices: [{ index, delta: { content: "a" } }] })}\n\n`;
  const { given, left } = pushUntilFull(openWindow(), frameAt);
  expect(left.length).toBeGreaterThan(10_000);
  expect(left === given).toBe(true);
});

test("a long answer is looked through to its end", () => {
  const window = openWindow();
  const words = chatFrame("some words of an answer that is longer than anything that ever waits, ");
  const comment = `: ${"-".repeat(1024 * 1024)}\n\n`;
  for (let round = 0; round < 20; round++) window.push(Buffer.from(words + comment), false);
  window.push(Buffer.from(chatFrame("me@exam")), false);
  const last = window.push(Buffer.from(chatFrame("ple.com and so on")), true)?.toString();
  expect(last).toContain("[EMAIL]");
  expect(last).not.toContain("exam");
});

test.each([
  ["a byte order mark", (frame: string) => `\uFEFF${frame}`],
  ["a line that ends in a carriage return", (frame: string) => `event: x\r${frame}`],
])("%s does not hide a text", (_name, change) => {
  const out = openWindow().push(Buffer.from(change(chatFrame("mail me@example.com now"))), true);
  expect(out?.toString()).toContain("[EMAIL]");
  expect(out?.toString()).not.toContain("example");
});
