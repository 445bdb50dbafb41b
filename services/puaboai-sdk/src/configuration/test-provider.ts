/** Tries a provider with its own key, so that an administrator sees what is wrong before a client does. */
import type { ProviderTest, TestProviderRequest } from "@nexus/contracts/gateway-configuration";
import { Problem } from "@nexus/core";
import { inTransaction } from "@nexus/db";
import type { ChangedBy } from "@nexus/http";
import { censorText } from "@nexus/telemetry";
import { probeProvider, type ProbeCall } from "../proxy/probe-provider.ts";
import { requestPath } from "../proxy/request-path.ts";
import type { ModelSettings } from "../settings/gateway-settings.ts";
import type { ProviderSettings } from "../settings/provider-settings.ts";
import type { ConfigurationDeps } from "./change-entries.ts";
import { diagnose } from "./diagnose.ts";

type Tools = Pick<ConfigurationDeps, "db" | "audit" | "configuration">;

/** @throws Problem `not_found` */
export async function testProvider(deps: Tools, name: string, asked: TestProviderRequest, by: ChangedBy): Promise<ProviderTest> {
  const { offer, settings: all } = deps.configuration.current;
  const offered = offer.upstreams.get(name);
  if (!offered) throw new Problem("not_found", "There is no provider of this name.");
  const { settings } = offered.upstream;
  const secret = offered.credential?.();
  const model = asked.model ?? all.models.find((one) => one.provider === name && isSmall(one))?.upstreamModel;
  const call = callOf(settings, model);
  const tested =
    offered.credential && secret === undefined ? secretMissing(call, settings) : await ask(settings, secret, { call, model });
  await writeEntry(deps, by, { name, tested });
  return tested;
}

/** An image costs too much for a test, and is not needed to see whether the provider answers. */
function isSmall({ kind }: ModelSettings): boolean {
  return kind === "chat" || kind === "embeddings" || kind === "moderations";
}

/** A few tokens in the first format that it speaks; without a model, its list of models. */
function callOf(settings: ProviderSettings, model: string | undefined): ProbeCall {
  const body = model === undefined ? undefined : smallest(settings, model);
  if (!body || model === undefined)
    return { method: "GET", path: requestPath({ ...settings, hasDeployments: false }, "", "/models") };
  return { method: "POST", path: requestPath(settings, model, body.path), body: body.body };
}

function smallest(settings: ProviderSettings, model: string): { path: string; body: object } | undefined {
  const messages = [{ role: "user", content: "hi" }];
  for (const format of settings.wireFormats) {
    switch (format) {
      case "openai-chat":
        return { path: "/chat/completions", body: { model, messages, [settings.outputCapField]: 1 } };
      case "anthropic-messages":
        return { path: "/messages", body: { model, messages, max_tokens: 1 } };
      case "openai-responses":
        // The least that OpenAI takes.
        return { path: "/responses", body: { model, input: "hi", max_output_tokens: 16 } };
      case "openai-embeddings":
        return { path: "/embeddings", body: { model, input: "hi" } };
      case "openai-moderations":
        return { path: "/moderations", body: { model, input: "hi" } };
      default:
    }
  }
  return undefined;
}

async function ask(
  settings: ProviderSettings,
  secret: string | undefined,
  { call, model }: { call: ProbeCall; model: string | undefined },
): Promise<ProviderTest> {
  const probe = await probeProvider(settings, secret, call);
  const diagnosis = diagnose(probe, { hasModel: call.method === "POST", baseUrl: settings.baseUrl });
  const { times } = probe;
  return {
    ok: diagnosis.code === "ok",
    diagnosis,
    request: shown(call, settings, model),
    status: probe.status,
    timings_ms: {
      dns: times.dns,
      connect: times.connect,
      tls: times.tls,
      first_byte: times.firstByte,
      total: times.total,
    },
    answer: probe.status === null ? null : redacted(probe.body, secret).slice(0, 2000),
    error: probe.error ? redacted(probe.error.code, secret).slice(0, 100) : null,
  };
}

function secretMissing(call: ProbeCall, settings: ProviderSettings): ProviderTest {
  return {
    ok: false,
    diagnosis: { code: "secret_missing", text: "The secret is not there yet: pv-keys does not know it, or is away." },
    request: shown(call, settings, undefined),
    status: null,
    timings_ms: { dns: null, connect: null, tls: null, first_byte: null, total: 0 },
    answer: null,
    error: null,
  };
}

function shown({ method, path }: ProbeCall, { baseUrl }: ProviderSettings, model: string | undefined): ProviderTest["request"] {
  return { method, url: `${baseUrl}${path}`, model: method === "POST" ? (model ?? null) : null };
}

/** Some providers repeat the key that they refuse, or its beginning and end. */
function redacted(text: string, secret: string | undefined): string {
  if (secret === undefined || secret.length < 8) return censorText(text);
  const [head, tail] = [secret.slice(0, 6), secret.slice(-4)];
  const words = text.replaceAll(secret, "[redacted]").replaceAll(/[\w.*~+/=-]{6,}/g, (word) => {
    return word.startsWith(head) || (word.includes("*") && word.endsWith(tail)) ? "[redacted]" : word;
  });
  return censorText(words);
}

async function writeEntry(
  { db, audit }: Tools,
  { caller, context }: ChangedBy,
  { name, tested }: { name: string; tested: ProviderTest },
): Promise<void> {
  await inTransaction(db, async (tx) => {
    await audit.write(tx, {
      action: "gateway_provider.tested",
      outcome: tested.ok ? "success" : "failure",
      actor: { kind: "person", id: caller.userId },
      targets: [{ kind: "gateway_provider", id: name }],
      context,
      details: { diagnosis: tested.diagnosis.code, status: tested.status, model: tested.request.model },
    });
  });
}
