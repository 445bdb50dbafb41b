/** What the generations of Claude take, by the names of Anthropic's models (its migration guides). A name that tells nothing is a current model. */
interface ClaudeTraits {
  /** Up to 4.5 they think within a budget of tokens; later ones by an effort, and refuse the budget. */
  thinksByBudget: boolean;
  /** From Opus 4.7 on temperature, top_p and top_k are refused, and thoughts are told only on demand. */
  refusesSampling: boolean;
  /** They always think, and a thinking model cannot be made to call a tool. */
  refusesForcedTools: boolean;
  /** A schema for the whole answer came with Opus 4.1 and Sonnet 4.5. */
  refusesSchema: boolean;
}

export function claudeTraits(model: string): ClaudeTraits {
  return {
    thinksByBudget: /claude-(?:3|(?:opus|sonnet|haiku)-(?:3|4-(?:\d{8}|[015](?!\d))|4(?!-)))/.test(model),
    refusesSampling: /claude-(?:opus-4-[78]|[a-z]+-[5-9])/.test(model),
    refusesForcedTools: /claude-(?:(?:opus|sonnet)-5-5|fable-5-1)/.test(model),
    refusesSchema: /claude-(?:3|(?:opus|sonnet)-4(?:-0|-\d{8}|(?!-)))/.test(model),
  };
}
