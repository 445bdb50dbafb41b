import { type SseTap, sseTap } from "./sse-tap.ts";
import type { WireFormat } from "./wire-format.ts";

/** Reads a stream of this format on its way through; what comes out are server-sent events, whatever went in. */
export function openTap({ openFrameReader, openDecoder }: Pick<WireFormat, "openFrameReader" | "openDecoder">): SseTap {
  const tap = sseTap(openFrameReader());
  const decoder = openDecoder?.();
  if (!decoder) return tap;
  return {
    push(chunk) {
      const frames = decoder.push(chunk);
      return frames && tap.push(frames);
    },
    end() {
      if (decoder.isTorn() && !tap.state().done) tap.state().broken ??= "the stream ended inside of a message";
      return tap.end();
    },
    state: () => tap.state(),
  };
}
