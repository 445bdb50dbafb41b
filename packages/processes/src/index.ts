export { claimDirectory, DirectoryInUse } from "./claim-directory.ts";
export { commandLine, isRunning, ownPid, ownUid, sendSignal, startedAt } from "./processes.ts";
