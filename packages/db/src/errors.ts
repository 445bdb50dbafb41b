/** What an error from PostgreSQL or from the way to it means. SQLSTATE: PostgreSQL 15, appendix A. */

/** True for a violated unique or primary key; with `constraint`, only that one. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return violates(error, "23505", constraint);
}

/** True for a row that names another which is not there, or is still named by another; with `constraint`, only that one. */
export function isForeignKeyViolation(error: unknown, constraint?: string): boolean {
  return violates(error, "23503", constraint);
}

function violates(error: unknown, code: string, constraint: string | undefined): boolean {
  const fault = error as { code?: unknown; constraint?: unknown } | null | undefined;
  return fault?.code === code && (constraint === undefined || fault.constraint === constraint);
}

const networkCodes: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENETDOWN",
]);

/** 57P0x: shut down, crashed, starting up. 57014, 55P03, 25P03: our own deadlines. 25006: a standby. */
const stateCodes = /^(?:08...|53...|57P0[1-4]|57014|55P03|25P0[34]|25006)$/;

/** pg and pg-pool give these no code. */
const messages: ReadonlySet<string> = new Set([
  "Connection terminated",
  "Connection terminated unexpectedly",
  "Connection terminated due to connection timeout",
  "timeout exceeded when trying to connect",
  "timeout expired",
  "Query read timeout",
  "Client has encountered a connection error and is not queryable",
  "Cannot use a pool after calling end on the pool",
]);

/**
 * True when PostgreSQL cannot do its job at the moment (gone, starting, full, slower than our deadlines): the caller may
 * try again, and a service answers 503. False for everything that trying again would not mend.
 */
export function isUnavailable(error: unknown): boolean {
  for (let fault = error, depth = 0; fault instanceof Error && depth < 5; fault = fault.cause, depth++) {
    const code = (fault as { code?: unknown }).code;
    if (typeof code === "string" && (networkCodes.has(code) || stateCodes.test(code))) return true;
    if (messages.has(fault.message)) return true;
  }
  return false;
}

/** True for the refusal of our own time limit inside pg: nobody knows whether the server did the work. */
export function isReadTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === "Query read timeout";
}
