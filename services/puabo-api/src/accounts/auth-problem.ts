/** What can go wrong under `/api/auth/*`, in better-auth's own codes and messages; its clients act on them. */
import { Problem, type ProblemCode } from "@nexus/core";

const faults = {
  INVALID_EMAIL: { problem: "malformed_request", message: "Invalid email" },
  INVALID_EMAIL_OR_PASSWORD: { problem: "unauthenticated", message: "Invalid email or password" },
  PASSWORD_TOO_SHORT: { problem: "malformed_request", message: "Password too short" },
  PASSWORD_TOO_LONG: { problem: "malformed_request", message: "Password too long" },
  PASSWORD_COMPROMISED: { problem: "malformed_request", message: "This password is known to everybody who guesses passwords" },
  PASSWORD_CONTAINS_OWN_WORDS: { problem: "malformed_request", message: "The password contains your own name or address" },
  USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL: { problem: "invalid_request", message: "User already exists. Use another email." },
  EMAIL_PASSWORD_SIGN_UP_DISABLED: { problem: "sign_up_closed", message: "Email and password sign up is not enabled" },
} as const satisfies Record<string, { problem: ProblemCode; message: string }>;

type AuthFault = keyof typeof faults;

/** A `Problem` that the dialect of `/api/auth/*` shows under better-auth's code; elsewhere it is an ordinary problem document. */
export function authProblem(fault: AuthFault, cause?: unknown): Problem {
  const { problem, message } = faults[fault];
  const headers = problem === "unauthenticated" ? { "www-authenticate": 'Bearer realm="nexus"' } : {};
  return new Problem(problem, message, { extensions: { auth_code: fault }, headers, cause });
}

/** better-auth's code of a problem; its own where it has one, else ours in its spelling. */
export function authCodeOf(problem: { code: ProblemCode; extensions: Record<string, unknown> }): string {
  const own = problem.extensions["auth_code"];
  if (typeof own === "string") return own;
  if (problem.code === "unauthenticated") return "UNAUTHORIZED";
  if (problem.code === "invalid_request") return "VALIDATION_ERROR";
  if (problem.code === "origin_refused") return "INVALID_ORIGIN";
  return problem.code.toUpperCase();
}
