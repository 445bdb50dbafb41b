/** What a chat model can, as `capabilities` in gateway.yaml names it. */
export const capabilityNames = ["tools", "images", "structured_output", "reasoning"] as const;
export type CapabilityName = (typeof capabilityNames)[number];

/** `null`: nobody has said. */
export interface Capabilities {
  tools: boolean | null;
  /** Takes images. */
  images: boolean | null;
  structuredOutput: boolean | null;
  reasoning: boolean | null;
}

export const nobodySays: Capabilities = { tools: null, images: null, structuredOutput: null, reasoning: null };

/** A list names all that a model can: what is not in it it cannot. */
export function capabilitiesOf(names: readonly CapabilityName[]): Capabilities {
  const can = (name: CapabilityName) => names.includes(name);
  return {
    tools: can("tools"),
    images: can("images"),
    structuredOutput: can("structured_output"),
    reasoning: can("reasoning"),
  };
}

/** What every one of them can: whichever answers. */
export function sharedCapabilities(all: readonly Capabilities[]): Capabilities {
  const shared = (name: keyof Capabilities): boolean | null => {
    if (all.some((one) => one[name] === false)) return false;
    return all.every((one) => one[name] === true) ? true : null;
  };
  return {
    tools: shared("tools"),
    images: shared("images"),
    structuredOutput: shared("structuredOutput"),
    reasoning: shared("reasoning"),
  };
}
