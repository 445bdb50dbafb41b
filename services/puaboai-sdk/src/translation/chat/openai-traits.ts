/** What OpenAI's models take, by their names; other names are those of compatible servers. */
export function capName(model: string): string {
  // Those that reason refuse `max_tokens`; many compatible servers know nothing else.
  return /(?:^|\/)(?:o\d|gpt-[5-9])/.test(model) ? "max_completion_tokens" : "max_tokens";
}

/** The older ones do not reason, and refuse to be told how much. */
export function refusesEffort(model: string): boolean {
  return /(?:^|\/)(?:gpt-[34]|chatgpt-4)/.test(model);
}
