/**
 * A scanner for exactly what the boundary check asks of a TypeScript file: which modules it names, and whether it touches `process`.
 * It knows comments, strings, templates and regular expressions, so that text inside them is never taken for code.
 */
export interface ModuleUse {
  readonly specifier: string;
  readonly typeOnly: boolean;
  readonly line: number;
}

export interface SourceFacts {
  readonly modules: ModuleUse[];
  /** Lines that reach for the process: `process…`, `globalThis.process`. */
  readonly processLines: number[];
}

interface Token {
  readonly kind: "word" | "string" | "template" | "regex" | "mark";
  readonly text: string;
  readonly line: number;
}

/** What a slash means depends on what stands before it: after a value it divides, else it opens a regular expression. */
const valueEnds = /^(?:[\w$)\]}]|this|super)$/;
const wordsBeforeRegex = new Set([
  "return",
  "typeof",
  "case",
  "in",
  "of",
  "delete",
  "void",
  "throw",
  "new",
  "else",
  "do",
  "await",
  "yield",
]);

export function scanSource(source: string): SourceFacts {
  const tokens = tokenize(source);
  return { modules: findModules(tokens), processLines: findProcess(tokens) };
}

function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  const braces: ("block" | "template")[] = [];
  let at = 0;
  let line = 1;
  const push = (kind: Token["kind"], end: number, text = source.slice(at, end)): void => {
    tokens.push({ kind, text, line });
    line += source.slice(at, end).split("\n").length - 1;
    at = end;
  };
  while (at < source.length) {
    const rest = source.slice(at, at + 2);
    const char = rest.charAt(0);
    if (char === "\n") line++;
    if (/\s/.test(char)) at++;
    else if (rest === "//") at = endOf(source.indexOf("\n", at), source);
    else if (rest === "/*") {
      const end = endOf(source.indexOf("*/", at + 2) + 2, source, 1);
      line += source.slice(at, end).split("\n").length - 1;
      at = end;
    } else if (char === '"' || char === "'") {
      const end = stringEnd(source, at);
      push("string", end, source.slice(at + 1, end - 1));
    } else if (char === "`" || (char === "}" && braces.at(-1) === "template")) {
      if (char === "}") braces.pop();
      const end = templateEnd(source, at + 1);
      const opens = source.startsWith("${", end);
      push("template", opens ? end + 2 : end + 1);
      if (opens) braces.push("template");
    } else if (char === "/" && opensRegex(tokens.at(-1))) push("regex", regexEnd(source, at));
    else if (/[\w$#]/.test(char)) push("word", wordEnd(source, at));
    else {
      if (char === "{") braces.push("block");
      if (char === "}") braces.pop();
      push("mark", at + 1);
    }
  }
  return tokens;
}

const endOf = (index: number, source: string, offset = -1): number => (index <= offset ? source.length : index);

function stringEnd(source: string, start: number): number {
  let at = start + 1;
  while (at < source.length && source[at] !== source[start]) at += source[at] === "\\" ? 2 : 1;
  return at + 1;
}

/** The index of the closing backtick, or of the `${` that interrupts the text. */
function templateEnd(source: string, start: number): number {
  let at = start;
  while (at < source.length && source[at] !== "`" && !source.startsWith("${", at)) at += source[at] === "\\" ? 2 : 1;
  return at;
}

function regexEnd(source: string, start: number): number {
  let inClass = false;
  let at = start + 1;
  while (at < source.length && (inClass || source[at] !== "/") && source[at] !== "\n") {
    if (source[at] === "[") inClass = true;
    if (source[at] === "]") inClass = false;
    at += source[at] === "\\" ? 2 : 1;
  }
  return wordEnd(source, at + 1);
}

function wordEnd(source: string, start: number): number {
  let at = start;
  while (at < source.length && /[\w$#]/.test(source.charAt(at))) at++;
  return at;
}

function opensRegex(previous: Token | undefined): boolean {
  if (!previous) return true;
  if (previous.kind === "word") return wordsBeforeRegex.has(previous.text);
  if (previous.kind === "mark") return !valueEnds.test(previous.text);
  return previous.kind === "template" && previous.text.endsWith("${");
}

function findModules(tokens: readonly Token[]): ModuleUse[] {
  const found: ModuleUse[] = [];
  tokens.forEach((token, index) => {
    if (token.kind !== "word" || tokens[index - 1]?.text === ".") return;
    const use =
      token.text === "import" || token.text === "export"
        ? (directModule(tokens, index) ?? moduleOfClause(tokens, index))
        : token.text === "require"
          ? calledModule(tokens, index)
          : undefined;
    if (use) found.push(use);
  });
  return found;
}

/** `import "x"` and `import("x")`, the latter as an expression or as a type. */
function directModule(tokens: readonly Token[], index: number): ModuleUse | undefined {
  const next = tokens[index + 1];
  if (tokens[index]?.text !== "import" || !next) return undefined;
  if (next.kind === "string") return { specifier: next.text, typeOnly: false, line: next.line };
  return calledModule(tokens, index);
}

function calledModule(tokens: readonly Token[], index: number): ModuleUse | undefined {
  const [open, name] = [tokens[index + 1], tokens[index + 2]];
  if (open?.text !== "(" || name?.kind !== "string") return undefined;
  return { specifier: name.text, typeOnly: false, line: name.line };
}

/** `import … from "x"` and `export … from "x"`; a clause holds only names, braces, commas and a star. */
function moduleOfClause(tokens: readonly Token[], index: number): ModuleUse | undefined {
  for (let at = index + 1; at < tokens.length; at++) {
    const token = tokens[at];
    const name = tokens[at + 1];
    if (token?.text === "from" && name?.kind === "string") {
      return { specifier: name.text, typeOnly: isTypeOnly(tokens.slice(index + 1, at)), line: name.line };
    }
    if (token?.kind !== "word" && !(token?.kind === "mark" && "{},*".includes(token.text))) return undefined;
  }
  return undefined;
}

/** `import type …`, or braces in which every name is marked `type`. */
function isTypeOnly(clause: readonly Token[]): boolean {
  if (clause[0]?.text === "type" && clause.length > 1 && clause[1]?.text !== ",") return true;
  if (clause[0]?.text !== "{") return false;
  const names = clause
    .slice(1, -1)
    .map((token) => token.text)
    .join(" ")
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
  return names.length > 0 && names.every((name) => name.startsWith("type "));
}

/** A parameter or member called `process` is the file's own; lint, which knows scopes, is the finer judge of those. */
function findProcess(tokens: readonly Token[]): number[] {
  const isWord = (index: number): boolean => tokens[index]?.kind === "word" && tokens[index].text === "process";
  const own = tokens.some(
    (_, index) =>
      isWord(index) &&
      [":", "?", ",", "}"].includes(tokens[index + 1]?.text ?? "") &&
      ["{", ",", "("].includes(tokens[index - 1]?.text ?? ""),
  );
  return tokens.flatMap((token, index) => {
    if (!isWord(index)) return [];
    const member = tokens[index - 1]?.text === ".";
    if (member) return ["globalThis", "global"].includes(tokens[index - 2]?.text ?? "") ? [token.line] : [];
    return own ? [] : [token.line];
  });
}
