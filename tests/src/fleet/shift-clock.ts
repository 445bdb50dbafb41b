/**
 * Loaded into a process before its program (`node --import`): its wall clock is off by the milliseconds that stand in the file
 * named by FLEET_CLOCK_FILE, and follows that file while the process runs. The monotonic clock is left alone, as it is by an
 * operator or a time daemon who steps the clock.
 */
import { readFileSync, writeFileSync } from "node:fs";

const file = process.env["FLEET_CLOCK_FILE"];
const WallDate = Date;
const wallNow = Date.now.bind(Date);
let offsetMs = 0;

function follow(path: string): void {
  const next = Number(readFileSync(path, "utf8"));
  if (Number.isNaN(next) || next === offsetMs) return;
  offsetMs = next;
  writeFileSync(`${path}.seen`, String(next));
}

if (file !== undefined) {
  WallDate.now = () => wallNow() + offsetMs;
  globalThis.Date = new Proxy(WallDate, {
    construct: (target, given: unknown[], self) =>
      Reflect.construct(target, given.length === 0 ? [target.now()] : given, self) as object,
    apply: (target) => new target(target.now()).toString(),
  });
  follow(file);
  setInterval(() => follow(file), 10).unref();
}
