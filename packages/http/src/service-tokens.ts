import { hash, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
/** Proof between services: one token file per caller, compared in constant time. Only the private listener takes them. */
import { type Field, text } from "@nexus/config";
import { isPublishedValue } from "@nexus/core";

export interface ServiceTokens {
  /** This service's own proof, for its calls to others. */
  readonly own: string;
  /** The name of the caller whose token this is. */
  callerOf(presented: string): string | undefined;
}

const shortest = 32;

const tokenFile: Field<string> = {
  ...text({ doc: "File with the token by which this service proves itself to the others." }),
  parse: readToken,
};

const callerFiles: Field<ReadonlyMap<string, string>> = {
  doc: "Token files of the services that may call this one: name=path, separated by commas.",
  secret: false,
  fallback: { value: new Map(), shown: "none" },
  parse: (value) => new Map(value.split(",").map((entry) => parseCaller(entry.trim()))),
};

export const serviceTokenFields = { NEXUS_SERVICE_TOKEN_FILE: tokenFile, NEXUS_CALLER_TOKEN_FILES: callerFiles };

export function loadServiceTokens(config: {
  NEXUS_SERVICE_TOKEN_FILE: string;
  NEXUS_CALLER_TOKEN_FILES: ReadonlyMap<string, string>;
}): ServiceTokens {
  const callers = [...config.NEXUS_CALLER_TOKEN_FILES].map(([name, token]) => ({ name, digest: digestOf(token) }));
  return {
    own: config.NEXUS_SERVICE_TOKEN_FILE,
    callerOf: (presented) => {
      // Digests have one length, and every caller is compared: the time tells neither length nor which one matched.
      const digest = digestOf(presented);
      let found: string | undefined;
      for (const caller of callers) {
        if (timingSafeEqual(caller.digest, digest)) found = caller.name;
      }
      return found;
    },
  };
}

/** The token of `Authorization: Bearer <token>` (RFC 6750 §2.1). */
export function bearerOf(header: string | undefined): string | undefined {
  return header === undefined ? undefined : /^Bearer +([\x21-\x7e]{1,8192}) *$/i.exec(header)?.[1];
}

function parseCaller(entry: string): [string, string] {
  const match = /^([a-z][a-z0-9-]{0,62})=(.+)$/.exec(entry);
  if (!match?.[1] || !match[2]) throw new Error("must list name=path pairs separated by commas");
  try {
    return [match[1], readToken(match[2])];
  } catch (cause) {
    throw new Error(`names a file for ${match[1]} that ${(cause as Error).message}`, { cause });
  }
}

function readToken(path: string): string {
  let token: string;
  try {
    token = readFileSync(path, "utf8").trim();
  } catch (cause) {
    throw new Error(`cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown error"})`, { cause });
  }
  if (token.length < shortest) throw new Error(`must hold a token of at least ${shortest} characters`);
  if (isPublishedValue(token)) throw new Error("holds a value printed in a public document; make a new one");
  return token;
}

function digestOf(token: string): Buffer {
  return hash("sha256", token, "buffer");
}
