/** What a test call says of a provider, in words. */
import type { Probe } from "../proxy/probe-provider.ts";

export interface Diagnosis {
  code: string;
  text: string;
}

const errors: readonly (readonly [RegExp, string, string])[] = [
  [
    /^EPRIVATEADDRESS$/,
    "private_address",
    "The name of base_url resolves to a private address, and allow_private_network is not set.",
  ],
  [
    /^(?:ENOTFOUND|EAI_AGAIN|ENODATA)$/,
    "dns",
    "The name of base_url does not resolve: it is misspelt, or this machine has no name service.",
  ],
  [/^ECONNREFUSED$/, "refused", "Nothing listens at the address and port of base_url."],
  [
    /^(?:connect_timeout|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)$/,
    "connect_timeout",
    "No connection in time: the address is wrong, or a firewall drops what is sent there.",
  ],
  [/^first_byte_timeout$/, "timeout", "The connection stands, but no answer came within the deadline."],
  [/^HPE_/, "not_http", "What answers there does not speak HTTP; perhaps base_url should start with https://, or http://."],
  [
    /CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME|HOSTNAME/,
    "tls_certificate",
    "The certificate is not trusted: expired, for another name, or by an unknown authority.",
  ],
  [/^(?:EPROTO|ERR_SSL|ERR_TLS)/, "tls", "No TLS connection: what listens there speaks no TLS, or only an old version."],
];

export function diagnose(probe: Probe, { hasModel, baseUrl }: { hasModel: boolean; baseUrl: string }): Diagnosis {
  if (probe.error) return ofError(probe.error.code, probe, baseUrl);
  const status = probe.status ?? 0;
  if (status >= 300 && status < 400)
    return { code: "redirect", text: "It answers with a redirect, which is not followed: base_url is not where the API is." };
  if (status === 401)
    return { code: "wrong_key", text: "The provider refuses the key: it is wrong, ended, or sent in the wrong header." };
  if (status === 403) return { code: "forbidden", text: "The provider knows the key and does not let it do this." };
  const shape = /json/i.test(probe.contentType) && isJson(probe.body) ? "json" : /^\s*</.test(probe.body) ? "html" : "other";
  if (status === 402 || /insufficient_quota|billing/.test(probe.body))
    return { code: "no_credit", text: "The provider's account has no credit left." };
  if (status === 429) return { code: "rate_limited", text: "The provider limits this key at the moment." };
  if (status >= 500) return { code: "provider_failed", text: "The provider has trouble of its own." };
  if (hasModel && shape === "json" && status >= 400 && speaksOfModel(probe.body))
    return { code: "model_unknown", text: "The provider does not know this model, or the key may not use it." };
  if (shape === "html")
    return { code: "html", text: "A web page answers instead of the API: base_url is wrong, or a proxy stands between." };
  if (status === 404 || status === 405)
    return { code: "wrong_base_url", text: "There is no API at this path: base_url ends before /chat/completions or /messages." };
  if (status >= 400) return { code: "request_refused", text: "The provider refuses the request; its answer says why." };
  if (shape !== "json") return { code: "not_json", text: "The answer is no JSON: base_url does not lead to an API." };
  return { code: "ok", text: "The provider answers." };
}

function ofError(code: string, { times }: Probe, baseUrl: string): Diagnosis {
  for (const [pattern, name, text] of errors) if (pattern.test(code)) return { code: name, text };
  const inHandshake = baseUrl.startsWith("https:") && times.connect !== null && times.tls === null;
  if (inHandshake)
    return { code: "tls", text: "The connection broke while TLS was set up: what listens there may speak no TLS." };
  return { code: "broken", text: "The connection broke before the answer was there." };
}

function speaksOfModel(body: string): boolean {
  return /model_not_found|not_found_error|unknown.model|model.{0,80}(?:not|unknown|exist|invalid)|(?:not|unknown|exist|invalid).{0,80}model/is.test(
    body,
  );
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    // A long answer is cut.
    return text.length >= 16_000 && /^\s*[[{]/.test(text);
  }
}
