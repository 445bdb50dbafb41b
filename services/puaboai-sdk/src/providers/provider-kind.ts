/** What is known of a kind of provider before anything is configured; every field can be overridden in gateway.yaml. */
import type { WireFormatName } from "../wire/wire-format.ts";

export interface ProviderKind {
  /** As `kind` in gateway.yaml names it. */
  readonly name: string;
  /** `undefined`: each account has its own, so that gateway.yaml must tell it. */
  readonly baseUrl: string | undefined;
  /** Its base URL is an address of this machine, and it wants no key. */
  readonly isLocal: boolean;
  readonly auth: { readonly header: string; readonly prefix: string };
  /** Sent with every call. */
  readonly headers: Readonly<Record<string, string>>;
  readonly wireFormats: readonly WireFormatName[];
  readonly outputCapField: "max_tokens" | "max_completion_tokens";
  readonly takesStreamOptions: boolean;
  /** Unless its base URL ends in `/v1`, each model has a path of its own, and calls a version. */
  readonly hasDeployments: boolean;
  /** The kind whose listed models these are; its own unless told. */
  readonly listedAs?: string;
  /** The page of the provider that says so. */
  readonly source: string;
}

/** What most servers that call themselves compatible with OpenAI speak and want. */
export const compatible: ProviderKind = {
  name: "openai-compatible",
  baseUrl: undefined,
  isLocal: false,
  auth: { header: "authorization", prefix: "Bearer " },
  headers: {},
  wireFormats: ["openai-chat", "openai-embeddings"],
  outputCapField: "max_tokens",
  takesStreamOptions: true,
  hasDeployments: false,
  source: "https://platform.openai.com/docs/api-reference/chat",
};
