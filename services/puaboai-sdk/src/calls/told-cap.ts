import type { RemoteModel } from "../catalogue/catalogue.ts";

/**
 * The output cap that the provider is sent where it is not the client's own: the model's, where the client asks for more or for
 * none. `undefined`: the client's own, or none at all.
 * @param asked the client's
 */
export function toldCap(
  asked: number | undefined,
  { price, maxOutputTokens }: Pick<RemoteModel, "price" | "maxOutputTokens">,
  always: boolean,
): number | undefined {
  // What costs nothing and passes as it is keeps what its client asked for.
  if (price === "free" && !always) return undefined;
  return asked !== undefined && asked <= maxOutputTokens ? undefined : maxOutputTokens;
}
