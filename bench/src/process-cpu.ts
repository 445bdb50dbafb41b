import { readFileSync } from "node:fs";

/** Resident memory of a process, in bytes (proc(5), /proc/pid/status, VmRSS). */
export function rssBytesOf(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kibibytes) * 1024;
}

/** Linux counts in hundredths of a second (USER_HZ), on every architecture that Node runs on. */
const microsPerTick = 10_000;

/** Microseconds of CPU, user and system, that a process has used so far (proc(5), /proc/pid/stat, fields 14 and 15). */
export function cpuMicrosOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field is the program's name in brackets and may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * microsPerTick;
}
