import { type FieldError, Problem } from "@nexus/core";
import { type ObjectScan, valueAt } from "./scan-object.ts";

/** Reads scanned members with their types; every wrong one is told at once by `finish`. JSON null counts as absent. */
export interface FieldReader {
  text(name: string, maxLength: number): string | undefined;
  flag(name: string): boolean | undefined;
  count(name: string, max: number): number | undefined;
  /** Refuses it when it is absent. */
  require(name: string): void;
  refuse(name: string, detail: string): void;
  /** @throws Problem `invalid_request` naming every wrong member */
  finish(): void;
}

// A scalar that we act on is short; making a megabyte of text only to refuse it would be the attacker's choice.
const longestValue = 4096;

export function fieldReader(bytes: Buffer, scan: ObjectScan, pointer = ""): FieldReader {
  const errors: FieldError[] = [];
  const refuse = (name: string, detail: string) => void errors.push({ pointer: `${pointer}/${name}`, detail });
  const read = (name: string): unknown => {
    const span = scan.values.get(name);
    if (!span) return undefined;
    if (span.end - span.start > longestValue) return Symbol("too long");
    return valueAt(bytes, span) ?? undefined;
  };
  return {
    text(name, maxLength) {
      const value = read(name);
      if (value === undefined) return undefined;
      if (typeof value === "string" && value.length > 0 && value.length <= maxLength) return value;
      refuse(name, `must be a text of 1 to ${maxLength} characters`);
      return undefined;
    },
    flag(name) {
      const value = read(name);
      if (value === undefined || typeof value === "boolean") return value;
      refuse(name, "must be true or false");
      return undefined;
    },
    count(name, max) {
      const value = read(name);
      if (value === undefined) return undefined;
      if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= max) return value;
      refuse(name, `must be a whole number from 1 to ${max}`);
      return undefined;
    },
    require(name) {
      const span = scan.values.get(name);
      // Of JSON's values only null begins so.
      if (!span || bytes[span.start] === 0x6e) refuse(name, "is required");
    },
    refuse,
    finish() {
      if (errors.length > 0) throw new Problem("invalid_request", undefined, { errors });
    },
  };
}
