import type { Finding } from "./guide-index.ts";
import { plainText } from "./split-page.ts";
import { wordsOf } from "./words-of.ts";

/**
 * How near a passage must be to be quoted as the answer, and how near to be quoted as a guess. Tried on the questions of the
 * quality test: at these figures what has nothing to do with the product is answered with "I do not know".
 */
const near = 0.75;
const possible = 0.62;

const greetings: ReadonlySet<string> = new Set(
  ["hello", "hi", "hey", "thanks", "thank", "good", "morning", "evening", "day", "help", "test", "ok"].flatMap(wordsOf),
);

const introduction =
  "I am embedded-guide, a small guide to Nexus COS. I answer questions in English about this product by quoting its documentation. " +
  "You can ask, for example: How do I create an API key? How do I add a model provider? What happens when PostgreSQL is away?";

const howToAddAModel =
  "For general conversation, add a real model: describe an OpenAI-compatible provider in a gateway.yaml file, set NEXUS_GATEWAY_CONFIG to its path and start again. " +
  "The page docs/gateway.md#add-a-model-provider shows how.";

/** The guide's answer to a question, from what the search found. Says so when nothing found is near enough. */
export function composeAnswer(question: string, findings: readonly Finding[]): string {
  if (wordsOf(question).every((word) => greetings.has(word))) return `${introduction}\n\n${howToAddAModel}`;
  const [best, ...others] = findings.filter((finding) => nearness(finding) >= possible);
  if (!best) {
    return `I do not know: the documentation of Nexus COS, which is all I have read, does not seem to answer this. ${howToAddAModel}`;
  }
  const opening =
    nearness(best) >= near
      ? `The page ${best.address} says:`
      : `I am not sure that this answers your question. The page ${best.address} says:`;
  const further = [...new Set(others.map((other) => other.address))].filter((address) => address !== best.address);
  const seeAlso = further.length === 0 ? "" : ` See also ${further.join(" and ")}.`;
  return `${opening}\n\n${readable(best.passage.text)}\n\nThis is quoted from "${best.passage.title}" (${best.address}).${seeAlso}`;
}

/** Words and meaning together, about 0 to 2; the words alone, doubled with caution, while the passages have no vectors. */
function nearness({ coverage, similarity }: Finding): number {
  if (coverage === 0) return 0;
  return coverage + (similarity ?? 0.5 * coverage);
}

/** Markdown as it stands, without link targets that lead nowhere from a chat. */
function readable(markdown: string): string {
  return markdown.replaceAll(/\[([^\]]*)\]\((?!https?:)[^)]*\)/g, (_, label: string) => plainText(label));
}
