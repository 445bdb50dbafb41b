import { Problem } from "@nexus/core";

/** A reader with a mistyped name would wait for its secret for ever. @throws Problem `invalid_request` */
export function refuseUnknownReaders(readers: readonly string[], known: ReadonlySet<string>): void {
  const errors = readers.flatMap((reader, index) =>
    known.has(reader) ? [] : [{ pointer: `/readers/${index}`, detail: "is no service that may call pv-keys" }],
  );
  const [first] = errors;
  if (first) throw new Problem("invalid_request", `${first.pointer} ${first.detail}.`, { errors });
}
