/** Several processes behind one port (node:cluster): whichever is scraped tells the figures of all. */
import cluster, { type Worker } from "node:cluster";
import { AggregatorRegistry, type Registry } from "prom-client";

/** What a process asks of the one that started it. */
const question = "nexus:metrics";
/** prom-client gives up on a process that does not answer after 5 s; then this one has waited long enough too. */
const deadlineMs = 6000;

interface Answer {
  [question]: number;
  text?: string;
  fault?: string;
}

/** In the process that started the others: answers what they ask. */
export function answerForAll(): void {
  const all = new AggregatorRegistry();
  cluster.on("message", (worker: Worker, message: unknown) => {
    if (!isAnswer(message)) return;
    const id = message[question];
    const tell = (told: Omit<Answer, typeof question>): void => {
      if (worker.isConnected()) worker.send({ [question]: id, ...told } satisfies Answer);
    };
    all.clusterMetrics().then(
      (text) => tell({ text }),
      (error: unknown) => tell({ fault: error instanceof Error ? error.message : "unknown" }),
    );
  });
}

/** The text of a scrape: of all processes where this is one of several, else of this one. Rejects when one does not answer. */
export function openScrape(registry: Registry): () => Promise<string> {
  const { worker } = cluster;
  if (!worker) return () => registry.metrics();
  AggregatorRegistry.setRegistries([registry]);
  // Its making is what lets this process answer the question what it has itself.
  void new AggregatorRegistry();
  let asked = 0;
  return async () => {
    const id = ++asked;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const timer = setTimeout(() => reject(new Error("the other processes do not answer")), deadlineMs);
    const hear = (message: unknown): void => {
      if (!isAnswer(message) || message[question] !== id) return;
      if (message.text === undefined) reject(new Error(message.fault));
      else resolve(message.text);
    };
    worker.on("message", hear);
    try {
      worker.send({ [question]: id } satisfies Answer);
      return await promise;
    } finally {
      clearTimeout(timer);
      worker.off("message", hear);
    }
  };
}

function isAnswer(message: unknown): message is Answer {
  return typeof message === "object" && message !== null && question in message;
}
