/** Model servers that one runs oneself, at the ports that they use unless told otherwise. */
import { compatible, type ProviderKind } from "./provider-kind.ts";

const local: ProviderKind = { ...compatible, isLocal: true };

export const localKinds: readonly ProviderKind[] = [
  {
    ...local,
    name: "ollama",
    baseUrl: "http://127.0.0.1:11434/v1",
    source: "https://docs.ollama.com/api/openai-compatibility",
  },
  {
    ...local,
    name: "vllm",
    baseUrl: "http://127.0.0.1:8000/v1",
    source: "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
  },
  {
    ...local,
    name: "llama.cpp",
    baseUrl: "http://127.0.0.1:8080/v1",
    source: "https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
  },
  {
    ...local,
    name: "lm-studio",
    baseUrl: "http://127.0.0.1:1234/v1",
    source: "https://lmstudio.ai/docs/developer/openai-compat",
  },
];
