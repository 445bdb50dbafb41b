/** `routes` in gateway.yaml: names that stand for several models. */
import type { Node } from "yaml";
import { type CacheRule, readCacheRule } from "../cache/cache-settings.ts";
import type { ModelKind } from "../catalogue/model-kind.ts";
import type { ModelSettings } from "./gateway-settings.ts";
import { entriesOf, fieldsOf, itemsOf, scalarSource, type YamlFields, type YamlFile } from "./yaml-fields.ts";

export interface RouteSettings {
  /** The name clients call. */
  id: string;
  /** `ordered`: the first that can answer. `weighted`: drawn by weight, the others after it. */
  strategy: "ordered" | "weighted";
  targets: readonly RouteTarget[];
  /** Its answers are kept. */
  cache?: CacheRule | undefined;
  /** A call that a budget does not cover whole may be made with a lower output cap. */
  clampsOutput: boolean;
}

interface RouteTarget {
  /** The id of a model. */
  model: string;
  weight: number;
}

const routeId = /^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}$/;
const mostTargets = 10;
const nothing: ReadonlySet<string> = new Set();

/** @param faulty names of models that have faults of their own, which need not be told again */
export function readRoutes(
  file: YamlFile,
  list: Node | null | undefined,
  { models, faulty = nothing }: { models: readonly ModelSettings[]; faulty?: ReadonlySet<string> },
): RouteSettings[] {
  return entriesOf(file, list, "routes").flatMap(([id, node]): RouteSettings[] => {
    const path = `routes.${id}`;
    const refuse = (detail: string): RouteSettings[] => {
      file.refuse(node, path, detail);
      return [];
    };
    if (!routeId.test(id)) return refuse("must be named as models are");
    if (models.some((model) => model.id === id)) return refuse("is the id of a model");
    const fields = fieldsOf(file, node, path);
    if (!fields) return [];
    const strategy = fields.has("strategy") ? fields.oneOf("strategy", ["ordered", "weighted"]) : "ordered";
    const { targets, count } = readTargets(file, fields, { models, faulty });
    const cache = readCacheRule(file, fields);
    const clampsOutput = readClamp(fields, models.find((model) => model.id === targets[0]?.model)?.kind);
    fields.finish();
    if (count === 0 || count > mostTargets) return refuse(`must have from 1 to ${mostTargets} targets`);
    return strategy ? [{ id, strategy, targets, cache, clampsOutput }] : [];
  });
}

/** Only of chat models the provider is sent an output cap. */
export function readClamp(fields: YamlFields, kind: ModelKind | undefined): boolean {
  if (fields.has("clamp_output") && kind !== undefined && kind !== "chat")
    fields.refuse("clamp_output", `has no meaning for ${kind}`);
  return fields.flagOr("clamp_output", false);
}

function readTargets(
  file: YamlFile,
  route: YamlFields,
  { models, faulty }: { models: readonly ModelSettings[]; faulty: ReadonlySet<string> },
): { targets: RouteTarget[]; count: number } {
  const path = `${route.path}.targets`;
  if (!route.has("targets")) return { targets: [], count: 0 };
  const kinds = new Set<string>();
  const items = itemsOf(file, route.child("targets"), path);
  const targets = items.flatMap((item, index): RouteTarget[] => {
    const plain = scalarSource(item);
    const fields = plain === undefined ? fieldsOf(file, item, `${path}[${index}]`) : undefined;
    const name = plain ?? fields?.text("model");
    const weight = fields ? fields.integerOr("weight", 1, { min: 1, max: 1000 }) : 1;
    fields?.finish();
    if (name === undefined) return [];
    const model = models.find(({ id }) => id === name);
    if (!model) {
      if (!faulty.has(name)) file.refuse(item, `${path}[${index}]`, `${name} is none of the models`);
      return [];
    }
    if (kinds.add(model.kind).size > 1) file.refuse(item, `${path}[${index}]`, "does something else than the targets before it");
    return [{ model: name, weight }];
  });
  return { targets, count: items.length };
}
