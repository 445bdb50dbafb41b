/** What a model does, as `kind` in gateway.yaml names it, and how it is told to people. */
export const modelKinds = {
  chat: "chat completions",
  embeddings: "embeddings",
  moderations: "moderations",
  images: "images",
} as const;

export type ModelKind = keyof typeof modelKinds;
export const modelKindNames = Object.keys(modelKinds) as ModelKind[];

/** Whether its answers are counted in tokens of output. */
export function writesTokens(kind: ModelKind): boolean {
  return kind === "chat" || kind === "images";
}
