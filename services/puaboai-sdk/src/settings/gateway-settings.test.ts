import { writeFileSync } from "node:fs";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ConfigError } from "@nexus/config";
import { expect, test } from "vitest";
import { usualBounds } from "../cache/cache-settings.ts";
import { isPrivateAddress, isPrivateHost } from "../proxy/private-address.ts";
import { readProviderSecrets } from "../secrets/provider-secrets.ts";
import { noTokens } from "../usage/token-usage.ts";
import { gatewayConfigField, parseGatewaySettings, readGatewaySettings } from "./gateway-settings.ts";
import { priceOf } from "./price.ts";

const example = fileURLToPath(new URL("../../../../deploy/gateway.example.yaml", import.meta.url));

function faultsOf(text: string): string[] {
  try {
    parseGatewaySettings(text, "gateway.yaml");
  } catch (error) {
    return (error as Error).message
      .split("\n")
      .slice(1)
      .map((line) => line.trim());
  }
  return [];
}

test("the example in deploy/ is valid and says what it shows", () => {
  const { providers, models } = readGatewaySettings(example);
  expect(providers.map((p) => [p.name, p.auth.header, p.secret])).toStrictEqual([
    ["openai", "authorization", { env: "OPENAI_API_KEY" }],
    ["workshop", "authorization", undefined],
    ["gateway-of-a-friend", "api-key", { file: "/run/secrets/friend_api_key" }],
  ]);
  expect(models.map((m) => [m.id, m.upstreamModel, typeof m.price === "string" ? m.price : m.price.input])).toStrictEqual([
    ["gpt-5-mini", "gpt-5-mini", 250_000_000n],
    ["text-embedding-3-small", "text-embedding-3-small", 20_000_000n],
    ["workshop/qwen", "qwen3-32b", "free"],
  ]);
});

test("faults of routes and wire formats are told with their lines", () => {
  const model = "kind: chat, context_tokens: 10, max_output_tokens: 5, price: free";
  const faults = faultsOf(`providers:
  p: { base_url: "https://example.com/v1", wire_formats: [openai-chat, telex], breaker_failures: -1 }
models:
  - { id: m, provider: p, ${model} }
  - { id: e, provider: p, kind: embeddings, context_tokens: 10, price: free }
routes:
  m: { targets: [m] }
  none: { targets: [] }
  bare: {}
  odd: { targets: [m, nobody], strategy: random }
  mixed: { targets: [m, e] }
  heavy:
    targets:
      - { model: m, weight: 0 }
      - { model: m, colour: red }
  vectors: { targets: [e], clamp_output: true }
`);
  expect(faults.map((fault) => fault.split(" ").slice(0, 2).join(" "))).toStrictEqual([
    "gateway.yaml:2: providers.p.breaker_failures",
    "gateway.yaml:2: providers.p.wire_formats",
    "gateway.yaml:7: routes.m",
    "gateway.yaml:8: routes.none",
    "gateway.yaml:9: routes.bare",
    "gateway.yaml:10: routes.odd.strategy",
    "gateway.yaml:10: routes.odd.targets[1]",
    "gateway.yaml:11: routes.mixed.targets[1]",
    "gateway.yaml:14: routes.heavy.targets[0].weight",
    "gateway.yaml:15: routes.heavy.targets[1].colour",
    "gateway.yaml:16: routes.vectors.clamp_output",
  ]);
});

test("aliases are refused where they stand, however much they would stand for", () => {
  const bomb = Array.from({ length: 9 }, (_, n) => `a${n + 1}: &a${n + 1} [${Array(10).fill(`*a${n}`).join(", ")}]`);
  const faults = faultsOf(`a0: &a0 [x]\n${bomb.join("\n")}\n`);
  expect(faults).toHaveLength(90);
  expect(faults[0]).toBe("gateway.yaml:2: aliases (*a0) are not taken: write it out");
  const provider = "{ kind: ollama }";
  expect(faultsOf(`providers:\n  a: &p ${provider}\n  b: *p\n`)).toStrictEqual([
    "gateway.yaml:3: aliases (*p) are not taken: write it out",
  ]);
});

test("what is no YAML is told in few words", () => {
  expect(faultsOf("providers: {}\n---\nmodels: []\n")).toStrictEqual([
    "gateway.yaml:2: the file holds more than one document (---)",
  ]);
  const deep = faultsOf(`models: ${"[".repeat(100_000)}`);
  expect(deep.length).toBeGreaterThan(0);
  expect(deep.length).toBeLessThanOrEqual(20);
});

