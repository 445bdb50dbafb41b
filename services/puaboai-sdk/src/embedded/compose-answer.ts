import { type Finding } from "./guide-index.ts";
import { plainText } from "./split-page.ts";
import { wordsOf } from "./words-of.ts";

/** A passage is quoted when its words or its meaning are this near to the question; tried on the quality test's questions. */
const enoughCoverage = 0.45;
const enoughSimilarity = 0.5;

const introduction =
  "I am embedded-guide, a small guide to Nexus COS. I answer questions in English about this product by quoting its documentation. " +
  "You can ask, for example: How do I create an API key? How do I add a model provider? What happens when PostgreSQL is away?";

const howToAddAModel =
  "For general conversation, add a real model: name an OpenAI-compatible provider in a gateway.yaml file, set NEXUS_GATEWAY_CONFIG to its path and start again. " +
  "The page docs/gateway.md shows how.";

/** The guide's answer to a question, from what the search found. Says so when nothing found is near enough. */
export function composeAnswer(question: string, findings: readonly Finding[]): string {
  if (wordsOf(question).length === 0) return `${introduction}\n\n${howToAddAModel}`;
  const [best, ...others] = findings.filter(isNear);
  if (!best) {
    return `I do not know: the documentation of Nexus COS, which is all I have read, does not seem to answer this. ${howToAddAModel}`;
  }
  const further = others.filter((other) => other.address !== best.address).map((other) => other.address);
  const seeAlso = further.length === 0 ? "" : `\n\nSee also ${[...new Set(further)].join(" and ")}.`;
  return `The page ${best.address} says:\n\n${readable(best.passage.text)}\n\nThis is quoted from "${best.passage.title}" (${best.address}).${seeAlso}`;
}

function isNear(finding: Finding): boolean {
  if (finding.coverage >= enoughCoverage) return true;
  return finding.similarity !== undefined && finding.similarity >= enoughSimilarity && finding.coverage > 0;
}

/** Markdown as it stands, without link targets that lead nowhere from a chat. */
function readable(markdown: string): string {
  return markdown.replaceAll(/\[([^\]]*)\]\((?!https?:)[^)]*\)/g, (_, label: string) => plainText(label));
}
