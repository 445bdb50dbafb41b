import { expect, test } from "vitest";
import type { LocalChatPart, LocalMessage } from "../local-model.ts";
import { countTokens } from "./count-tokens.ts";
import { echoModel } from "./echo-model.ts";

const never = new AbortController().signal;

async function ask(messages: LocalMessage[], maximumOutputTokens?: number) {
  const parts: LocalChatPart[] = [];
  for await (const part of echoModel.chat({ messages, maximumOutputTokens }, never)) parts.push(part);
  const texts = parts.filter((part) => part.kind === "text").map((part) => part.text);
  return { texts, text: texts.join(""), end: parts.at(-1) };
}

test("the last user message comes back word for word, a word at a time, with exact counts", async () => {
  const text = "  Say\n\n`this` back,  exactly: 日本語 😀 ";
  const answer = await ask([
    { role: "system", text: "Be brief." },
    { role: "user", text: "first" },
    { role: "assistant", text: "first" },
    { role: "user", text },
    { role: "tool", text: "not me" },
  ]);
  expect(answer.text).toBe(text);
  expect(answer.texts.length).toBe(6);
  expect(answer.end).toStrictEqual({
    kind: "end",
    finishReason: "stop",
    inputTokens: 3 + 1 + 1 + countTokens(text) + 2,
    outputTokens: countTokens(text),
  });
});

test("an output limit is kept to the token", async () => {
  const text = "one two three extraordinarily five";
  for (let limit = 1; limit < countTokens(text); limit++) {
    const answer = await ask([{ role: "user", text }], limit);
    expect(answer.end).toMatchObject({ finishReason: "length", outputTokens: limit });
    expect(countTokens(answer.text)).toBe(limit);
    expect(text.startsWith(answer.text)).toBe(true);
  }
  expect((await ask([{ role: "user", text }], countTokens(text))).end).toMatchObject({ finishReason: "stop" });
});

test("no user message and an empty one are answered with nothing", async () => {
  expect(await ask([])).toMatchObject({ text: "", end: { finishReason: "stop", inputTokens: 0, outputTokens: 0 } });
  expect(await ask([{ role: "user", text: "" }])).toMatchObject({ text: "", end: { outputTokens: 0 } });
});

test("a megabyte without a space is cut at the model's own maximum", async () => {
  const answer = await ask([{ role: "user", text: "x".repeat(1_000_000) }]);
  expect(answer.end).toMatchObject({
    finishReason: "length",
    outputTokens: echoModel.kind === "chat" ? echoModel.maximumOutputTokens : 0,
  });
  expect(answer.text).toHaveLength(4_096 * 6);
});

test("an abort in the middle ends the stream with the signal's reason", async () => {
  const controller = new AbortController();
  const reason = new Error("the client is gone");
  const received: string[] = [];
  const stream = async () => {
    for await (const part of echoModel.chat(
      { messages: [{ role: "user", text: "a b c d e" }], maximumOutputTokens: undefined },
      controller.signal,
    )) {
      if (part.kind === "text") received.push(part.text);
      if (received.length === 2) controller.abort(reason);
    }
  };
  await expect(stream()).rejects.toBe(reason);
  expect(received).toStrictEqual(["a ", "b "]);
});
