/** Models over which the sources differ: whose figures hold, and why. `neither`: the model is left out and priced by hand. */
export const knownDifferences: ReadonlyMap<string, { holds: "first" | "neither"; because: string }> = new Map([
  [
    "anthropic/claude-sonnet-5-5",
    { holds: "first", because: "the second knows claude-sonnet-5 alone and answers with its price" },
  ],
  ["groq/openai/gpt-oss-safeguard-20b", { holds: "first", because: "the second answers with the price of gpt-oss-120b" }],
  ["mistral/mistral-large-latest", { holds: "neither", because: "a moving name: the sources mean different models" }],
  ["mistral/mistral-small-latest", { holds: "neither", because: "a moving name: the sources mean different models" }],
  ["deepseek/deepseek-v4-pro", { holds: "neither", because: "one source says twice what the other says, and neither says why" }],
]);
