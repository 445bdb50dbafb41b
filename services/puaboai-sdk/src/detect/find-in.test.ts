/** The detector finds what is labelled, little else, and takes a time that grows with the text alone. */
import { labelledTexts as corpus } from "@nexus/testing";
import { describe, expect, test } from "vitest";
import { findIn } from "./find-in.ts";
import { type Finding, type FindingKind, piiKinds, secretKinds } from "./finding.ts";

const all: ReadonlySet<FindingKind> = new Set([...secretKinds, ...piiKinds]);

describe("the labelled corpus", () => {
  test("is found with a precision and a recall of at least 0.9 for each family", () => {
    const results: number[] = [];
    for (const [family, kinds] of Object.entries({ secrets: secretKinds, pii: piiKinds })) {
      const isOf = ({ kind }: { kind: string }) => (kinds as readonly string[]).includes(kind);
      let right = 0;
      let found = 0;
      let expected = 0;
      for (const { text, expected: labels } of corpus) {
        const wanted = labels.filter(isOf);
        const got = findIn(text, all).filter(isOf);
        const hits = got.filter((one) => wanted.some((other) => sameAs(one, other)));
        right += hits.length;
        found += got.length;
        expected += wanted.length;
        const missed = wanted.filter((one) => !hits.some((other) => sameAs(one, other)));
        const wrong = got.filter((one) => !hits.includes(one));
        if (missed.length + wrong.length > 0) console.log(JSON.stringify({ text: text.slice(0, 120), missed, wrong }));
      }
      const [precision, recall] = [right / found, right / expected];
      console.log(`${family}: ${expected} labelled, precision ${precision.toFixed(3)}, recall ${recall.toFixed(3)}`);
      results.push(precision, recall);
    }
    expect(Math.min(...results)).toBeGreaterThanOrEqual(0.9);
  });

  test("finds nothing of a kind that is not asked for", () => {
    for (const { text, expected } of corpus) {
      for (const kind of all) {
        const others = findIn(text, new Set([kind])).filter((one) => one.kind !== kind);
        expect(others).toEqual([]);
      }
      expect(findIn(text, new Set())).toEqual([]);
      expect(expected.length).toBeGreaterThanOrEqual(0);
    }
  });
});

type Found = Pick<Finding, "start" | "end"> & { kind: string };

function sameAs(one: Found, other: Found): boolean {
  return one.kind === other.kind && one.start === other.start && one.end === other.end;
}

/** Texts that make a pattern go back, or one look come again and again. */
const hostile: Record<string, string> = {
  letters: "a",
  digits: "7",
  "digits and spaces": "4 ",
  "at signs": "@",
  "addresses without an end": "a@",
  "long local parts": "a.a@a.",
  "heads of keys": "sk-",
  "heads of Anthropic keys": "sk-ant-",
  "heads of tokens": "eyJ",
  "headers of tokens": "eyJaaaaaaaaaaaa.",
  hyphens: "-",
  "block heads": "-----BEGIN PRIVATE KEY-----",
  "half block heads": "-----BEGIN ",
  "names of secrets": "token=",
  "assigned quotes": 'secret:"',
  brackets: "(",
  pluses: "+1",
  ibans: "DE89 3704 ",
  "country codes": "GB82",
  slack: "xoxb-",
  backslashes: "\\",
  "users of URLs": "://a:",
};

describe("time", () => {
  test.each(Object.entries(hostile))("a megabyte of %s takes its share more than 60 kB, and no square of it", (_what, piece) => {
    const timeOf = (length: number): number => {
      const text = piece.repeat(Math.ceil(length / piece.length)).slice(0, length);
      const times = Array.from({ length: 3 }, () => {
        const start = performance.now();
        findIn(text, all);
        return performance.now() - start;
      });
      return Math.min(...times);
    };
    timeOf(60_000);
    const [short, long] = [timeOf(60_000), timeOf(960_000)];
    // Sixteen times the text; a quadratic look would take 256 times as long.
    expect(long).toBeLessThan(Math.max(short, 0.5) * 16 * 5);
  });

  test("prose is read fast enough that nobody waits for it", () => {
    const prose = "The quick brown fox, aged 7, jumps over the lazy dog; it was 2026 and nobody (but one) saw the token fall. ";
    const text = `${prose.repeat(60)}${corpus.map((one) => one.text).join("\n")}`.repeat(60);
    findIn(text, all);
    const start = performance.now();
    findIn(text, all);
    const perSecond = text.length / ((performance.now() - start) / 1000);
    console.log(`${(perSecond / 1e6).toFixed(0)} MB/s over ${(text.length / 1e6).toFixed(1)} MB`);
    expect(perSecond).toBeGreaterThan(2e6);
  });
});
