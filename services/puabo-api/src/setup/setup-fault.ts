/** What is wrong with a set-up, told by field: to a person at the form, and to whoever sends JSON. */
import { Problem } from "@nexus/core";
import { longestPassword } from "../passwords/check-password.ts";

/** The codes of `/api/auth` mean nothing here: its faults become faults of fields, and everything else stays as it is. */
export function setupFault(error: unknown, passwordMinLength: number): unknown {
  if (!(error instanceof Problem)) return error;
  const found = faultOf(error.extensions["auth_code"], passwordMinLength);
  if (!found) return error;
  const [pointer, detail] = found;
  return new Problem("invalid_request", `${pointer} ${detail}.`, { errors: [{ pointer, detail }], cause: error });
}

function faultOf(authCode: unknown, passwordMinLength: number): [pointer: string, detail: string] | undefined {
  switch (authCode) {
    case "INVALID_EMAIL":
      return ["/email", "is not an e-mail address"];
    case "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL":
      return ["/email", "belongs to an account already"];
    case "PASSWORD_TOO_SHORT":
      return ["/password", `must have at least ${passwordMinLength} characters`];
    case "PASSWORD_TOO_LONG":
      return ["/password", `must have at most ${longestPassword} characters`];
    case "PASSWORD_COMPROMISED":
      return ["/password", "is known to everybody who guesses passwords"];
    case "PASSWORD_CONTAINS_OWN_WORDS":
      return ["/password", "contains your own name or address"];
    default:
      return undefined;
  }
}

const labels: Readonly<Record<string, string>> = {
  "/name": "The name",
  "/email": "The e-mail address",
  "/password": "The password",
};

/** A sentence that calls the first faulty field what the form calls it. */
export function nameField({ errors, detail }: Problem): string | undefined {
  const [first] = errors ?? [];
  const label = first && labels[first.pointer];
  return label === undefined ? detail : `${label} ${first?.detail}.`;
}
