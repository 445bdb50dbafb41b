import { parseInteger } from "../numbers.ts";
import { CommandError } from "../reply.ts";

type Unit = "EX" | "PX" | "EXAT" | "PXAT";

/** Beyond it a date is no longer exact; Redis itself ends at 2^63. */
const latest = BigInt(Number.MAX_SAFE_INTEGER);

/** When a key with that life ends, in milliseconds since the epoch. @throws CommandError */
export function expiryFrom(unit: Unit, text: string, now: number, command: string): number {
  const value = parseInteger(text);
  const invalid = new CommandError(`ERR invalid expire time in '${command}' command`);
  if (value <= 0n) throw invalid;
  return deadline(value, unit, now, invalid);
}

/** As `expiryFrom`, but a time that has passed is one too. @throws CommandError */
export function expiryOrPast(unit: Unit, text: string, now: number, command: string): number {
  return deadline(parseInteger(text), unit, now, new CommandError(`ERR invalid expire time in '${command}' command`));
}

function deadline(value: bigint, unit: Unit, now: number, invalid: CommandError): number {
  const milliseconds = unit.startsWith("EX") ? value * 1000n : value;
  const at = unit.endsWith("AT") ? milliseconds : milliseconds + BigInt(now);
  if (at > latest || at < -latest) throw invalid;
  return Number(at);
}
