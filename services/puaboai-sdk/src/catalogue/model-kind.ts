/** What a model does, as `kind` in gateway.yaml names it, and how it is told to people. */
export const modelKinds = {
  chat: "chat completions",
  embeddings: "embeddings",
  moderations: "moderations",
  images: "images",
  speech: "speech",
  transcriptions: "transcriptions",
} as const;

export type ModelKind = keyof typeof modelKinds;
export const modelKindNames = Object.keys(modelKinds) as ModelKind[];

/** Whether its answers are counted in tokens of output. */
export function writesTokens(kind: ModelKind): boolean {
  return kind === "chat" || kind === "images";
}

/** Whose answers may be billed in tokens or not, so that gateway.yaml may tell a largest answer. */
export function mayWriteTokens(kind: ModelKind): boolean {
  return writesTokens(kind) || kind === "speech" || kind === "transcriptions";
}
