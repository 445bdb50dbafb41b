import type { Configuration, EntryDocument, GatewayEntry } from "@nexus/contracts/gateway-configuration";
import type { FieldError } from "@nexus/core";
import { pointerOf } from "../json/pointers.ts";
import type { GatewaySettings, ModelSettings } from "../settings/gateway-settings.ts";
import { priceDocument } from "../settings/price-document.ts";
import type { ProviderSettings } from "../settings/provider-settings.ts";
import type { RouteSettings } from "../settings/route-settings.ts";
import { faultText } from "../settings/yaml-fields.ts";
import { etagOf } from "./change-entries.ts";
import type { Entry, EntryKind } from "./entry.ts";
import type { LiveConfiguration, Refusal } from "./live-configuration.ts";

/** Every entry of a kind: those of the file, then those that were set by API. @param entries as PostgreSQL has them */
export function presentEntries(live: LiveConfiguration, kind: EntryKind, entries: readonly Entry[]): GatewayEntry[] {
  const ofFile = effectiveOf(live.file, kind).map(([name, effective]): GatewayEntry => {
    const nobody = { document: null, errors: [], etag: null, updated_at: null, updated_by: null };
    return { name, source: "file", state: "in_force", effective, ...nobody };
  });
  return [...ofFile, ...entries.filter((entry) => entry.kind === kind).map((entry) => presentEntry(live, entry))];
}

export function presentEntry({ current }: LiveConfiguration, entry: Entry): GatewayEntry {
  const { kind, name } = entry;
  const aside = current.setAside.find((one) => one.kind === kind && one.name === name);
  const effective = effectiveOf(current.settings, kind).find(([one]) => one === name)?.[1];
  return {
    name,
    source: "api",
    state: aside ? "set_aside" : "in_force",
    document: entry.document,
    effective: aside ? null : (effective ?? null),
    errors: aside ? [...aside.faults] : [],
    etag: etagOf(entry),
    updated_at: entry.updatedAt.toISOString(),
    updated_by: entry.updatedBy,
  };
}

export function presentConfiguration({ current, file, refused, loadedAt }: LiveConfiguration): Configuration {
  const { settings, setAside } = current;
  const name = file.path?.split(/[/\\]/).at(-1);
  return {
    file:
      name === undefined ? null : { name, loaded_at: loadedAt.toISOString(), refused: refused ? presentRefusal(refused) : null },
    providers: settings.providers.length,
    models: settings.models.length,
    routes: settings.routes.length,
    set_aside: setAside.map(({ kind, name: one, faults }) => ({ kind, name: one, errors: [...faults] })),
  };
}

/** Every fault with its line. */
export function errorsOf({ fileName, faults }: Refusal): FieldError[] {
  return faults.map((fault) => ({ pointer: pointerOf(fault.path), detail: faultText(fault, fileName) }));
}

function presentRefusal(refusal: Refusal) {
  return { at: refusal.at.toISOString(), errors: errorsOf(refusal) };
}

function effectiveOf({ providers, models, routes }: GatewaySettings, kind: EntryKind): [string, EntryDocument][] {
  if (kind === "provider") return providers.map((one) => [one.name, presentProvider(one)]);
  if (kind === "model") return models.map((one) => [one.id, presentModel(one)]);
  return routes.map((one) => [one.id, presentRoute(one)]);
}

function presentProvider(provider: ProviderSettings): EntryDocument {
  const { deadlines, breaker } = provider;
  return {
    base_url: provider.baseUrl,
    ...secretOf(provider),
    auth_header: provider.auth.header,
    // Their values are the operator's.
    headers: Object.keys(provider.headers),
    allow_private_network: provider.allowsPrivateNetwork,
    connect_timeout_ms: deadlines.connectMs,
    first_byte_timeout_ms: deadlines.firstByteMs,
    idle_timeout_ms: deadlines.idleMs,
    total_timeout_ms: deadlines.totalMs,
    max_concurrent: provider.maxConcurrent,
    output_cap_field: provider.outputCapField,
    takes_stream_options: provider.takesStreamOptions,
    breaker_failures: breaker.failures,
    breaker_open_ms: breaker.openMs,
    wire_formats: [...provider.wireFormats],
  };
}

function secretOf({ secret }: ProviderSettings): EntryDocument {
  if (!secret) return {};
  if ("env" in secret) return { api_key_env: secret.env };
  return "file" in secret ? { api_key_file: secret.file } : { api_key_secret: secret.vault };
}

function presentModel(model: ModelSettings): EntryDocument {
  return {
    provider: model.provider,
    upstream_model: model.upstreamModel,
    kind: model.kind,
    context_tokens: model.contextTokens,
    max_output_tokens: model.maxOutputTokens,
    clamp_output: model.clampsOutput === true,
    price: typeof model.price === "string" ? model.price : priceDocument(model.price),
  };
}

function presentRoute({ strategy, targets, clampsOutput }: RouteSettings): EntryDocument {
  return { strategy, clamp_output: clampsOutput, targets: targets.map(({ model, weight }) => ({ model, weight })) };
}
