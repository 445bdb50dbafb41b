/** For what cannot happen unless the code is wrong. A client's mistake is a `Problem`, never an assertion. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Makes the compiler prove that a union was handled whole. */
export function assertNever(value: never): never {
  throw new Error(`assertion failed: unexpected value ${String(value)}`);
}
