import { Problem } from "@nexus/core";
import { expect, test } from "vitest";
import { scanObject, valueAt } from "./scan-object.ts";
import { setMember, splice } from "./splice.ts";

const wanted = new Set(["model", "stream"]);
const scan = (text: string | Buffer) => scanObject(Buffer.from(text as string), { wanted });
const parses = (text: string) => {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
};
const scans = (text: string) => {
  try {
    scan(text);
    return true;
  } catch (error) {
    if (error instanceof Problem && error.code === "invalid_request") return true;
    if (error instanceof Problem && error.code === "malformed_json") return false;
    throw error;
  }
};

test("the spans are those of the values", () => {
  const body = Buffer.from(' {"a":[1,{"model":"inner"}], "model" :\t"gpt" ,"stream":false}\n');
  const { values } = scanObject(body, { wanted });
  expect(valueAt(body, values.get("model")!)).toBe("gpt");
  expect(valueAt(body, values.get("stream")!)).toBe(false);
});

test("a name written with escapes is the same name", () => {
  const body = Buffer.from('{"mod\\u0065l":"x"}');
  expect(valueAt(body, scanObject(body, { wanted }).values.get("model")!)).toBe("x");
});

test.each([
  ['{"model":"a","model":"b"}', "/model"],
  ['{"model":"a","\\u006dodel":"b"}', "/model"],
  ['{"Model":"b","model":"a"}', "/model"],
  ['{"\u017Ftream":true}', "/stream"],
  ["[]", ""],
  ["3", ""],
  ['"model"', ""],
])("%s is refused as ambiguous or no object", (text, pointer) => {
  expect(() => scan(text)).toThrow(Problem);
  try {
    scan(text);
  } catch (error) {
    expect((error as Problem).code).toBe("invalid_request");
    expect((error as Problem).errors?.[0]?.pointer).toBe(pointer);
  }
});

test("an unknown member may stand twice and is not looked at", () => {
  expect(scan('{"x":1,"x":2,"model":"a"}').values.size).toBe(1);
});

const texts = [
  "",
  " ",
  "{",
  "{}",
  "{ }",
  '{"a"}',
  '{"a":}',
  '{"a":1',
  '{"a":1,}',
  "{,}",
  '{"a":1 "b":2}',
  '{"a":1}}',
  '{"a":1} x',
  "[1,2",
  "[1,,2]",
  "[1,]",
  "[]",
  "[[]]",
  '[{},{"a":[]}]',
  "[{]}",
  '{"a":[}',
  "nul",
  "null",
  "nulls",
  "true",
  "tru",
  "True",
  "01",
  "-",
  "-0",
  "-01",
  "1.",
  ".5",
  "1.5e",
  "1e+",
  "1e5",
  "1E-5",
  "+1",
  "0x1",
  "1_0",
  "NaN",
  "Infinity",
  '"',
  '"a',
  '"\\"',
  '"\\x"',
  '"\\u12"',
  '"\\u12g4"',
  '"\\ud800"',
  '"\\/"',
  '"\n"',
  '"\u0000"',
  "'a'",
  "{a:1}",
  "/**/{}",
  '{"a":"\\\\"}',
  '{"a":"\\\\\\""}',
  "\ufeff{}",
  '{"a":1}\u00a0',
  "[1]2",
  '{"a":{"b":{"c":[1,2,{"d":null}]}}}',
  '{"":0}',
  '{"a":tru e}',
  '{"a" "b"}',
  "{1:2}",
];

test.each(texts)("%j is taken exactly when JSON.parse takes it", (text) => {
  expect(scans(text)).toBe(parses(text) !== undefined);
});

test("10,000 mutated documents are taken exactly when JSON.parse takes them, with the same values", () => {
  const seed = JSON.stringify({
    model: "m",
    messages: [{ role: "user", content: 'a"b\\c\u00e9\ud83d\ude00' }],
    n: -1.5e-7,
    stream: true,
    x: [null, false, [], {}],
  });
  const bytes = '{}[],:"\\ 019-+.eEtfnu\n\u00e9x';
  let state = 12345;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let taken = 0;
  for (let round = 0; round < 10_000; round++) {
    let text = seed;
    for (let edits = random(3) + 1; edits > 0; edits--) {
      const at = random(text.length);
      text = text.slice(0, at) + (random(3) === 0 ? "" : bytes[random(bytes.length)]) + text.slice(at + random(2));
    }
    // A mutation may tear a surrogate pair; such text does not survive the way through bytes.
    if (!text.isWellFormed()) continue;
    const parsed = parses(text);
    expect(scans(text), text).toBe(parsed !== undefined);
    if (parsed) taken++;
  }
  expect(taken).toBeGreaterThan(100);
});

test("invalid UTF-8 is malformed", () => {
  expect(() => scan(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))).toThrow(/UTF-8/);
});

test("hostile shapes cost no more than their length", () => {
  const deep = `{"a":${"[".repeat(1_000_000)}`;
  expect(() => scan(deep)).toThrow(/deeper than 256/);
  const run = `{"a":"${"\\".repeat(8_000_000)}"}`;
  const numbers = `{"a":[${"1,".repeat(2_000_000)}1],"model":"x"}`;
  const started = performance.now();
  scan(run);
  expect(scan(numbers).values.has("model")).toBe(true);
  // Linear work takes tens of milliseconds; quadratic work would take hours.
  expect(performance.now() - started).toBeLessThan(10_000);
});

test("a splice changes the member and nothing else", () => {
  const body = Buffer.from('{ "x":1.0e3, "model" : "mine", "x":[ ] }');
  const found = scanObject(body, { wanted });
  const changed = splice(body, [setMember(found, "model", '"théirs"'), setMember(found, "stream", "true")]);
  expect(changed.toString()).toBe('{"stream":true, "x":1.0e3, "model" : "théirs", "x":[ ] }');
  expect(splice(body, [])).toBe(body);
});
