/**
 * Keeps the price of every model at what holds now: what gateway.yaml says of it, what the file says from a moment on, and what
 * administrators have set. Calls read it from the model; whoever has begun keeps the price that it began with.
 */
import type { Clock } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { Verifier } from "@nexus/key-check";
import type { Logger } from "@nexus/telemetry";
import type { Catalogue, Model, RemoteModel } from "../catalogue/catalogue.ts";
import { atMost } from "../refresh/at-most.ts";
import { oneAtATime } from "../refresh/one-at-a-time.ts";
import { Refresher } from "../refresh/refresher.ts";
import type { DatedPrice, ModelPrice } from "../settings/dated-prices.ts";
import { findStandingPrices, type StoredPrice } from "./prices.store.ts";
import { readTerms } from "./read-terms.ts";

interface BookDeps {
  db: Db;
  clock: Clock;
  catalogue: Pick<Catalogue, "all">;
  logger: Pick<Logger, "warn" | "error">;
}

/** A price that was set by the API, or `undefined` where none of them holds now. */
type HoldingId = string | undefined;

const pause = { shortestMs: 1000, longestMs: 1000 };
const tickMs = 250;
const longestStartMs = 2000;

/** Owns the timer that brings prices into force when their moment has come. */
export class PriceBook {
  readonly #deps: BookDeps;
  readonly #own = new WeakMap<Model, ModelPrice>();
  readonly #holding = new Map<string, HoldingId>();
  readonly #refresher: Refresher;
  readonly #inTurn = oneAtATime();
  readonly #tick: NodeJS.Timeout;
  #stored: readonly StoredPrice[] = [];
  #nextMoment = Infinity;

  constructor(deps: BookDeps) {
    this.#deps = deps;
    this.#refresher = new Refresher({
      read: () => this.load(),
      onFailure: (err) => deps.logger.warn({ err }, "prices could not be read; those known go on"),
      pause,
    });
    this.apply();
    this.#tick = setInterval(() => {
      if (deps.clock.now() >= this.#nextMoment) this.apply();
    }, tickMs);
    this.#tick.unref();
  }

  /** From now on changes are heard of. Before the feed starts. */
  follow(feed: Pick<Verifier["feed"], "onChange" | "onReset">): void {
    feed.onReset(() => void this.#refresher.refresh());
    feed.onChange(({ kind }) => {
      if (kind === "price") void this.#refresher.refresh();
    });
  }

  /** Resolves when the prices are read for the first time; after two seconds without PostgreSQL those of the file hold. */
  async start(): Promise<void> {
    await atMost(longestStartMs, this.#refresher.refresh());
  }

  /** Reads what was set. @throws PostgreSQL's error */
  async load(): Promise<void> {
    await this.#inTurn(async () => {
      this.#stored = await findStandingPrices(this.#deps.db, new Date(this.#deps.clock.now()));
      this.apply();
    });
  }

  /** Brings the models to what holds now, as after they were replaced by others. */
  apply(): void {
    const now = this.#deps.clock.now();
    const stored = Map.groupBy(this.#stored, ({ model }) => model);
    this.#nextMoment = Infinity;
    this.#holding.clear();
    for (const model of this.#deps.catalogue.all()) {
      if (model.upstream) this.#priceModel(model, stored.get(model.id) ?? [], now);
    }
  }

  /** Whether this one, set by the API, is what its model costs now. */
  holds({ id, model }: Pick<StoredPrice, "id" | "model">): boolean {
    return this.#holding.get(model) === id;
  }

  async close(): Promise<void> {
    clearInterval(this.#tick);
    await this.#refresher.close();
  }

  #priceModel(model: RemoteModel, stored: readonly StoredPrice[], now: number): void {
    let own = this.#own.get(model);
    if (own === undefined) this.#own.set(model, (own = model.price));
    let held: DatedPrice & { id?: string } = { from: -Infinity, price: own };
    // Of one moment what the API says goes before the file: it comes later.
    for (const dated of [...(model.datedPrices ?? []), ...stored.flatMap((row) => this.#read(row, model))]) {
      if (dated.from > now) this.#nextMoment = Math.min(this.#nextMoment, dated.from);
      else if (dated.from >= held.from) held = dated;
    }
    model.price = held.price;
    this.#holding.set(model.id, held.id);
  }

  #read(row: StoredPrice, model: RemoteModel): (DatedPrice & { id: string })[] {
    const price = readTerms(row.price, model);
    if (typeof price === "string" || !("errors" in price)) return [{ id: row.id, from: row.effective_from.getTime(), price }];
    // Written for a model of another kind, or by a later version: money that cannot be bounded is not spent.
    this.#deps.logger.error({ model: row.model, errors: price.errors }, "a price that was set cannot be read");
    return [{ id: row.id, from: row.effective_from.getTime(), price: "unknown" }];
  }
}