test("every fault is told at once, with its line", () => {
  const faults = faultsOf(`providers:
  a:
    base_url: http://127.0.0.1:1/v1
    colour: red
  b:
    base_url: https://user:pw@example.com/v1
    api_key: sk-live-secret
    idle_timeout_ms: 1.5
    headers: { authorization: x }
models:
  - id: m
    provider: c
    kind: chart
    context_tokens: 0
    price: { input: "1.0000000001", unit: euro }
  - id: m2
    provider: a
    kind: chat
    context_tokens: 10
    max_output_tokens: 5
extra: 1
`);
  expect(faults.map((fault) => fault.split(" ").slice(0, 2).join(" "))).toStrictEqual([
    "gateway.yaml:3: providers.a.base_url",
    "gateway.yaml:4: providers.a.colour",
    "gateway.yaml:6: providers.b.base_url",
    "gateway.yaml:7: providers.b.api_key",
    "gateway.yaml:9: providers.b.headers.authorization",
    "gateway.yaml:8: providers.b.idle_timeout_ms",
    "gateway.yaml:12: models[0].provider",
    "gateway.yaml:13: models[0].kind",
    "gateway.yaml:14: models[0].context_tokens",
    "gateway.yaml:15: models[0].price.unit",
    "gateway.yaml:15: models[0].price.input",
    "gateway.yaml:15: models[0].price.output",
    "gateway.yaml:15: models[0].price.source",
    "gateway.yaml:15: models[0].price.effective",
    "gateway.yaml:16: models[1].price",
    "gateway.yaml:21: extra",
  ]);
  expect(faults.join("\n")).not.toContain("sk-live-secret");
});

test.each([
  ["models: [{ id: m, provider: x, kind: embeddings, context_tokens: 5, price: free }]", "is none of the providers"],
  ["a: 1\na: 2", "unique"],
  ["providers: &p {}\nmodels: *p", "aliases (*p) are not taken"],
  ["providers: []", "must be a mapping"],
  ["- 1", "must be a mapping of fields"],
  [
    "providers:\n  a: { base_url: https://example.com, auth_header: Transfer-Encoding }",
    "gateway.yaml:2: providers.a.auth_header is set",
  ],
  ["{", "gateway.yaml:1:"],
])("%j is refused", (text, said) => {
  expect(faultsOf(text).join("\n")).toContain(said);
});

test("one typo is one fault, also where others name what it stands in", () => {
  const model = "kind: chat, context_tokens: 10, max_output_tokens: 5";
  expect(
    faultsOf(`providers: { p: { base_url: "https://a.example.com/v1" } }
models: [{ id: a, provider: p, ${model}, price: fre }]
prices: [{ model: a, from: 2027-01-01, price: free }]
routes: { r: { targets: [a] } }`),
  ).toStrictEqual(["gateway.yaml:2: models[0].price must be free, listed, unknown, or a mapping that tells what it costs"]);
});

test("a provider's key may be a secret that pv-keys keeps; of three places one is named", () => {
  const provider = (fields: string) => `providers: { a: { base_url: "https://a.example.com/v1", ${fields} } }`;
  const { providers } = parseGatewaySettings(provider("api_key_secret: openai.main-1"), "gateway.yaml");
  expect(providers[0]?.secret).toStrictEqual({ vault: "openai.main-1" });
  expect(faultsOf(provider("api_key_secret: openai, api_key_env: X"))).toStrictEqual([
    "gateway.yaml:1: providers.a.api_key_secret and api_key_env are both set; keep one",
  ]);
  const [fault] = faultsOf(provider("api_key_secret: sk-LIVE/secret"));
  expect(fault).toContain("must be the name of a secret");
  expect(fault).not.toContain("LIVE");
});

test("an empty file means no providers", () => {
  expect(parseGatewaySettings("# nothing yet\n", "gateway.yaml")).toStrictEqual({
    providers: [],
    models: [],
    routes: [],
    cacheBounds: usualBounds,
    guardrails: [],
  });
});

test("a file that is not there is a fault of its variable", () => {
  expect(() => gatewayConfigField.parse("/nowhere/gateway.yaml")).toThrow(/\/nowhere\/gateway\.yaml.*ENOENT/);
});

test.each([
  "127.0.0.1",
  "10.1.2.3",
  "169.254.169.254",
  "192.168.0.1",
  "172.31.255.255",
  "100.64.0.1",
  "0.0.0.0",
  "::1",
  "::",
  "fe80::1%eth0",
  "fd00::1",
  "::ffff:10.0.0.1",
  "::ffff:7f00:1",
  "64:ff9b::a00:1",
  "not an address",
])("%s is inside", (address) => {
  expect(isPrivateAddress(address)).toBe(true);
});

