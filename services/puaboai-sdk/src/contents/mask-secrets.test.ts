import { expect, test } from "vitest";
import { maskSecrets } from "./mask-secrets.ts";

const secret = `sk-proj-${"Ab3".repeat(16)}`;
const pem = `-----BEGIN PRIVATE KEY-----\n${"MIIEvQIBADAN".repeat(20)}\n-----END PRIVATE KEY-----`;
const json = (value: unknown): string => JSON.stringify(value);

test("text without secrets stays as it is, byte for byte", async () => {
  const texts = [
    "",
    "plain",
    json({ a: 'line\nline \u00e9 \\ "quoted" \u0007', b: [json({ c: "\n" })] }),
    '"\\',
    '"\\u00',
    "\ud800\\",
    '{"half":"of a str\\',
  ];
  for (const text of texts) expect(await maskSecrets(text)).toBe(text);
});

test.each([
  ["in plain text", `key ${secret}.`],
  ["in a string of JSON", json({ content: `key ${secret}.` })],
  ["behind an escaped line break", json({ content: `key\n${secret}\nend` })],
  ["written with escapes", `{"content":"s\\u006b-proj-${"Ab3".repeat(16)} \\n"}`],
  ["in JSON in a string of JSON", json({ arguments: json({ note: `a\n${secret}` }) })],
  ["two levels down", json({ a: json({ b: json({ c: `a\n${secret}` }) }) })],
  ["in a string that was cut", json({ content: `key\n${secret} and more` }).slice(0, -10)],
  ["a private key", json({ content: pem })],
  ["a private key that was cut", json({ content: pem }).slice(0, 200)],
  ["by its name", json({ api_key: "Zx81kQ0pLm2nR4tV6wY8" })],
])("a secret is masked %s", async (_where, text) => {
  const masked = await maskSecrets(text);
  expect(masked).not.toMatch(/Ab3Ab3|MIIEvQ|Zx81/);
  expect(masked).toMatch(/\[[A-Z_]+\]/);
});

test("masked JSON is still JSON, and only the secret has gone", async () => {
  const document = { messages: [{ role: "user", content: `line\n${secret} "quoted"` }], n: 1 };
  const masked = JSON.parse(await maskSecrets(json(document))) as typeof document;
  expect(masked).toEqual({ ...document, messages: [{ role: "user", content: 'line\n[OPENAI_KEY] "quoted"' }] });
});

test("a megabyte of anything is read in reasonable time, and calls have their turns meanwhile", async () => {
  const megabyte = 1024 * 1024;
  for (const shape of ['"', "\\", '"\\', '\\"', "a", "\\n", '{"a":"\\n"}', "password=", `\\n${secret}`, "x y "]) {
    let turns = 0;
    const others = setInterval(() => turns++, 1);
    const begun = performance.now();
    await maskSecrets(shape.repeat(megabyte / shape.length));
    const took = performance.now() - begun;
    clearInterval(others);
    expect([shape, took < 5000, turns > 0 || took < 25]).toEqual([shape, true, true]);
  }
});
