import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseGatewaySettings } from "../settings/gateway-settings.ts";
import type { ProviderSettings } from "../settings/provider-settings.ts";
import { providerKinds } from "./provider-kinds.ts";

function providerOf(fields: string): ProviderSettings | undefined {
  return parseGatewaySettings(`providers: { p: { ${fields} } }`, "gateway.yaml").providers[0];
}

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

test.each(providerKinds.map((kind) => [kind.name, kind] as const))("%s is enough to name", (name, kind) => {
  const place = kind.baseUrl === undefined ? ", base_url: https://models.example.com/v1" : "";
  const key = kind.isLocal ? "" : ", api_key_env: KEY";
  expect(providerOf(`kind: ${name}${place}${key}`)).toMatchObject({
    baseUrl: kind.baseUrl ?? "https://models.example.com/v1",
    auth: kind.auth,
    headers: kind.headers,
    allowsPrivateNetwork: kind.isLocal,
    wireFormats: kind.wireFormats,
    outputCapField: kind.outputCapField,
    takesStreamOptions: kind.takesStreamOptions,
    secret: kind.isLocal ? undefined : { env: "KEY" },
  });
});

test("a kind is named once, says where its facts stand, and reaches this machine or https alone", () => {
  expect(new Set(providerKinds.map((kind) => kind.name)).size).toBe(providerKinds.length);
  for (const { name, baseUrl, isLocal, source, wireFormats } of providerKinds) {
    expect([name, URL.parse(source)?.protocol]).toStrictEqual([name, "https:"]);
    expect([name, wireFormats.length > 0]).toStrictEqual([name, true]);
    if (baseUrl !== undefined) expect(baseUrl).toMatch(isLocal ? /^http:\/\/127\.0\.0\.1:\d+\/v1$/ : /^https:\/\/.*[^/]$/);
  }
});

test("what the file tells goes before what the kind knows, header by header", () => {
  const told = providerOf(`kind: anthropic, api_key_env: KEY, base_url: "https://proxy.example.com/a", auth_header: X-Other,
    headers: { Anthropic-Version: "2030-01-01", x-team: platform }, wire_formats: [openai-chat],
    output_cap_field: max_completion_tokens, takes_stream_options: false`);
  expect(told).toMatchObject({
    baseUrl: "https://proxy.example.com/a",
    auth: { header: "x-other", prefix: "" },
    headers: { "anthropic-version": "2030-01-01", "x-team": "platform" },
    wireFormats: ["openai-chat"],
    outputCapField: "max_completion_tokens",
    takesStreamOptions: false,
  });
});

test("a local kind opens no other address than its own", () => {
  const inside = `kind: ollama, base_url: "http://10.0.0.5:11434/v1"`;
  expect(faultsOf(`providers: { p: { ${inside} } }`).join()).toContain("providers.p.base_url lies in a private network");
  expect(providerOf(`${inside}, allow_private_network: true`)?.baseUrl).toBe("http://10.0.0.5:11434/v1");
  expect(faultsOf("providers: { p: { kind: ollama, allow_private_network: false } }").join()).toContain("private network");
});

test("Azure's deployments want a version, and /openai/v1 wants none", () => {
  const azure = (path: string, more = "") =>
    `kind: azure-openai, api_key_env: KEY, base_url: "https://r.openai.azure.com/openai${path}"${more}`;
  expect(providerOf(azure("/v1"))?.hasDeployments).toBeUndefined();
  expect(providerOf(azure("", ", api_version: 2024-10-21"))).toMatchObject({ hasDeployments: true, apiVersion: "2024-10-21" });
  expect(faultsOf(`providers: { p: { ${azure("")} } }`).join()).toContain("api_version must be told");
  expect(faultsOf(`providers: { p: { ${azure("", ', api_version: "1&x=y"')} } }`).join()).toContain("must be a version like");
});

test("faults of kinds are told with their lines", () => {
  const faults = faultsOf(`providers:
  a: { kind: telex, base_url: "https://a.example.com" }
  b:
    api_key_env: KEY
    kind: azure-openai
  c:
    kind: openai
  d:
    kind: openai
    api_key: sk-live-secret
`);
  expect(faults.map((fault) => fault.split(" ").slice(0, 2).join(" "))).toStrictEqual([
    "gateway.yaml:2: providers.a.kind",
    "gateway.yaml:4: providers.b.base_url",
    "gateway.yaml:7: providers.c.kind",
    "gateway.yaml:10: providers.d.api_key",
  ]);
});

test("the guide lists every kind with its address and formats", () => {
  const guide = readFileSync(new URL("../../../../docs/gateway.md", import.meta.url), "utf8");
  const rows = [...guide.matchAll(/^\| `([\w.-]+)` \| (?:`(http[^`]*)`|yours.*) \| ([a-z, -]+) \|$/gm)];
  const short = (format: string) => format.replace(/^(openai|anthropic)-/, "");
  expect(rows.map(([, name, baseUrl, formats]) => [name, baseUrl, formats])).toStrictEqual(
    providerKinds.map((kind) => [kind.name, kind.baseUrl, kind.wireFormats.map(short).join(", ")]),
  );
});
