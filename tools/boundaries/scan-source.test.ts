import { describe, expect, it } from "vitest";
import { scanSource } from "./scan-source.ts";

const specifiers = (source: string): string[] => scanSource(source).modules.map(({ specifier }) => specifier);

describe("scanSource", () => {
  it.each([
    ["a bare import", 'import "a";'],
    ["a default import", 'import x from "a";'],
    ["names over several lines", 'import {\n  x,\n  y as z,\n} from "a";'],
    ["a namespace", 'import * as x from "a";'],
    ["a type import", 'import type { X } from "a";'],
    ["a re-export", 'export { x } from "a";'],
    ["a re-export of everything", 'export * from "a";'],
    ["a dynamic import", 'const x = await import("a");'],
    ["a type of a module", 'type X = import("a").X;'],
    ["require", 'const x = require("a");'],
    ["single quotes", "import 'a';"],
    ["code inside a template", 'const x = `${await import("a")}`;'],
    ["code after a regular expression that holds quotes", 'const x = /["\'`]/.test(y);\nimport "a";'],
    ["code after a division", 'const x = 4 / 2; const y = 6 / 3;\nimport "a";'],
    ["code after a template with an escaped backtick", 'const x = `\\` ${y} {`;\nimport "a";'],
    ["code after an unclosed brace in a template", 'const x = `{${{ a: 1 }.a}`;\nimport "a";'],
  ])("finds %s", (_what, source) => {
    expect(specifiers(source)).toEqual(["a"]);
  });

  it.each([
    ["a comment", '// import "a";\n/* import "b"; */'],
    ["a string", "const x = 'import \"a\"';"],
    ["a template", 'const x = `import "a";`;'],
    ["a regular expression", 'const x = /import "a"/;'],
    ["a member called import", 'thing.import("a");'],
    ["an export of a value", 'export const from = "a";'],
    ["import.meta", 'const x = import.meta.url; const y = "a";'],
  ])("takes nothing from %s", (_what, source) => {
    expect(specifiers(source)).toEqual([]);
  });

  it("tells the line, also after comments and templates over several lines", () => {
    expect(scanSource('/*\n*/\nconst x = `\n`;\nimport "a";').modules).toEqual([{ specifier: "a", typeOnly: false, line: 5 }]);
  });

  it("knows an import of types alone", () => {
    const typeOnly = (source: string): boolean | undefined => scanSource(source).modules[0]?.typeOnly;
    expect(typeOnly('import type { X } from "a";')).toBe(true);
    expect(typeOnly('import { type X, type Y } from "a";')).toBe(true);
    expect(typeOnly('import { type X, y } from "a";')).toBe(false);
    expect(typeOnly('import type from "a";')).toBe(false);
  });

  it("tells the process from a member, a key and a parameter of that name", () => {
    const lines = (source: string): number[] => scanSource(source).processLines;
    expect(lines("\nconst x = process.pid;")).toEqual([2]);
    expect(lines("const x = globalThis.process;")).toEqual([1]);
    expect(lines("const x = o.process.pid;")).toEqual([]);
    expect(lines("function run(process: NodeJS.Process): void {\n  process.on('exit', f);\n}")).toEqual([]);
    expect(lines("const { process, name } = options;\nf(process.env, name);")).toEqual([]);
    expect(lines("start(process);")).toEqual([1]);
  });
});
