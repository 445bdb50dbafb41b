import type { AnswerHooks } from "../calls/call-hooks.ts";
import type { CachedAnswer } from "./cached-answer.ts";

/** Headers that a replay tells again; all others are of the one call, or of its provider. */
const kept: ReadonlySet<string> = new Set(["content-type", "x-nexus-not-carried", "x-nexus-max-tokens"]);

interface KeeperOptions {
  /** Longest answer that is kept, bytes. */
  maxBytes: number;
  put: (answer: Pick<CachedAnswer, "kind" | "model" | "headers" | "body">) => void;
}

/**
 * Keeps the complete answer of one call as it leaves, after all other hooks; what grows too long is let go of at once. One that a
 * budget has made shorter is for nobody else.
 */
export function keepAnswer({ maxBytes, put }: KeeperOptions, inner: AnswerHooks): AnswerHooks {
  return {
    ...inner,
    keepWhole(model, headers, body) {
      if (body.length <= maxBytes && !model.isClamped) put({ kind: "whole", model: model.id, headers: keptOf(headers), body });
    },
    openStream(model, headers) {
      const stream = inner.openStream(model, headers);
      if (model.isClamped) return stream;
      const pieces: Buffer[] = [];
      let bytes = 0;
      const keep = (frames: Buffer | undefined): Buffer | undefined => {
        bytes += frames?.length ?? 0;
        if (bytes > maxBytes) pieces.length = 0;
        else if (frames) pieces.push(frames);
        return frames;
      };
      return {
        push: (frames, isLast) => keep(stream.push(frames, isLast)),
        end(rest, isWhole) {
          const last = keep(stream.end(rest, isWhole));
          const body = Buffer.concat(pieces);
          if (isWhole && bytes <= maxBytes) put({ kind: "stream", model: model.id, headers: keptOf(headers), body });
          return last;
        },
      };
    },
  };
}

function keptOf(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => kept.has(name)));
}
