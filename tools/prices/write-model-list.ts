/**
 * Writes the list of models with limits and prices that the gateway starts with. Run by hand, with two unpacked packages:
 *   npm pack @earendil-works/pi-ai@1.5.2 @pydantic/genai-prices@0.1.8   (unpack each)
 *   node tools/prices/write-model-list.ts <pi-ai/package> <genai-prices/package> 2026-11-23
 * Fails with a table when both know a model and differ by more than 1 %, unless known-differences.ts says what then holds.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { knownDifferences } from "./known-differences.ts";
import { listedModel, type ListedModel, rateNames, ratesOf, type SourceModel } from "./listed-model.ts";
import { openSecondSource, type SecondSource } from "./second-source.ts";

const target = new URL("../../services/puaboai-sdk/src/settings/listed-models.json", import.meta.url);

/** The kind of a provider here, and its name in the second source. Those with one price for a model, wherever it runs. */
const providers = {
  openai: "openai",
  anthropic: "anthropic",
  google: "google",
  mistral: "mistral",
  groq: "groq",
  deepseek: "deepseek",
  xai: "x-ai",
  together: "together",
  fireworks: "fireworks",
} as const;

const allowed = 0.01;

function readModels(directory: string, provider: string): SourceModel[] {
  const path = join(directory, "dist/providers/data", `${provider}.json`);
  const groups = JSON.parse(readFileSync(path, "utf8")) as Record<string, Record<string, SourceModel>>;
  // One model may stand in several groups, once for each format.
  const models = new Map(Object.values(groups).flatMap((group) => Object.values(group).map((model) => [model.id, model])));
  return [...models.values()].filter(({ type, cost }) => type === "chat" && (cost.input > 0 || cost.output > 0));
}

/** What differs, one line a figure. */
function differencesOf(model: SourceModel, provider: string, second: SecondSource): string[] {
  const steps = [0, ...(model.cost.tiers ?? []).map((tier) => tier.inputTokensAbove)];
  return steps.flatMap((above) => {
    const ours = ratesOf(model, above);
    const theirs = second.ratesOf(provider, model.id, above);
    return rateNames.flatMap((name) => {
      const [one, other] = [ours[name], theirs?.[name]];
      // A source that tells nothing of a kind of token agrees with everything.
      if (!one || !other || Math.abs(one - other) <= allowed * Math.max(one, other)) return [];
      return [`${provider}  ${model.id}  above ${above}  ${name}  ${one} and ${other} (as ${second.nameOf(provider, model.id)})`];
    });
  });
}

const [first, other, taken] = process.argv.slice(2);
if (!first || !other || !/^\d{4}-\d{2}-\d{2}$/.test(taken ?? "")) throw new Error("tell two directories and a date: see above");
const second = await openSecondSource(resolve(other), new Date(`${taken}T00:00:00Z`));
const unknown: string[] = [];
const unused = new Set(knownDifferences.keys());
const lists: Record<string, Record<string, ListedModel>> = {};
for (const [kind, name] of Object.entries(providers)) {
  const list: Record<string, ListedModel> = {};
  for (const model of readModels(first, kind).toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    const differences = differencesOf(model, name, second);
    const known = knownDifferences.get(`${kind}/${model.id}`);
    unused.delete(`${kind}/${model.id}`);
    if (differences.length > 0 && !known) unknown.push(...differences);
    else if (known?.holds !== "neither")
      list[model.id] = listedModel(model, {
        secondContext: second.contextOf(name, model.id),
        mediaOf: (above) => second.mediaOf(name, model.id, above),
      });
  }
  lists[kind] = list;
}
if (unknown.length > 0) throw new Error(`the sources differ by more than 1 %:\n${unknown.join("\n")}`);
if (unused.size > 0) throw new Error(`known differences of models that are not there: ${[...unused].join(", ")}`);
const head = {
  taken,
  sources: ["@earendil-works/pi-ai 1.5.2 (MIT)", "@pydantic/genai-prices 0.1.8 (MIT)"],
  unit: "usd_per_million_tokens",
};
const body = Object.entries(lists).map(([kind, list]) => {
  const rows = Object.entries(list).map(([id, model]) => `    ${JSON.stringify(id)}: ${JSON.stringify(model)}`);
  return `  ${JSON.stringify(kind)}: {\n${rows.join(",\n")}\n  }`;
});
writeFileSync(target, `{\n"head": ${JSON.stringify(head)},\n"providers": {\n${body.join(",\n")}\n}\n}\n`);
console.log(
  Object.entries(lists)
    .map(([kind, list]) => `${kind} ${Object.keys(list).length}`)
    .join(", "),
);