test.each(["1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1"])("%s is public", (address) => {
  expect(isPrivateAddress(address)).toBe(false);
});

test.each([
  "localhost",
  "LOCALHOST.",
  "a.localhost",
  "[::1]",
  new URL("http://127.1/").hostname,
  new URL("http://0x7f000001/").hostname,
])("the host %s is inside", (host) => {
  expect(isPrivateHost(host)).toBe(true);
});

test("provider secrets come from the environment or a file, and every missing one is named", () => {
  const directory = mkdtempSync(join(tmpdir(), "nexus-secrets-"));
  writeFileSync(join(directory, "good"), "file-secret\n");
  const provider = readGatewaySettings(example).providers[0]!;
  const named = (name: string, secret: { env: string } | { file: string }) => ({ ...provider, name, secret });
  const secrets = readProviderSecrets([named("a", { env: "A_KEY" }), named("b", { file: join(directory, "good") })], {
    A_KEY: "env-secret",
  });
  expect([...secrets]).toStrictEqual([
    ["a", "env-secret"],
    ["b", "file-secret"],
  ]);
  try {
    readProviderSecrets(
      [named("a", { env: "A_KEY" }), named("b", { file: join(directory, "absent") }), named("c", { env: "C_KEY" })],
      { C_KEY: "two\nlines" },
    );
    expect.unreachable();
  } catch (error) {
    expect((error as ConfigError).faults.map((fault) => fault.split(" ")[0])).toStrictEqual([
      "A_KEY",
      join(directory, "absent"),
      "C_KEY",
    ]);
  }
});

test("a cost is exact and each part is rounded up", () => {
  const price = {
    input: 2_500_000_000n,
    output: 10_000_000_000n,
    cachedInput: 1_250_000_000n,
    cacheWrite: 3_125_000_000n,
    cacheWriteHour: 5_000_000_000n,
    source: "s",
    effective: "2026-01-01",
  };
  expect(priceOf({ ...noTokens, input: 1000, output: 10, cachedInput: 400, reasoning: 5 }, price)).toBe(
    600n * 2500n + 400n * 1250n + 10n * 10_000n,
  );
  expect(priceOf({ ...noTokens, input: 1, output: 0 }, { ...price, input: 1n })).toBe(1n);
});

test("faults of guardrails and caches are told with their lines", () => {
  const faults = faultsOf(`cache: { organization_max_bytes: 1 }
providers: { p: { base_url: https://models.example.com } }
models:
  - { id: m, provider: p, kind: chat, context_tokens: 10, max_output_tokens: 5, price: free, cache: { ttl: 5 } }
guardrails:
  - { name: Bad Name, kind: detector, action: block }
  - { name: a, kind: detector, action: delete, detects: [passports], models: [m, n], organizations: [acme] }
  - { name: b, kind: http, action: block, url: "http://judge.example.com/", secret_env: S }
  - { name: c, kind: http, action: block, url: "https://127.0.0.1/", secret_env: S, secret_file: /s }
  - { name: d, kind: http, action: warn, url: "https://judge.example.com/" }
  - { name: e, kind: detector, action: warn, url: "https://judge.example.com/", on: never, timeout_ms: 1, models: [] }
`);
  for (const fault of [
    ":1: cache.organization_max_bytes must be a whole number",
    ":4: models[0].cache.ttl_seconds is required",
    ":4: models[0].cache.ttl is not a known field",
    ":6: guardrails[0].name must be lower-case letters",
    ":7: guardrails[1].action must be one of block, redact, warn",
    ":7: guardrails[1].detects must hold some of secrets, pii, nexus_key",
    ":7: guardrails[1].models n is not a model or route",
    ":7: guardrails[1].organizations acme is not the id of an organization",
    ":8: guardrails[2].url must be https:// at a public address",
    ":9: guardrails[3].url must be https:// at a public address",
    ":9: guardrails[3].secret_file or the other",
    ":10: guardrails[4].secret_env or the other",
    ":11: guardrails[5].on must be one of input, output, both",
    ":11: guardrails[5].timeout_ms must be a whole number from 5",
    ":11: guardrails[5].models must not be empty",
    ":11: guardrails[5].url is not a known field",
  ]) {
    expect(faults.join("\n")).toContain(fault);
  }
});
