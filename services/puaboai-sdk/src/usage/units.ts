/** What a call consumed that is not billed as plain text tokens. A part that did not occur is absent. */
export interface Units {
  /** Parts of the input, in tokens. */
  audioInput?: number;
  imageInput?: number;
  /** Parts of the cached input. */
  cachedAudioInput?: number;
  cachedImageInput?: number;
  /** Parts of the output. */
  audioOutput?: number;
  imageOutput?: number;
  /** Of sound that was listened to; a second that has begun counts. */
  seconds?: number;
  /** Of text that was spoken. */
  characters?: number;
  images?: number;
  /** Size and quality as the client asked for them, such as `1024x1024/high`; absent: whatever the provider takes. */
  imageKind?: string;
  /** Of the web, by the provider. */
  searches?: number;
  /** Nano-dollars, as the provider itself says what the call cost. */
  toldCost?: number;
}

type Counts = { [Name in Exclude<keyof Units, "imageKind">]?: number | undefined } & { imageKind?: string | undefined };

/** Those that occurred, as a member to spread into a usage. */
export function withUnits(counts: Counts): { units?: Units } {
  // Asked at every call, and nearly always for nothing: an object is made only for what is there.
  let units: Record<string, number | string> | undefined;
  for (const name in counts) {
    const value = counts[name as keyof Counts];
    if (value !== undefined && value !== 0) (units ??= {})[name] = value;
  }
  return units ? { units } : {};
}

const columnNames = {
  audioInput: "audio_input_tokens",
  imageInput: "image_input_tokens",
  cachedAudioInput: "cached_audio_input_tokens",
  cachedImageInput: "cached_image_input_tokens",
  audioOutput: "audio_output_tokens",
  imageOutput: "image_output_tokens",
  seconds: "seconds",
  characters: "characters",
  images: "images",
  imageKind: "image_kind",
  searches: "searches",
  toldCost: "told_cost_nanos",
} as const satisfies Record<keyof Units, string>;

/** As they stand in `usage_events.units`. */
export function unitsDocument(units: Units): Record<string, number | string> {
  return Object.fromEntries(
    (Object.entries(units) as [keyof Units, number | string][]).map(([name, value]) => [columnNames[name], value]),
  );
}
