/** What wraps the data keys of secrets: keys held by this process, or a KMS that never gives its own away. */

/** One key-encryption key. */
export interface KeyEncryptionKey {
  /** For people, such as `file:2` or a KMS's name of it; never used for another key later. */
  readonly name: string;
  /** Tells keys apart and tells nothing of them; stored with everything it wraps. Lower case, digits, `:._-`, 8 to 200 characters. */
  readonly fingerprint: string;
  /** Encrypts and authenticates a data key together with `bound`. @throws any error when it cannot be done at the moment */
  wrap(dataKey: Buffer, bound: Buffer): Promise<Buffer>;
  /**
   * The data key, in a buffer of the caller's own, who clears it.
   * @throws CannotOpen when it was wrapped with another key, for something else, or was changed; any other error when it cannot be told at the moment
   */
  unwrap(wrapped: Buffer, bound: Buffer): Promise<Buffer>;
}

export interface KeyEncryption {
  /** Wraps what is new. */
  readonly current: KeyEncryptionKey;
  /** All that may unwrap, the current one included. */
  readonly keys: readonly KeyEncryptionKey[];
}

/** Trying again is of no use. */
export class CannotOpen extends Error {
  constructor(what: string, options?: { cause: unknown }) {
    super(`${what} does not open: it was changed, or moved from another row`, options);
    this.name = "CannotOpen";
  }
}

export function findKey(encryption: KeyEncryption, fingerprint: string): KeyEncryptionKey | undefined {
  return encryption.keys.find((key) => key.fingerprint === fingerprint);
}
