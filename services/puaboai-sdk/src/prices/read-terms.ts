import type { FieldError } from "@nexus/core";
import type { Model } from "../catalogue/catalogue.ts";
import { pointerOf } from "../json/pointers.ts";
import type { ModelPrice } from "../settings/dated-prices.ts";
import { readPriceFields } from "../settings/read-price.ts";
import { fieldsOf, parseYamlFile } from "../settings/yaml-fields.ts";

/** The price of a model as an administrator sent it, or what is wrong with it. Read as one in gateway.yaml: JSON is YAML. */
export function readTerms(terms: unknown, model: Pick<Model, "kind" | "upstream">): ModelPrice | { errors: FieldError[] } {
  if (terms === "free" || terms === "unknown") return terms;
  const errors: FieldError[] = [];
  const parsed = parseYamlFile(JSON.stringify(terms));
  const file: typeof parsed = {
    ...parsed,
    refuse: (node, path, detail) => {
      errors.push({ pointer: pointerOf(path), detail });
      return parsed.refuse(node, path, detail);
    },
  };
  const fields = fieldsOf(file, file.root, "price");
  const writesWhenAsked = model.upstream?.settings.wireFormats.includes("anthropic-messages") === true;
  const price = fields && readPriceFields(file, fields, { kind: model.kind, writesWhenAsked });
  fields?.finish();
  return price && errors.length === 0 ? price : { errors };
}
