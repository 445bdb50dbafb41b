/** Names that an administrator writes by hand: one that nothing has would bound or stop nothing, and be answered as if it did. */
import { Problem } from "@nexus/core";
import type { Catalogue } from "./catalogue.ts";

interface Written {
  /** Where in the body. */
  pointer: string;
  name: string;
}

/** @throws Problem `invalid_request` with the name that is nearest, or with what a route stands for */
export function requireModel(catalogue: Pick<Catalogue, "all" | "routes">, { pointer, name }: Written): void {
  const models = catalogue.all().map(({ id }) => id);
  if (models.includes(name)) return;
  const route = catalogue.routes().find(({ id }) => id === name);
  if (!route) throw wrong(pointer, unknown("model", name, models));
  throw wrong(pointer, `is a route and no model; it stands for ${route.targets.map(({ model }) => model.id).join(", ")}`);
}

/** @throws Problem `invalid_request` with the name that is nearest */
export function requireProvider(known: Iterable<string>, { pointer, name }: Written): void {
  const names = [...known];
  if (!names.includes(name)) throw wrong(pointer, unknown("provider", name, names));
}

function unknown(kind: string, name: string, known: readonly string[]): string {
  const nearest = nearestOf(name, known);
  return `is no ${kind} of this gateway${nearest === undefined ? "" : `; the nearest is ${nearest}`}`;
}

function wrong(pointer: string, detail: string): Problem {
  return new Problem("invalid_request", undefined, { errors: [{ pointer, detail }] });
}

/** The one that the fewest keystrokes lead to; `undefined` when even those would be more than a third of it. */
function nearestOf(name: string, known: readonly string[]): string | undefined {
  let found: { name: string; steps: number } | undefined;
  for (const candidate of known) {
    const steps = stepsBetween(name.toLowerCase(), candidate.toLowerCase());
    if (steps <= Math.max(1, candidate.length / 3) && steps < (found?.steps ?? Infinity)) found = { name: candidate, steps };
  }
  return found?.name;
}

/** Levenshtein's distance: how many characters are put in, left out or exchanged. */
function stepsBetween(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let at = 1; at <= from.length; at++) {
    const next = [at];
    for (let other = 1; other <= to.length; other++) {
      const exchanged = (row[other - 1] ?? 0) + (from[at - 1] === to[other - 1] ? 0 : 1);
      next.push(Math.min(exchanged, (row[other] ?? 0) + 1, (next[other - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
