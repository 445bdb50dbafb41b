import { scanObject, valueAt } from "../json/scan-object.ts";

/** Members of requests that go on with something at the provider that changes, or leave something there. */
const stateful: ReadonlySet<string> = new Set(["conversation", "background", "web_search_options"]);

/** The same request again would not be the same question. */
export function stateIn(body: Buffer): boolean {
  const { values } = scanObject(body, { wanted: stateful });
  return [...values.values()].some((span) => {
    // Only a short value can be one that means nothing.
    const value = span.end - span.start > 8 ? true : valueAt(body, span);
    return value !== null && value !== false;
  });
}
