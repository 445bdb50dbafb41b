/** Text → the stemmed words that the keyword search compares. English only, as the documentation is. */

const stopWords: ReadonlySet<string> = new Set(
  (
    "a an and any are as at be been being but by can could did do does doing done for from get gets give given had has have having he her here hers him his how " +
    "i if in into is it its just let like may me might mine more most much must my need no nor not of off on one only or other our ours out over please same " +
    "shall she should so some such tell than that the their them then there these they this those to too under until up upon us use used using very want was way we " +
    "were what when where which while who whom whose why will with without would you your yours about again also am because before after both each few " +
    "own through between during explain show know mean means there's happens happen work works thing things"
  ).split(" "),
);

/** Longest first: the first that fits is cut off, as long as three letters remain. */
const suffixes = [
  "izations",
  "ization",
  "isations",
  "isation",
  "ations",
  "ation",
  "ators",
  "ator",
  "ates",
  "ated",
  "ating",
  "ate",
  "ments",
  "ment",
  "ings",
  "ing",
  "ions",
  "ion",
  "ities",
  "ity",
  "ives",
  "ive",
  "ables",
  "able",
  "ible",
  "ness",
  "ers",
  "ies",
  "ied",
  "er",
  "ed",
  "es",
  "ly",
  "s",
  "e",
  "y",
];

const wordPattern = /[\p{L}\p{N}]+(?:[_'’][\p{L}\p{N}]+)*/gu;
const longestWord = 64;

/** The words of a text in order, without the ones that carry no meaning; `NEXUS_DATA_DIR` gives itself and its parts. */
export function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (const [match] of text.toLowerCase().matchAll(wordPattern)) {
    if (match.length > longestWord) continue;
    const word = match.replace(/['’].*$/, "");
    if (!word.includes("_")) add(words, word);
    else {
      words.push(word);
      for (const part of word.split("_")) add(words, part);
    }
  }
  return words;
}

function add(words: string[], word: string): void {
  // A lone letter or digit says nothing about what a text is about.
  if (word.length > 1 && !stopWords.has(word)) words.push(stemOf(word));
}

/** A common beginning for the forms of one word: `verify`, `verified` and `verification` meet. Not a linguist's stem. */
export function stemOf(word: string): string {
  if (word.length <= 3 || /\d/.test(word)) return word;
  const suffix = suffixes.find((candidate) => fits(word, candidate)) ?? "";
  let stem = word.slice(0, word.length - suffix.length);
  // stopp(ed), cutt(ing): the doubled consonant belongs to the ending.
  if (suffix !== "" && suffix !== "s" && /([bdfgmnprt])\1$/.test(stem)) stem = stem.slice(0, -1);
  if (stem.length > 3 && /(?:i|[^aeiou]y)$/.test(stem)) stem = stem.slice(0, -1);
  if (stem.endsWith("ific")) return stem.slice(0, -2);
  // revoc(ation), revok(e).
  return stem.endsWith("c") ? `${stem.slice(0, -1)}k` : stem;
}

function fits(word: string, suffix: string): boolean {
  if (!word.endsWith(suffix) || word.length - suffix.length < 3) return false;
  if (suffix === "s") return !/[su]s$|is$/.test(word);
  return suffix !== "y" || !/[aeiou]y$/.test(word);
}
