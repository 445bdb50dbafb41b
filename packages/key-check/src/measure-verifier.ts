import type { Metrics } from "@nexus/telemetry";
import type { Verifier } from "./open-verifier.ts";

/** How a process follows the change feed and what it knows of keys, read when it is asked for. */
export function measureVerifier(metrics: Metrics, { feed, checker }: Verifier): void {
  const gauge = (name: string, help: string, value: () => number): void => {
    metrics.gauge({
      name,
      help,
      collect() {
        this.set(value());
      },
    });
  };
  gauge("nexus_change_feed_position", "Revision of the change feed up to which this process has applied everything", () => {
    return feed.position().rev;
  });
  gauge("nexus_change_feed_sighted", "1 while this process follows the change feed", () => Number(feed.lease.isSighted()));
  gauge("nexus_change_feed_blind_seconds", "Since this process lost the change feed, in seconds; 0 while it follows it", () => {
    return feed.lease.blindForMs() / 1000;
  });
  gauge("nexus_change_feed_verifiers", "Processes of this service that follow the change feed", () => feed.liveVerifiers());
  measureKeys(metrics, checker);
}

function measureKeys(metrics: Metrics, checker: Verifier["checker"]): void {
  metrics.gauge({
    name: "nexus_key_cache_entries",
    help: "What this process remembers: keys that exist, and digests that stand for none",
    labelNames: ["kind"],
    collect() {
      for (const [kind, size] of Object.entries(checker.sizes())) this.set({ kind }, size);
    },
  });
  metrics.counter({
    name: "nexus_key_answers_total",
    help: "Looks at a key that this process could answer by itself, by the answer; one check may look twice",
    labelNames: ["answer"],
    collect() {
      this.reset();
      for (const [answer, count] of Object.entries(checker.counts().known)) this.inc({ answer }, count);
    },
  });
  metrics.counter({
    name: "nexus_key_questions_total",
    help: "Keys that pv-keys or PostgreSQL had to be asked about",
    labelNames: ["result"],
    collect() {
      this.reset();
      const { answered, unanswered } = checker.counts();
      this.inc({ result: "answered" }, answered);
      this.inc({ result: "unanswered" }, unanswered);
    },
  });
}
