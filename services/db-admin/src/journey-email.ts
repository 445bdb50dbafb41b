import { randomBytes } from "node:crypto";

/** `.invalid` never resolves (RFC 2606): no mail to such a person leaves the machine. */
const domain = "journey.nexus.invalid";
const pattern = /^journey-[0-9a-f]{24}@journey\.nexus\.invalid$/;

export function newJourneyEmail(): string {
  return `journey-${randomBytes(12).toString("hex")}@${domain}`;
}

/** Only such a person is ever removed: this program must not be a way to delete a real one. */
export function isJourneyEmail(email: string): boolean {
  return pattern.test(email);
}
