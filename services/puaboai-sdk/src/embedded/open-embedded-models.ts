import { fileURLToPath } from "node:url";
import type { LocalModels } from "../local-model.ts";
import { echoModel } from "./echo-model.ts";
import { embeddingModel } from "./embedding-model.ts";
import { guideModel } from "./guide-model.ts";
import { ModelThread, type ModelThreadOptions } from "./model-thread.ts";
import { moderationModel } from "./moderation-model.ts";

export type EmbeddedModelsOptions = Partial<ModelThreadOptions>;
export type EmbeddedModels = LocalModels;

/** Where README.md and docs/ lie in a checkout and in the container image. */
const repositoryRoot = fileURLToPath(new URL("../../../../", import.meta.url));

/**
 * The models that need no account: `embedded-guide`, `embedded-echo`, `use-lite-en-512`, `embedded-moderation`.
 * Costs nothing until the first call: the thread and its 140 MB come with it and go after five idle minutes.
 */
export function openEmbeddedModels(options: EmbeddedModelsOptions = {}): Promise<EmbeddedModels> {
  const thread = new ModelThread({ rootDirectory: repositoryRoot, ...options });
  return Promise.resolve({
    models: [guideModel(thread), echoModel, embeddingModel(thread), moderationModel(thread)],
    close: () => thread.close(),
  });
}
