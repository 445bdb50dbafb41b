/** Where PostgreSQL is and who we are there, as read from the environment. */
import { type Config, type ConfigSchema, type Field, integer, oneOf, optional, port, secret, text } from "@nexus/config";
import { assert, isPublishedValue } from "@nexus/core";

export interface Connection {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** Absent: plain TCP. `rejectUnauthorized: false` encrypts without proving who answers, as libpq's `require`. */
  readonly ssl?: { readonly rejectUnauthorized: boolean };
}

const sslModes = ["disable", "require", "verify-full"] as const;
type SslMode = (typeof sslModes)[number];

/** A URL with a password in it: a secret, so that it may come from a file and is never printed. */
const databaseUrl: Field<Connection | undefined> = {
  doc: "PostgreSQL as one URL: postgres://user:password@host:5432/name?sslmode=verify-full. Instead of the DB_… variables.",
  fallback: { value: undefined, shown: "—" },
  secret: true,
  parse: connectionFromUrl,
};

export const databaseFields = {
  DATABASE_URL: databaseUrl,
  DB_HOST: optional(text({ doc: "Host name of PostgreSQL.", maxLength: 255 })),
  DB_PORT: port({ doc: "Port of PostgreSQL.", default: 5432 }),
  DB_NAME: text({ doc: "Name of the database.", default: "nexus_db", maxLength: 63 }),
  DB_USER: optional(text({ doc: "The role to log in as; each service has its own.", maxLength: 63 })),
  DB_PASSWORD: optional(secret({ doc: "Password of that role.", minLength: 8 })),
  DB_SSLMODE: oneOf({
    doc: "How the connection is encrypted; `verify-full` also proves the server.",
    values: sslModes,
    default: "disable",
  }),
  DB_POOL_SIZE: integer({
    doc: "Most connections that one process opens.",
    default: 10,
    min: 1,
    max: 200,
  }),
} satisfies ConfigSchema;

type DatabaseConfig = Config<typeof databaseFields>;

/** Faults that concern several of the fields. */
export function databaseRules(config: DatabaseConfig): string[] {
  if (config.DATABASE_URL !== undefined) {
    return config.DB_HOST === undefined ? [] : ["DATABASE_URL and DB_HOST are both set; keep one"];
  }
  if (config.DB_HOST === undefined) return ["DATABASE_URL or DB_HOST is required: where PostgreSQL is"];
  const faults: string[] = [];
  if (config.DB_USER === undefined) faults.push("DB_USER is required with DB_HOST");
  if (config.DB_PASSWORD === undefined) faults.push("DB_PASSWORD is required with DB_HOST (or DB_PASSWORD_FILE)");
  return faults;
}

/** The connection that a configuration names; `databaseRules` must have found no fault in it. */
export function connectionFrom(config: DatabaseConfig): Connection {
  if (config.DATABASE_URL !== undefined) return config.DATABASE_URL;
  const { DB_HOST: host, DB_USER: user, DB_PASSWORD: password } = config;
  assert(host !== undefined && user !== undefined && password !== undefined, "databaseRules was not asked");
  return {
    host,
    port: config.DB_PORT,
    database: config.DB_NAME,
    user,
    password,
    ...sslOf(config.DB_SSLMODE),
  };
}

function connectionFromUrl(value: string): Connection {
  const url = URL.parse(value);
  if (!url || (url.protocol !== "postgres:" && url.protocol !== "postgresql:")) {
    throw new Error("must be a URL starting with postgres:// or postgresql://");
  }
  const database = decodeURIComponent(url.pathname.slice(1));
  const password = decodeURIComponent(url.password);
  if (url.hostname === "" || url.username === "" || password === "" || database === "") {
    throw new Error("must name a user, a password, a host and a database");
  }
  if (isPublishedValue(password)) throw new Error("holds a password printed in a public document; make a new one");
  const unknown = [...url.searchParams.keys()].filter((name) => name !== "sslmode");
  if (unknown.length > 0) throw new Error(`has the parameter ${unknown.join(", ")}; only sslmode is known`);
  const mode = url.searchParams.get("sslmode") ?? "disable";
  const known = sslModes.find((candidate) => candidate === mode);
  if (known === undefined) throw new Error(`has an sslmode that is none of ${sslModes.join(", ")}`);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? 5432 : Number(url.port),
    database,
    user: decodeURIComponent(url.username),
    password,
    ...sslOf(known),
  };
}

function sslOf(mode: SslMode): { ssl?: { rejectUnauthorized: boolean } } {
  return mode === "disable" ? {} : { ssl: { rejectUnauthorized: mode === "verify-full" } };
}
