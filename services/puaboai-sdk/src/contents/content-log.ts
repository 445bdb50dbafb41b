/** Texts of calls, for the organizations that an administrator has switched it on for. Where there is none, a call asks one field. */
import type { ServerResponse } from "node:http";
import { toId } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { Verifier } from "@nexus/key-check";
import type { Logger, Metrics } from "@nexus/telemetry";
import { oneAtATime } from "../refresh/one-at-a-time.ts";
import { Refresher } from "../refresh/refresher.ts";
import { deriveKey } from "../sealing/derive-key.ts";
import type { UsageRow } from "../usage/usage-row.ts";
import { findRules } from "./content-log-settings.store.ts";
import { type ContentEvent, ContentWriter } from "./content-writer.ts";
import { deletePast, deletePastOf, tryToDelete, waitToDelete } from "./contents.store.ts";
import { openText, type TextPlace } from "./kept-text.ts";
import { type ContentRecorder, recordContent } from "./record-content.ts";

interface ContentLogOptions {
  db: Db;
  /** What the sealing key is derived from: the same in every replica. */
  secret: string;
  logger: Pick<Logger, "warn">;
  metrics: Pick<Metrics, "counter">;
  /** Of all contents in memory; for tests. */
  roomBytes?: number;
}

interface RecordedCall {
  organizationId: string;
  requestId: string;
  endpoint: UsageRow["endpoint"];
  raw: ServerResponse;
}

/** Endpoints whose requests and answers are text. */
const written: ReadonlySet<string> = new Set<UsageRow["endpoint"]>(["chat.completions", "messages", "responses"]);

/** Recorded beyond what is kept, so that a secret across the end is known as one. */
const marginBytes = 8 * 1024;
const pause = { shortestMs: 1000, longestMs: 1000 };
const careMs = 3_600_000;
const deletedAtOnce = 500;

export class ContentLog {
  /** Whether any organization's contents are kept. */
  isOn = false;
  readonly #options: ContentLogOptions;
  readonly #sealKey: Buffer;
  readonly #writer: ContentWriter;
  readonly #count: (event: ContentEvent, contents: number) => void;
  readonly #closing = new AbortController();
  readonly #refresher: Refresher;
  readonly #inTurn = oneAtATime();
  readonly #care: NodeJS.Timeout;
  /** By the id of the organization as callers carry it. */
  #rules: ReadonlyMap<string, { maxBytes: number }> = new Map();
  #deleting: Promise<void> | undefined;

  constructor(options: ContentLogOptions) {
    this.#options = options;
    const counter = options.metrics.counter({
      name: "nexus_gateway_content_log_total",
      help: "what became of the contents of calls that were to be kept",
      labelNames: ["event"],
    });
    this.#count = (event, contents) => counter.inc({ event }, contents);
    this.#sealKey = deriveKey(options.secret, "puaboai-sdk contents seal");
    this.#writer = new ContentWriter({ ...options, sealKey: this.#sealKey, count: this.#count });
    this.#refresher = new Refresher({
      read: () => this.load(),
      onFailure: (err) => options.logger.warn({ err }, "whose contents are kept could not be read; what is known goes on"),
      pause,
    });
    this.#care = setInterval(() => void this.deletePast(), careMs).unref();
  }

  /** From now on changes are heard of. Before the feed starts. */
  follow(feed: Pick<Verifier["feed"], "onChange" | "onReset">): void {
    feed.onReset(() => void this.#refresher.refresh());
    feed.onChange(({ kind, organizationId }) => {
      if (kind === "gateway_settings" && organizationId !== null) void this.#refresher.refresh();
    });
  }

  /** Until PostgreSQL has told what is to be kept, nothing is. */
  start(): void {
    void this.#refresher.refresh();
    void this.deletePast();
  }

  /** Reads what is to be kept. @throws PostgreSQL's error */
  async load(): Promise<void> {
    await this.#inTurn(async () => {
      const rules = await findRules(this.#options.db);
      this.#rules = new Map(rules.map(({ organizationId, maxBytes }) => [toId("organization", organizationId), { maxBytes }]));
      this.isOn = rules.length > 0;
    });
  }

  /** Records what the client of this call asks and gets; `undefined`: nothing of it is kept. */
  record({ organizationId, requestId, endpoint, raw }: RecordedCall): ContentRecorder | undefined {
    const rule = this.#rules.get(organizationId);
    if (!rule || !written.has(endpoint) || raw.destroyed) return undefined;
    const { maxBytes } = rule;
    const writer = this.#writer;
    return recordContent({
      raw,
      mostBytes: maxBytes + marginBytes,
      takeRoom: (bytes) => writer.takeRoom(bytes),
      done: (content, room) => {
        if (content) return writer.add({ organizationId, requestId, maxBytes, content, room });
        writer.giveBack(room);
        this.#count("full", 1);
      },
    });
  }

  /** Brings in what this process has recorded. Never rejects. */
  async flush(): Promise<void> {
    await this.#writer.flush();
  }

  /** `undefined` for what was sealed under another key. */
  textOf(place: TextPlace, sealed: Buffer): string | undefined {
    return openText(this.#sealKey, place, sealed);
  }

  /** Deletes what is past its time, batch by batch; what fails is tried again within the hour. Never rejects. */
  deletePast(): Promise<void> {
    const batch = async (tx: Db): Promise<number> => ((await tryToDelete(tx)) ? await deletePast(tx, deletedAtOnce) : 0);
    this.#deleting ??= this.#deleteAll(batch).finally(() => {
      this.#deleting = undefined;
    });
    return this.#deleting;
  }

  /** Deletes what was erased of an organization, uuid, as `deletePast` does. */
  async deleteErased(organizationId: string): Promise<void> {
    await this.#deleteAll(async (tx) => {
      await waitToDelete(tx);
      return await deletePastOf(tx, organizationId, deletedAtOnce);
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#care);
    this.#closing.abort();
    await Promise.all([this.#refresher.close(), this.#deleting, this.flush()]);
  }

  async #deleteAll(batch: (tx: Db) => Promise<number>): Promise<void> {
    try {
      for (let deleted = deletedAtOnce; deleted === deletedAtOnce && !this.#closing.signal.aborted;) {
        deleted = await inTransaction(this.#options.db, batch);
      }
    } catch (error) {
      this.#options.logger.warn({ err: error }, "contents past their time wait for PostgreSQL");
    }
  }
}
