/**
 * Usage objects in the shape in which providers publish them, with the figures of the page where it has an example, and what each
 * costs at a price of that provider, counted by hand: the table that the reading of figures is held against. The prices stand here
 * for the arithmetic and are charged to nobody.
 */
export interface RecordedUsage {
  provider: string;
  what: string;
  /** The page that shows the object, or describes its members. */
  source: string;
  format: "chat" | "responses" | "messages" | "embeddings" | "images" | "transcription" | "gemini";
  /** As in gateway.yaml, without source and date. */
  price: string;
  usage: object;
  /** Nano-dollars: tokens × the dollars for a million × 1000. */
  cost: bigint;
}

export const perMillion = "unit: usd_per_million_tokens";
