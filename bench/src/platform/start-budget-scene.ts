/** Three gateways that share a spool, a provider that keeps an account, and the means to break things. */
import { once } from "node:events";
import { startRedisProcess, waitFor } from "@nexus/testing";
import { openBudgetBooks } from "./budget-books.ts";
import type { BudgetScene } from "./measure-fault.ts";
import { type Child, forkServer, startService } from "./start-child.ts";
import { type GatewayPlan, planGateway } from "./start-gateway.ts";
import type { Platform } from "./start-platform.ts";

const upstreamProgram = new URL("../against/billing-upstream.ts", import.meta.url).pathname;
const replicas = 3;

export async function startBudgetScene(platform: Platform): Promise<BudgetScene> {
  const upstream = await forkServer(upstreamProgram);
  platform.onStop(() => upstream.stop());
  const redis = await startRedisProcess("embedded");
  platform.onStop(() => redis.kill());
  const books = openBudgetBooks(platform.owner);
  platform.onStop(() => books.close());
  const plans: GatewayPlan[] = [];
  for (let index = 0; index < replicas; index++) {
    const plan = await planGateway(platform, upstream.url);
    // What breaks here is meant to: warnings about it would hide what is not.
    plan.environment["NEXUS_LOG_LEVEL"] = "error";
    plans.push({ ...plan, environment: { ...plan.environment, REDIS_URL: redis.target.url } });
  }
  const gateways = await startGateways(platform, plans);
  const emptyRedis = async (): Promise<void> => {
    await redis.kill();
    await redis.start();
  };
  const restartPostgres = async (): Promise<void> => {
    platform.restartPostgres();
    await waitFor(() => books.account("").then(() => true), { timeoutMs: 30_000, what: "PostgreSQL after its restart" });
  };
  const issueKey: BudgetScene["issueKey"] = async (limitNanos) => {
    const key = await waitFor(() => platform.issueKey(), { timeoutMs: 30_000, what: "a key" });
    await gateways.heal(key.secret);
    const body = { level: "key", subject: key.id, organization_id: platform.organizationId, limit_nanos: String(limitNanos) };
    const answer = await fetch(`${plans[0]?.url}/v1/admin/budgets`, {
      method: "POST",
      headers: { authorization: `Bearer ${platform.token("puaboai-sdk")}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`no budget was set: ${answer.status} ${await answer.text()}`);
    return { ...key, budgetId: ((await answer.json()) as { id: string }).id };
  };
  return { gateways, emptyRedis, restartPostgres, issueKey, upstream, books };
}

async function startGateways(platform: Platform, plans: readonly GatewayPlan[]): Promise<BudgetScene["gateways"]> {
  const running: Child[] = [];
  const start = async (index: number): Promise<void> => {
    const plan = plans[index];
    if (plan) running[index] = await startService("puaboai-sdk", plan.port, plan.environment);
  };
  for (const index of plans.keys()) await start(index);
  platform.onStop(async () => void (await Promise.all(running.map((child) => child.stop()))));
  return {
    urls: () => plans.map(({ url }) => url),
    kill: async (index) => {
      const child = running[index]?.process;
      if (!child) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
    signal: (index, signal) => void running[index]?.process.kill(signal),
    heal: async (secret) => {
      for (const [index, { process: child }] of running.entries()) {
        if (child.exitCode !== null || child.signalCode !== null) await start(index);
      }
      const accepts = async (url: string): Promise<boolean> =>
        (await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${secret}` } })).status === 200;
      const all = plans.map(({ url }) => waitFor(() => accepts(url), { timeoutMs: 30_000, what: "a gateway's yes" }));
      await Promise.all(all);
    },
  };
}
