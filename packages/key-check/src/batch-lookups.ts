/**
 * Gathers the questions that come while another is under way into one. Nobody gets an answer older than their question, as a
 * cache would give: a question only ever joins a batch that has not been sent yet.
 */

interface Waiting<Q, A> {
  question: Q;
  resolve: (answer: A) => void;
  reject: (error: unknown) => void;
}

/** Batches under way at once; more would only split them. */
const concurrent = 2;
/** Most questions in one batch. */
const largest = 256;

/** @param askAll gives one answer a question, in their order */
export function batchLookups<Q, A>(askAll: (questions: readonly Q[]) => Promise<readonly A[]>): (question: Q) => Promise<A> {
  const queue: Waiting<Q, A>[] = [];
  let underWay = 0;

  const sendNext = async (): Promise<void> => {
    const batch = queue.splice(0, largest);
    underWay++;
    try {
      const answers = await askAll(batch.map(({ question }) => question));
      for (const [index, { resolve, reject }] of batch.entries()) {
        const answer = answers[index];
        if (answer === undefined) reject(new Error("assertion failed: a batch answers every question"));
        else resolve(answer);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      underWay--;
      if (queue.length > 0) void sendNext();
    }
  };

  return (question) =>
    new Promise((resolve, reject) => {
      queue.push({ question, resolve, reject });
      if (underWay < concurrent) void sendNext();
    });
}
