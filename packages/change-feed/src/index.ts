export type { Change } from "./change.ts";
export { type CommittedChange, confirmChange, type NodeConfirmation, type Receipt } from "./confirm-change.ts";
export { type EndedSessions, openEndedSessions, type TokenOrigin } from "./ended-sessions.ts";
export { currentGeneration, recordGatewayChange } from "./feed.store.ts";
export type { ChangeFeed, ChangeFeedOptions } from "./change-feed.ts";
export { type ChangeDeps, inChangeTransaction, noteChanges } from "./in-change-transaction.ts";
export { openChangeFeed } from "./open-change-feed.ts";
export { type LeaseWatch, openLeaseWatch } from "./watch-leases.ts";
