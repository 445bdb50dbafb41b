/**
 * Gathers the lookups that come while another is under way into one statement. Nobody gets an answer older than their
 * question, as a cache would give: a lookup only ever joins a statement that has not been sent yet.
 */

interface Waiting<V> {
  hashes: readonly Buffer[];
  resolve: (row: V | undefined) => void;
  reject: (error: unknown) => void;
}

/** Statements under way at once; more would only split the batches. */
const concurrent = 2;
/** Most lookups in one statement. */
const largest = 256;

/**
 * A lookup by one of several hashes, answered out of shared statements.
 * @param findAll gives the rows of all the hashes, each with the hash it was found by
 */
export function batchLookups<V extends { hash: Buffer }>(
  findAll: (hashes: readonly Buffer[]) => Promise<readonly V[]>,
): (hashes: readonly Buffer[]) => Promise<V | undefined> {
  const queue: Waiting<V>[] = [];
  let underWay = 0;

  const sendNext = async (): Promise<void> => {
    const batch = queue.splice(0, largest);
    underWay++;
    try {
      const rows = await findAll(batch.flatMap(({ hashes }) => hashes));
      const byHash = new Map(rows.map((row) => [row.hash.toString("latin1"), row]));
      for (const { hashes, resolve } of batch) resolve(firstOf(hashes, byHash));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      underWay--;
      if (queue.length > 0) void sendNext();
    }
  };

  return (hashes) =>
    new Promise((resolve, reject) => {
      queue.push({ hashes, resolve, reject });
      if (underWay < concurrent) void sendNext();
    });
}

function firstOf<V>(hashes: readonly Buffer[], byHash: ReadonlyMap<string, V>): V | undefined {
  for (const hash of hashes) {
    const row = byHash.get(hash.toString("latin1"));
    if (row !== undefined) return row;
  }
  return undefined;
}
