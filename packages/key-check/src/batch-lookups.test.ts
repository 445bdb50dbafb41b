import { describe, expect, it } from "vitest";
import { batchLookups } from "./batch-lookups.ts";

function slowOracle() {
  const batches: { questions: readonly string[]; answer: () => void; fail: (error: Error) => void }[] = [];
  const ask = batchLookups<string, string>(
    (questions) =>
      new Promise((resolve, reject) => {
        batches.push({ questions, answer: () => resolve(questions.map((question) => question.toUpperCase())), fail: reject });
      }),
  );
  return { batches, ask };
}

describe("questions at once", () => {
  it("those that come while others are under way share the next batch, and each gets its own answer", async () => {
    const { batches, ask } = slowOracle();
    const answers = ["a", "b", "c", "d", "e", "c"].map((question) => ask(question));
    expect(batches).toHaveLength(2);
    batches[0]!.answer();
    await answers[0];
    await Promise.resolve();
    expect(batches).toHaveLength(3);
    expect(batches[2]!.questions).toEqual(["c", "d", "e", "c"]);
    for (const { answer } of batches) answer();
    expect(await Promise.all(answers)).toEqual(["A", "B", "C", "D", "E", "C"]);
  });

  it("a question never joins a batch that was sent before it came", async () => {
    const { batches, ask } = slowOracle();
    const first = ask("a");
    const second = ask("a");
    expect(batches).toHaveLength(2);
    batches[0]!.answer();
    expect(await first).toBe("A");
    batches[1]!.answer();
    expect(await second).toBe("A");
  });

  it("a batch that fails fails its questions alone", async () => {
    const { batches, ask } = slowOracle();
    const [lost, kept, next] = [ask("a"), ask("b"), ask("c")];
    batches[0]!.fail(new Error("cut"));
    await expect(lost).rejects.toThrow("cut");
    batches[1]!.answer();
    await kept;
    await Promise.resolve();
    batches[2]!.answer();
    expect(await kept).toBe("B");
    expect(await next).toBe("C");
  });
});
