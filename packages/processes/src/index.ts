export { claimDirectory } from "./claim-directory.ts";
export { commandLine, isRunning, ownPid, ownUid, sendSignal, startedAt } from "./processes.ts";
