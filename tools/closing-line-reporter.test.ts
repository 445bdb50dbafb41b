import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "..");
const base = mkdtempSync(join(tmpdir(), "nexus-reporter-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** Runs the real Vitest with the reporter over the given files; the answer is every line of its output. */
function run(files: Record<string, string>): { lines: string[]; status: number | null } {
  const folder = mkdtempSync(join(base, "run-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const reporter = join(root, "tools/closing-line-reporter.ts");
  const args = [
    vitest,
    "run",
    "--globals",
    "--root",
    folder,
    "--config",
    "none.mjs",
    "--reporter",
    "default",
    "--reporter",
    reporter,
  ];
  writeFileSync(join(folder, "none.mjs"), "export default {};\n");
  const { stdout, status } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
  return { lines: stdout.split("\n"), status };
}

describe("the closing line", { timeout: 60_000 }, () => {
  const passing = "it('a', () => {}); it('b', () => {});\n";

  it("counts what passed, alone on the last line", () => {
    const { lines, status } = run({ "a.test.js": passing });
    expect(lines.filter(Boolean).at(-1)).toBe("2 passed, 0 failed");
    expect(status).toBe(0);
  });

  it("counts a failed test", () => {
    const { lines, status } = run({ "a.test.js": passing, "b.test.js": "it('c', () => { throw new Error('no'); });\n" });
    expect(lines.filter(Boolean).at(-1)).toBe("2 passed, 1 failed");
    expect(status).toBe(1);
  });

  it("counts a file that cannot be loaded, one without a test, and one whose hook fails", () => {
    const { lines, status } = run({
      "a.test.js": passing,
      "b.test.js": "import './missing.js';\nit('c', () => {});\n",
      "c.test.js": "export {};\n",
      "d.test.js": "describe('d', () => { beforeAll(() => { throw new Error('no'); }); it('e', () => {}); });\n",
    });
    expect(lines.filter(Boolean).at(-1)).toBe("2 passed, 3 failed, 1 skipped");
    expect(status).toBe(1);
  });

  it("counts an error that escaped every test", () => {
    const { lines, status } = run({
      "a.test.js":
        "it('a', () => { setTimeout(() => { throw new Error('late'); }, 0); });\nit('b', () => new Promise((done) => setTimeout(done, 50)));\n",
    });
    expect(lines.filter(Boolean).at(-1)).toBe("2 passed, 1 failed");
    expect(status).toBe(1);
  });
});
