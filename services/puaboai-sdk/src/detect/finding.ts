/** What the detector knows. */
export const secretKinds = [
  "nexus_key",
  "openai_key",
  "anthropic_key",
  "aws_key",
  "github_token",
  "google_key",
  "slack_token",
  "private_key",
  "jwt",
  "assigned_secret",
] as const;
export const piiKinds = ["email", "card", "iban", "ssn", "phone"] as const;
export type FindingKind = (typeof secretKinds)[number] | (typeof piiKinds)[number];

/** What a client is told of it: `openai key`. */
export function sayingOf(kind: FindingKind): string {
  return kind.replaceAll("_", " ");
}

/** Where something stands in a text, and what it is; never the text itself. Half-open, UTF-16 units. */
export interface Finding {
  kind: FindingKind;
  start: number;
  end: number;
}
