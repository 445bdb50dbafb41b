import { CommandError } from "./reply.ts";

const notAnInteger = "ERR value is not an integer or out of range";
const least = -(2n ** 63n);
const most = 2n ** 63n - 1n;

/** A 64-bit integer as Redis reads one: no plus sign, no leading zeros, no spaces. @throws CommandError */
export function parseInteger(text: string, message: string = notAnInteger): bigint {
  if (!/^(?:0|-?[1-9]\d{0,18})$/.test(text)) throw new CommandError(message);
  const value = BigInt(text);
  if (value < least || value > most) throw new CommandError(message);
  return value;
}

/** @throws CommandError when the sum leaves 64 bits */
export function addIntegers(a: bigint, b: bigint): bigint {
  const sum = a + b;
  if (sum < least || sum > most) throw new CommandError("ERR increment or decrement would overflow");
  return sum;
}

/** An index or a count, cut to what a JavaScript number holds exactly. @throws CommandError */
export function parseIndex(text: string): number {
  const value = Number(parseInteger(text));
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value));
}

/** @throws CommandError */
export function parseFloatArgument(text: string, message = "ERR value is not a valid float"): number {
  const infinity = /^([+-]?)inf(?:inity)?$/i.exec(text);
  if (infinity) return infinity[1] === "-" ? -Infinity : Infinity;
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) throw new CommandError(message);
  return Number(text);
}

export function formatFloat(value: number): string {
  if (value === Infinity) return "inf";
  if (value === -Infinity) return "-inf";
  if (Number.isNaN(value)) return "nan";
  if (Object.is(value, -0)) return "-0";
  // Digits, not an exponent, for every whole number that 64 bits hold.
  return Number.isInteger(value) && Math.abs(value) < 2 ** 63 ? BigInt(value).toString() : String(value);
}
