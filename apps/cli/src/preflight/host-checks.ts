import { type Check, verdict } from "./check.ts";

const gib = 1024 ** 3;
const leastDisk = 5 * gib;
const leastMemory = 2 * gib;
const leastCpus = 2;

const inGib = (bytes: number): string => `${(bytes / gib).toFixed(1)} GiB`;

export const hostChecks: readonly Check[] = [
  {
    id: "host.ports",
    severity: "critical",
    title: "The published ports are free, or held by this deployment",
    proves: "the applications can listen",
    fix: "Stop what holds the port, or choose another in .env.pf.",
    find: ({ ports }) =>
      verdict(
        ports.filter(({ holder }) => holder && !holder.ours).map(({ port, holder }) => `${port} is held by ${holder?.who}`),
        ports.map(({ port, holder }) => `${port} ${holder ? `is ours (${holder.who})` : "is free"}`).join(", "),
      ),
  },
  {
    id: "host.disk",
    severity: "critical",
    title: `At least ${inGib(leastDisk)} of disk are free`,
    proves: "images can be built and data can grow",
    fix: "Free some space: docker system df shows what images and build cache take.",
    find: ({ machine }) =>
      verdict(
        machine.diskFreeBytes >= leastDisk ? [] : [`${inGib(machine.diskFreeBytes)} are free`],
        `${inGib(machine.diskFreeBytes)} are free`,
      ),
  },
  {
    id: "host.memory",
    severity: "critical",
    title: `At least ${inGib(leastMemory)} of memory`,
    proves: "the five containers fit",
    fix: "Give the machine more memory.",
    find: ({ machine }) =>
      verdict(machine.memoryBytes >= leastMemory ? [] : [`it has ${inGib(machine.memoryBytes)}`], inGib(machine.memoryBytes)),
  },
  {
    id: "host.cpus",
    severity: "warning",
    title: `At least ${leastCpus} processors`,
    proves: "a busy gateway does not slow the database",
    fix: "Give the machine a second processor.",
    find: ({ machine }) => verdict(machine.cpus >= leastCpus ? [] : [`it has ${machine.cpus}`], `${machine.cpus} processors`),
  },
];
