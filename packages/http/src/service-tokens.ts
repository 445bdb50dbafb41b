/**
 * How services prove themselves to each other on the private listener: one token per caller, from mounted files.
 * Read once at start; a file that cannot be read is a fault of the configuration, reported with all others.
 */
import { hash, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Field } from "@nexus/config";
import { isPublishedValue } from "@nexus/core";

export interface ServiceTokens {
  /** What this service presents to others. */
  own: string;
  /** The name of the caller whose token this is. Takes the same time whichever token is close. */
  callerOf(presented: string): string | undefined;
}

const shortest = 32;

type CallerTokens = readonly { readonly caller: string; readonly token: string }[];

export const serviceTokenFields: {
  NEXUS_SERVICE_TOKEN_FILE: Field<string>;
  NEXUS_CALLER_TOKEN_FILES: Field<readonly { readonly caller: string; readonly token: string }[]>;
} = {
  NEXUS_SERVICE_TOKEN_FILE: {
    doc: "File with the token by which this service proves itself to the others, at least 32 characters.",
    fallback: undefined,
    secret: false,
    parse: readToken,
  },
  NEXUS_CALLER_TOKEN_FILES: {
    doc: "Token files of the services that may call this one: name=path, separated by commas; a name may stand twice while its token is changed.",
    fallback: { value: [], shown: "none" },
    secret: false,
    parse: parseCallers,
  },
};

function readToken(path: string): string {
  let token: string;
  try {
    token = readFileSync(path, "utf8").trim();
  } catch (cause) {
    throw new Error(`names ${path}, which cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown error"})`, {
      cause,
    });
  }
  if (isPublishedValue(token)) throw new Error(`names ${path}, which holds a value printed in a public document; make a new one`);
  if (token.length < shortest) throw new Error(`names ${path}, whose token has fewer than ${shortest} characters`);
  if (!/^[\x21-\x7e]+$/.test(token)) throw new Error(`names ${path}, whose token has characters that no header can carry`);
  return token;
}

function parseCallers(text: string): CallerTokens {
  const callers = text.split(",").map((entry) => {
    const match = /^\s*([a-z][a-z0-9-]*)=(\S.*?)\s*$/.exec(entry);
    if (!match?.[1] || !match[2]) throw new Error("must be a list such as puabo-api=/run/secrets/a,puaboai-sdk=/run/secrets/b");
    return { caller: match[1], token: readToken(match[2]) };
  });
  for (const { caller, token } of callers) {
    if (callers.some((other) => other.caller !== caller && other.token === token)) {
      throw new Error("gives two callers the same token; each needs its own");
    }
  }
  return callers;
}

/** Tokens out of a configuration that holds `serviceTokenFields`. */
export function loadServiceTokens(config: {
  readonly NEXUS_SERVICE_TOKEN_FILE: string;
  readonly NEXUS_CALLER_TOKEN_FILES: CallerTokens;
}): ServiceTokens {
  return serviceTokens(config.NEXUS_SERVICE_TOKEN_FILE, config.NEXUS_CALLER_TOKEN_FILES);
}

/** @param own what this service presents; `callers` who may call it and with what */
function serviceTokens(own: string, callers: CallerTokens): ServiceTokens {
  const known = callers.map(({ caller, token }) => ({ caller, digest: sha256(token) }));
  return {
    own,
    callerOf: (presented) => {
      const digest = sha256(presented);
      let found: string | undefined;
      // Digests have one length and every entry is compared: the time tells neither how much of a token fits nor whose it is.
      for (const entry of known) if (timingSafeEqual(entry.digest, digest)) found = entry.caller;
      return found;
    },
  };
}

function sha256(text: string): Buffer {
  return hash("sha256", text, "buffer");
}
