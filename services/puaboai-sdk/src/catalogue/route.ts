import type { Model } from "./catalogue.ts";

/** A name that stands for several models. */
export interface Route {
  id: string;
  strategy: "ordered" | "weighted";
  targets: readonly { model: Model; weight: number }[];
  /** A call that a budget does not cover whole may be made with a lower output cap. */
  clampsOutput?: boolean | undefined;
}

/**
 * The targets in the order in which one call tries them. Weighted: each is drawn from those that are left, by weight.
 * @param random from 0 up to and without 1
 */
export function orderOf({ strategy, targets }: Route, random: () => number = Math.random): Model[] {
  if (strategy === "ordered") return targets.map(({ model }) => model);
  const left = [...targets];
  const order: Model[] = [];
  while (left.length > 0) {
    const drawn = draw(left, random());
    order.push(...left.splice(drawn, 1).map(({ model }) => model));
  }
  return order;
}

function draw(targets: Route["targets"], random: number): number {
  let mark = random * targets.reduce((sum, { weight }) => sum + weight, 0);
  const found = targets.findIndex(({ weight }) => (mark -= weight) < 0);
  return found === -1 ? targets.length - 1 : found;
}
