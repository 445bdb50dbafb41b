import { describe, expect, it } from "vitest";
import { batchLookups } from "./batch-lookups.ts";

const hashOf = (text: string): Buffer => Buffer.from(text);

function slowTable(names: readonly string[]) {
  const statements: { hashes: readonly Buffer[]; answer: () => void; fail: (error: Error) => void }[] = [];
  const find = batchLookups<{ hash: Buffer; name: string }>(
    (hashes) =>
      new Promise((resolve, reject) => {
        const rows = names.filter((name) => hashes.some((hash) => hash.equals(hashOf(name))));
        statements.push({ hashes, answer: () => resolve(rows.map((name) => ({ hash: hashOf(name), name }))), fail: reject });
      }),
  );
  return { statements, find };
}

describe("lookups at once", () => {
  it("those that come while others are under way share the next statement, and each gets its own row", async () => {
    const { statements, find } = slowTable(["a", "b", "c", "d"]);
    const answers = ["a", "b", "c", "missing", "d", "c"].map((name) => find([hashOf("other pepper"), hashOf(name)]));
    expect(statements).toHaveLength(2);
    statements[0]!.answer();
    await answers[0];
    await Promise.resolve();
    expect(statements).toHaveLength(3);
    expect(statements[2]!.hashes).toHaveLength(8);
    for (const { answer } of statements) answer();
    const names = (await Promise.all(answers)).map((row) => row?.name);
    expect(names).toEqual(["a", "b", "c", undefined, "d", "c"]);
  });

  it("a lookup never joins a statement that was sent before it came", async () => {
    const { statements, find } = slowTable(["a"]);
    const first = find([hashOf("a")]);
    const second = find([hashOf("a")]);
    expect(statements).toHaveLength(2);
    statements[0]!.answer();
    expect((await first)?.name).toBe("a");
    statements[1]!.answer();
    expect((await second)?.name).toBe("a");
  });

  it("a statement that fails fails its lookups alone", async () => {
    const { statements, find } = slowTable(["a", "b", "c"]);
    const [lost, kept, next] = [find([hashOf("a")]), find([hashOf("b")]), find([hashOf("c")])];
    statements[0]!.fail(new Error("cut"));
    await expect(lost).rejects.toThrow("cut");
    statements[1]!.answer();
    statements[2]!.answer();
    expect((await kept)?.name).toBe("b");
    expect((await next)?.name).toBe("c");
  });
});
