/** Which passwords are refused (NIST SP 800-63B-4 §3.1.1.2): too short, known to everybody, or made of the person's own words. */
import { commonPasswords } from "./common-passwords.ts";
import { normalizePassword } from "./password-hasher.ts";

export type PasswordFault = "too_short" | "too_long" | "common" | "own_words";

interface Person {
  email: string;
  name: string;
}

export const longestPassword = 256;
const shortestOwnWord = 4;

/** What is wrong with a new password, or `undefined`. Lengths are counted in Unicode code points; no composition is asked for. */
export function checkPassword(password: string, person: Person, minLength: number): PasswordFault | undefined {
  const normalized = normalizePassword(password);
  const length = Array.from(normalized).length;
  if (length < minLength) return "too_short";
  if (length > longestPassword) return "too_long";
  const folded = normalized.toLowerCase();
  const bare = folded.replaceAll(/[\s._-]/gu, "");
  if (commonPasswords.has(folded) || isRepetition(bare) || isRun(bare)) return "common";
  if (ownWords(person).some((word) => bare.includes(word))) return "own_words";
  return undefined;
}

/** The local part of the address and the words of the name; shorter ones stand in too many honest passwords. */
function ownWords({ email, name }: Person): string[] {
  const local = email.slice(0, email.lastIndexOf("@"));
  const words = [local, ...local.split(/[._+-]/u), ...name.split(/\s+/u)];
  return words
    .map((word) =>
      normalizePassword(word)
        .toLowerCase()
        .replaceAll(/[\s._-]/gu, ""),
    )
    .filter((word) => word.length >= shortestOwnWord);
}

/** `abcabcabc…`: one piece of at most eight characters over and over, the last one perhaps cut. */
function isRepetition(text: string): boolean {
  for (let period = 1; period <= 8 && period * 2 <= text.length; period++) {
    if (text.slice(period) === text.slice(0, -period)) return true;
  }
  return false;
}

const rows = [
  "0123456789".repeat(4),
  "abcdefghijklmnopqrstuvwxyz",
  "qwertyuiopasdfghjklzxcvbnm",
  "1234567890qwertyuiopasdfghjklzxcvbnm",
];

/** Neighbours on the keyboard or in the alphabet from one end to the other, forwards or backwards. */
function isRun(text: string): boolean {
  const backwards = Array.from(text).toReversed().join("");
  return rows.some((row) => row.includes(text) || row.includes(backwards));
}
