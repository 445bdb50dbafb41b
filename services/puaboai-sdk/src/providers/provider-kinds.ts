import { anthropic } from "./anthropic.ts";
import { hostedKinds } from "./hosted-kinds.ts";
import { localKinds } from "./local-kinds.ts";
import { azureOpenai, openai } from "./openai-platforms.ts";
import { compatible, type ProviderKind } from "./provider-kind.ts";

/** Every kind of provider that gateway.yaml may name. */
export const providerKinds: readonly ProviderKind[] = [openai, anthropic, azureOpenai, ...hostedKinds, ...localKinds, compatible];
