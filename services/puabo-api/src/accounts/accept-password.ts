import { assertNever } from "@nexus/core";
import { checkPassword } from "../passwords/check-password.ts";
import { authProblem } from "./auth-problem.ts";

/** @throws Problem that says what is wrong with a new password */
export function acceptPassword(password: string, person: { email: string; name: string }, minLength: number): void {
  const fault = checkPassword(password, person, minLength);
  switch (fault) {
    case undefined:
      return;
    case "too_short":
      throw authProblem("PASSWORD_TOO_SHORT");
    case "too_long":
      throw authProblem("PASSWORD_TOO_LONG");
    case "common":
      throw authProblem("PASSWORD_COMPROMISED");
    case "own_words":
      throw authProblem("PASSWORD_CONTAINS_OWN_WORDS");
    default:
      assertNever(fault);
  }
}
