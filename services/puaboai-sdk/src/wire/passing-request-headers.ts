import type { FastifyRequest } from "@nexus/http";
import type { WireFormat } from "./wire-format.ts";

/** What the provider gets of the client's headers; printable ASCII of a sane length, as node:http has seen to the rest. */
export function passingRequestHeaders({ headers }: FastifyRequest, wire: WireFormat): Record<string, string> | undefined {
  const passing = wire.passingRequestHeaders.flatMap((name): [string, string][] => {
    const value = headers[name];
    return typeof value === "string" && /^[\x20-\x7e]{1,1000}$/.test(value) ? [[name, value]] : [];
  });
  return passing.length === 0 ? undefined : Object.fromEntries(passing);
}
