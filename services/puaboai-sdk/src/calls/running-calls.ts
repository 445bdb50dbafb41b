/**
 * The calls under way. One whose key has ended, by a change or by its own expiry, or that has been frozen, is cut: a receipt
 * speaks of checks that start after it, and a stream that was checked before must not outlive the revocation.
 */
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Problem, Roster } from "@nexus/core";
import type { KeyCaller, PersonCaller } from "@nexus/http";
import { type FreezableUse, frozenProblem, type KeyChecker, keyRecordOf, type Verifier } from "@nexus/key-check";

export interface RunningCall {
  /** The model was chosen. @throws Problem `frozen`, or `unavailable` when nobody here can tell whether it is */
  routed(model: { id: string; provider: string }): void;
  /** `undefined` as long as the call may go on. */
  cutBy(): Problem | undefined;
  /** Called once when the call is cut; at once when it was. */
  onCut(cut: (problem: Problem) => void): void;
  end(): void;
}

export interface RunningCalls {
  /** @param key the whole key where a program calls */
  begin(caller: KeyCaller | PersonCaller, key: string | undefined): RunningCall;
}

interface Call {
  readonly isPerson: boolean;
  readonly key: string | undefined;
  /** PostgreSQL's milliseconds at which the key expires, as far as is known. */
  endsAt: number;
  use: FreezableUse;
  cutBy: Problem | undefined;
  cut: ((problem: Problem) => void) | undefined;
  ended: boolean;
}

/** How soon it is asked again about a key when nobody could tell. */
const askAgainMs = 250;
/** Longest wait for the soonest expiry before it is looked at again; a timer holds no longer time than 24 days. */
const longestWaitMs = 60_000;

export function openRunningCalls({ feed, checker, freezes }: Pick<Verifier, "feed" | "checker" | "freezes">): RunningCalls {
  const calls = new Roster<Call>();
  const recheck = (call: Call, minRev: number): void =>
    void cutIfEnded({ feed, checker }, call, minRev).then(() => expiries.watch(call));
  const expiries = openExpiries(calls, { now: () => feed.lease.now(), recheck: (call) => recheck(call, feed.position().rev) });
  // Heard after the checker has forgotten the key and the list of freezes is loaded.
  feed.onChange(({ kind, subjectId, rev }) => {
    if (kind === "key") for (const call of calls.members()) if (call.use.keyId === `key_${subjectId}`) recheck(call, rev);
    if (kind === "freeze") for (const call of calls.members()) cutIfFrozen(freezes, call);
  });
  feed.onReset(() => {
    for (const call of calls.members()) {
      if (!cutIfFrozen(freezes, call)) recheck(call, 0);
    }
  });
  return {
    begin: (caller, key) => {
      const call: Call = {
        isPerson: caller.kind === "person",
        key,
        endsAt: expiryOf(keyRecordOf(caller)),
        use: useOf(caller),
        cutBy: undefined,
        cut: undefined,
        ended: false,
      };
      const seat = calls.enter(call);
      expiries.watch(call);
      // What happened between the check and here was told to nobody who knows of this call.
      if (key !== undefined && checker.peek(key)?.valid !== true) recheck(call, feed.position().rev);
      return {
        routed: ({ id, provider }) => {
          call.use = { ...call.use, model: id, provider };
          // A program's check has just brought what it needs to know.
          if (call.isPerson && !freezes.isKnown())
            throw new Problem("unavailable", undefined, { headers: { "retry-after": "1" } });
          const frozen = freezes.any ? freezes.find(call.use) : undefined;
          if (frozen) throw frozenProblem(frozen);
        },
        cutBy: () => call.cutBy,
        onCut: (handler) => {
          call.cut = handler;
          if (call.cutBy) handler(call.cutBy);
        },
        end: () => {
          call.ended = true;
          calls.leave(seat);
        },
      };
    },
  };
}

interface Expiries {
  /** The call's `endsAt` is new. */
  watch(call: Call): void;
}

/** One timer for the key that expires soonest, however many calls there are. */
function openExpiries(calls: Roster<Call>, { now, recheck }: { now: () => number; recheck: (call: Call) => void }): Expiries {
  let timer: NodeJS.Timeout | undefined;
  let due = Infinity;
  const look = (): void => {
    due = Infinity;
    const at = now();
    for (const call of calls.members()) {
      if (call.ended || call.cutBy) continue;
      if (call.endsAt > at) watch(call);
      else recheck(call);
    }
  };
  const watch = (call: Call): void => {
    if (call.ended || call.cutBy || call.endsAt >= due) return;
    due = call.endsAt;
    clearTimeout(timer);
    timer = setTimeout(look, Math.min(Math.max(due - now(), 0) + 1, longestWaitMs));
    timer.unref();
  };
  return { watch };
}

function expiryOf(record: { expires_at: string | null } | null | undefined): number {
  return record?.expires_at ? Date.parse(record.expires_at) : Infinity;
}

function useOf(caller: KeyCaller | PersonCaller): FreezableUse {
  const { organizationId } = caller;
  if (caller.kind === "person") return { organizationId, ownerUserId: caller.userId };
  const environment = keyRecordOf(caller)?.environment;
  return { organizationId, ownerUserId: caller.ownerUserId, keyId: caller.keyId, ...(environment && { environment }) };
}

function cut(call: Call, problem: Problem): void {
  if (call.cutBy || call.ended) return;
  call.cutBy = problem;
  call.cut?.(problem);
}

function cutIfFrozen(freezes: Verifier["freezes"], call: Call): boolean {
  const frozen = freezes.find(call.use);
  if (frozen) cut(call, frozenProblem(frozen));
  return frozen !== undefined;
}

/** RFC 9110 §11.6.1: a 401 says how to authenticate. */
function keyRevoked(): Problem {
  return new Problem("key_revoked", undefined, {
    headers: { "www-authenticate": 'Bearer realm="nexus", error="invalid_token"' },
  });
}

/** Cuts the call unless its key is still good as of the revision; asks until somebody can tell, or the key's time is over. */
async function cutIfEnded(
  { feed, checker }: Pick<Verifier, "feed"> & { checker: Pick<KeyChecker, "lookUp"> },
  call: Call,
  minRev: number,
): Promise<void> {
  if (call.key === undefined) return;
  const digest = createHash("sha256").update(call.key).digest();
  while (!call.ended && !call.cutBy) {
    try {
      const { record } = await checker.lookUp(digest, minRev);
      call.endsAt = expiryOf(record);
      if (record?.state !== "active" || call.endsAt <= feed.lease.now()) cut(call, keyRevoked());
      return;
    } catch {
      // The end of a key's time needs no news: who can ask nobody goes by what is known, as a check would.
      if (call.endsAt <= feed.lease.now()) return cut(call, keyRevoked());
      await delay(askAgainMs, undefined, { ref: false });
    }
  }
}
