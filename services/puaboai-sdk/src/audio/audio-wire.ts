/** OpenAI's audio routes (https://platform.openai.com/docs/api-reference/audio): what their answers tell, whole and streamed. */
import { noTokens, readTranscriptionUsage, type TokenUsage } from "../usage/token-usage.ts";
import { withUnits } from "../usage/units.ts";
import { dataOf, memberAt } from "../wire/member-at.ts";
import { errorFrame } from "../wire/openai-error.ts";
import type { FrameReader } from "../wire/sse-tap.ts";
import type { WireFormat } from "../wire/wire-format.ts";

/** Events whose names end so are the last and tell the figures. */
const readAudioFrame: FrameReader = (frame, _, state) => {
  const data = dataOf(frame);
  const type = memberAt(data, ["type"]);
  if (type === "error" || memberAt(data, ["error"]) !== undefined) state.failed = true;
  if (type === "speech.audio.delta" || type === "transcript.text.delta") {
    state.begun = true;
    return "content";
  }
  if (type !== "speech.audio.done" && type !== "transcript.text.done") return "control";
  state.done = true;
  state.usage = readTranscriptionUsage(memberAt(data, ["usage"]));
  state.usageIsWhole = state.usage !== undefined;
  return "control";
};

const common = {
  withoutFigures: "bound",
  openFrameReader: () => readAudioFrame,
  errorFrame,
  passingRequestHeaders: [],
} as const;

/** The characters are known beforehand; an answer of sound tells nothing else. */
export function speechWire(characters: number, billsOutput: boolean): WireFormat {
  return {
    ...common,
    name: "openai-speech",
    path: "/audio/speech",
    // Events may tell tokens beside them, or nothing.
    openFrameReader: () => (frame, frames, state) => {
      const kind = readAudioFrame(frame, frames, state);
      if (state.done && (state.usage || !billsOutput)) {
        const { units, ...tokens } = state.usage ?? noTokens;
        state.usage = { ...tokens, ...withUnits({ ...units, characters }) };
        state.usageIsWhole = true;
      }
      return kind;
    },
    // Where the sound is billed by tokens, only events tell how many.
    findUsage: () => (billsOutput ? undefined : { ...noTokens, ...withUnits({ characters }) }),
    passesBytes: true,
  };
}

export function transcriptionWire(path: "/audio/transcriptions" | "/audio/translations"): WireFormat {
  return { ...common, name: "openai-transcriptions", path, findUsage: usageOfTranscript, passesBytes: true };
}

/** Some tell no figures, but how long the sound was. */
function usageOfTranscript(answer: Buffer): TokenUsage | undefined {
  const told = readTranscriptionUsage(memberAt(answer, ["usage"]));
  if (told) return told;
  const seconds = Number(memberAt(answer, ["duration"]));
  return readTranscriptionUsage({ type: "duration", seconds: Number.isNaN(seconds) ? undefined : seconds });
}
