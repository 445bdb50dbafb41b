/** `prices` in gateway.yaml: what models cost from a moment on. */
import type { ModelSettings } from "./gateway-settings.ts";
import type { Price } from "./price.ts";
import { readPrice } from "./read-price.ts";
import { fieldsOf, itemsOf, type YamlFields, type YamlFile } from "./yaml-fields.ts";

/** What a model costs; `unknown`: nobody has said, and no budget can bound it. */
export type ModelPrice = Price | "free" | "unknown";

export interface DatedPrice {
  /** Milliseconds since the epoch. */
  from: number;
  price: ModelPrice;
}

interface KnownModels {
  models: readonly ModelSettings[];
  /** Names of those that have faults of their own, which need not be told again. */
  faulty: ReadonlySet<string>;
  writesWhenAsked: (model: ModelSettings) => boolean;
}

/** Adds to the models what the file says of their prices to come. */
export function readDatedPrices(file: YamlFile, root: YamlFields, { models, faulty, writesWhenAsked }: KnownModels): void {
  for (const [index, node] of itemsOf(file, root.child("prices"), "prices").entries()) {
    const fields = fieldsOf(file, node, `prices[${index}]`);
    if (!fields) continue;
    readDatedPrice(file, fields, { models, faulty, writesWhenAsked });
    fields.finish();
  }
  for (const { datedPrices } of models) datedPrices?.sort((one, other) => one.from - other.from);
}

function readDatedPrice(file: YamlFile, fields: YamlFields, known: KnownModels): void {
  const id = fields.text("model", { maxLength: 200 });
  const model = known.models.find((one) => one.id === id);
  if (id !== undefined && !model && !known.faulty.has(id)) fields.refuse("model", "is none of the models above");
  const from = readMoment(fields);
  const about = { kind: model?.kind, writesWhenAsked: model !== undefined && known.writesWhenAsked(model) };
  const price = readPrice(file, fields, about);
  if (!model || from === undefined || !price) return;
  if (model.datedPrices?.some((other) => other.from === from)) fields.refuse("from", "is told twice for this model");
  (model.datedPrices ??= []).push({ from, price });
}

/** A day begins at midnight, UTC. */
function readMoment(fields: YamlFields): number | undefined {
  const text = fields.text("from", {
    pattern: /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))?$/,
    saying: "must be a date like 2027-01-01 or a moment like 2027-01-01T09:00:00Z",
  });
  const moment = text === undefined ? Number.NaN : Date.parse(text);
  if (text !== undefined && Number.isNaN(moment)) fields.refuse("from", "is no day of the calendar");
  return Number.isNaN(moment) ? undefined : moment;
}
