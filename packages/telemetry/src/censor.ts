/**
 * What keeps secrets out of the log. Two nets, because one field named carelessly is enough to lose an installation:
 * values under telling names are replaced while they are still objects, and the finished line is searched for the shapes
 * of the secrets that this platform knows.
 */

const hidden = "[redacted]";

/** Compared in lower case with `-` and `_` removed. */
const secretNames: ReadonlySet<string> = new Set([
  "authorization",
  "proxyauthorization",
  "cookie",
  "setcookie",
  "xapikey",
  "apikey",
  "password",
  "passwd",
  "secret",
  "key",
  "token",
  "code",
  "pepper",
  "jwt",
]);
const secretEndings = ["token", "secret", "password", "pepper", "apikey", "authorization", "cookie"];
/** What a request or an answer carries belongs to the caller, never to the log. */
const bodyNames: ReadonlySet<string> = new Set(["body", "rawbody", "payload", "prompt", "messages"]);
const deepest = 8;

/** A copy of `value` that is safe to log: secrets and bodies replaced at any depth, queries cut from addresses. */
export function censorFields(value: Record<string, unknown>): Record<string, unknown> {
  return censorObject(value, 0);
}

function censorObject(value: object, depth: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) out[name] = censorMember(name, member, depth);
  return out;
}

function censorMember(name: string, value: unknown, depth: number): unknown {
  if (value === undefined || value === null || typeof value === "boolean") return value;
  const kind = kindOf(name);
  if (kind === "secret") return hidden;
  if (kind === "body") return "[omitted]";
  if (typeof value === "string") {
    if (kind === "perhaps secret") return hidden;
    return kind === "address" ? withoutQuery(value) : value;
  }
  return censorValue(value, depth);
}

type NameKind = "secret" | "perhaps secret" | "body" | "address" | "plain";

// Log lines use the same few names again and again; bounded, as a caller may have chosen some of them.
const kinds = new Map<string, NameKind>();

function kindOf(name: string): NameKind {
  const known = kinds.get(name);
  if (known) return known;
  const kind = readKind(name.toLowerCase().replaceAll(/[-_]/g, ""));
  if (kinds.size < 1000) kinds.set(name, kind);
  return kind;
}

function readKind(plain: string): NameKind {
  if (secretNames.has(plain)) return "secret";
  if (bodyNames.has(plain)) return "body";
  // A count of tokens is a number; a token is text.
  if (secretEndings.some((ending) => plain.endsWith(ending))) return "perhaps secret";
  return plain.endsWith("url") || plain === "href" ? "address" : "plain";
}

function censorValue(value: unknown, depth: number): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return typeof value === "function" ? undefined : value;
  if (depth >= deepest) return "[deep]";
  if (Array.isArray(value)) return value.slice(0, 100).map((item) => censorValue(item, depth + 1));
  if (value instanceof Error) return describeError(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof URL) return value.origin + value.pathname;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) return `[${value.constructor.name}]`;
  return censorObject(value, depth + 1);
}

/** `https://user:pass@host/path?token=…` → without its query; the user part is caught by `censorText`. */
function withoutQuery(address: string): string {
  const end = address.search(/[?#]/);
  return end === -1 ? address : address.slice(0, end);
}

/** The parts of an error that help to find its cause; drivers hang whole rows and requests on theirs. */
export function describeError(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: typeof error === "string" ? error : "something that is no Error was thrown" };
  const out: Record<string, unknown> = { type: error.name, message: error.message, stack: error.stack };
  const code = (error as { code?: unknown }).code;
  if (typeof code === "string") out["error_code"] = code;
  if (error.cause !== undefined && depth < 4) out["cause"] = describeError(error.cause, depth + 1);
  if (error instanceof AggregateError && depth < 4) {
    out["errors"] = error.errors.slice(0, 5).map((inner) => describeError(inner, depth + 1));
  }
  return out;
}

/** Platform key (its display part stays), JWT, credential after `Bearer`, and the password part of an address. */
const shapes =
  /(pv_(?:sk|rk|svc)_(?:live|test)_[0-9A-Za-z]{10})[0-9A-Za-z]{38}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]+)?|(Bearer )[\w.~+/=-]{8,}|(:\/\/[^\s/:@"]{0,100}:)[^\s/@"]{1,200}(?=@)/g;

/** The same line with everything that has the shape of a secret replaced. */
export function censorText(line: string): string {
  return line.replace(
    shapes,
    (_all, key: string | undefined, bearer: string | undefined, user: string | undefined) =>
      `${key ?? bearer ?? user ?? ""}${hidden}`,
  );
}
