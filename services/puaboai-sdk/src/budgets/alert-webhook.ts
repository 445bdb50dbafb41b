/**
 * Tells an operator's endpoint that a share of a budget is spent, in the form of Standard Webhooks
 * (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md): at least once, signed, repeated
 * for a day until it is taken.
 */
import { createHmac } from "node:crypto";
import { toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";
import { markDelivered, type OpenAlert, takeAlerts } from "./alerts.store.ts";
import { subjectText } from "./present-budget.ts";

interface Options {
  db: Db;
  url: string;
  /** Key of the signature. */
  secret: string;
  logger: Pick<Logger, "warn">;
  /** Between two looks for what is due; 5 s unless told. */
  everyMs?: number;
}

export interface AlertWebhook {
  /** Sends what is due. Any number of processes may do it at once. */
  deliver(): Promise<void>;
  /** Ends after the attempt under way. */
  close(): Promise<void>;
}

const answerWithinMs = 10_000;
const atOnce = 20;
/** With the pauses between them about a day. */
const mostAttempts = 32;

/** Owns the timer. */
export function openAlertWebhook(options: Options): AlertWebhook {
  const closing = new AbortController();
  let running: Promise<void> | undefined;
  const deliver = (): Promise<void> => {
    running ??= deliverDue(options, closing.signal).finally(() => {
      running = undefined;
    });
    return running;
  };
  const timer = setInterval(() => {
    deliver().catch((error: unknown) => {
      options.logger.warn({ err: error }, "alerts of budgets wait for PostgreSQL");
    });
  }, options.everyMs ?? 5000);
  timer.unref();
  return {
    deliver,
    close: async () => {
      clearInterval(timer);
      closing.abort();
      await running?.catch(() => {});
    },
  };
}

async function deliverDue(options: Options, closing: AbortSignal): Promise<void> {
  for (const alert of await takeAlerts(options.db, { limit: atOnce, mostAttempts })) {
    if (closing.aborted) return;
    try {
      await post(options, alert, closing);
      await markDelivered(options.db, alert);
    } catch (error) {
      const fields = { err: error, budget: toId("budget", alert.budgetId), percent: alert.percent, attempt: alert.attempts };
      options.logger.warn(fields, "the budget webhook did not take an alert");
    }
  }
}

async function post({ url, secret }: Options, alert: OpenAlert, closing: AbortSignal): Promise<void> {
  const id = `${alert.accountId}.${alert.percent}`;
  const timestamp = Math.floor(Date.now() / 1000);
  const body = JSON.stringify(document(alert));
  const signature = createHmac("sha256", secret).update(`${id}.${timestamp}.${body}`).digest("base64");
  const answer = await fetch(url, {
    method: "POST",
    redirect: "error",
    signal: AbortSignal.any([closing, AbortSignal.timeout(answerWithinMs)]),
    headers: {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": String(timestamp),
      "webhook-signature": `v1,${signature}`,
    },
    body,
  });
  await answer.body?.cancel();
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
}

function document(alert: OpenAlert) {
  return {
    type: "budget.share_reached",
    timestamp: alert.reachedAt.toISOString(),
    data: {
      budget_id: toId("budget", alert.budgetId),
      organization_id: toId("organization", alert.organizationId),
      level: alert.level,
      subject: subjectText(alert.level, alert.subject),
      period: alert.period,
      enforcement: alert.enforcement,
      percent: alert.percent,
      limit_nanos: alert.limit.toString(),
      settled_nanos: alert.settled.toString(),
      resets_at: alert.resetsAt?.toISOString() ?? null,
    },
  };
}
