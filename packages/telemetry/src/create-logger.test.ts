import { Writable } from "node:stream";
import { generateApiKey } from "@nexus/core";
import { describe, expect, it } from "vitest";
import { createLogger, flushLogger, type Logger } from "./create-logger.ts";

function capture(level = "debug"): { logger: Logger; text: () => string; last: () => Record<string, unknown> } {
  let text = "";
  const destination = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      text += chunk.toString();
      done();
    },
  });
  const logger = createLogger({ service: "example", level, destination });
  return { logger, text: () => text, last: () => JSON.parse(text.trim().split("\n").at(-1)!) as Record<string, unknown> };
}

const secret = "s3cr3t-0f-the-house";

describe("the logger", () => {
  it("writes one JSON object a line with level, time and service", () => {
    const { logger, text, last } = capture();
    logger.info({ answer: 42n, at: new Date(0) }, "hello");
    expect(text().trim().split("\n")).toHaveLength(1);
    expect(last()).toMatchObject({
      level: "info",
      service: "example",
      msg: "hello",
      answer: "42",
      at: "1970-01-01T00:00:00.000Z",
    });
    expect(last()["time"]).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
  });

  it.each([
    "authorization",
    "Authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "apiKey",
    "password",
    "newPassword",
    "secret",
    "client_secret",
    "key",
    "token",
    "access_token",
    "refreshToken",
    "code",
    "pepper",
  ])("a value under %s is never written, whatever depth it stands at", (name) => {
    const { logger, text } = capture();
    logger.info({ [name]: secret, one: { [name]: secret, two: [{ three: { four: { [name]: secret } } }] } }, "x");
    logger
      .child({ [name]: secret })
      .child({ inner: { [name]: secret } })
      .info("y");
    expect(text()).not.toContain(secret);
    expect(text()).toContain("[redacted]");
  });

  it("ids and counts that only sound like secrets stay readable", () => {
    const { logger, last } = capture();
    logger.info({ key_id: "key_1", total_tokens: 7, max_tokens: 9, status_code: "200", error_code: "ECONNREFUSED" }, "x");
    expect(last()).toMatchObject({
      key_id: "key_1",
      total_tokens: 7,
      max_tokens: 9,
      status_code: "200",
      error_code: "ECONNREFUSED",
    });
  });

  it("a platform key, a JWT, a bearer credential and a password in an address are cut out of any text", () => {
    const { logger, text } = capture();
    const { key, displayPrefix } = generateApiKey("sk", "live");
    const jwt = `eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c3JfMSJ9.${"a".repeat(43)}`;
    logger.error(
      { err: new Error(`refused ${key} and ${jwt}`), note: `Bearer ${secret}abc` },
      `postgres://nexus:${secret}@db:5432/x`,
    );
    for (const hidden of [key, jwt, secret]) expect(text()).not.toContain(hidden);
    expect(text()).toContain(displayPrefix);
    expect(text()).toContain("postgres://nexus:[redacted]@db:5432/x");
  });

  it("an error tells its type, message, code and causes, and nothing that a driver hung on it", () => {
    const { logger, text, last } = capture();
    const cause = Object.assign(new Error("connection refused"), { code: "ECONNREFUSED", row: { email: "a@b.c" } });
    logger.error({ err: new TypeError("no answer", { cause }) }, "x");
    expect(last()["err"]).toMatchObject({
      type: "TypeError",
      message: "no answer",
      cause: { message: "connection refused", error_code: "ECONNREFUSED" },
    });
    expect(text()).not.toContain("a@b.c");
  });

  it("bodies, class instances and queries of addresses are left out", () => {
    const { logger, text, last } = capture();
    class Session {
      readonly cookieJar = secret;
    }
    logger.info(
      {
        body: secret,
        payload: { a: secret },
        held: new Session(),
        url: `https://x/y?code=${secret}`,
        at: new URL(`https://x/y?z=${secret}`),
      },
      "x",
    );
    expect(text()).not.toContain(secret);
    expect(last()).toMatchObject({ body: "[omitted]", held: "[Session]", url: "https://x/y", at: "https://x/y" });
  });

  it("an object that contains itself, or is very deep, does not stop the line", () => {
    const { logger, last } = capture();
    const loop: Record<string, unknown> = {};
    loop["self"] = loop;
    logger.info({ loop }, "still here");
    expect(last()["msg"]).toBe("still here");
  });

  it("flushing ends even when nobody reads", async () => {
    const destination = new Writable({ write: () => {} });
    const logger = createLogger({ service: "example", level: "info", destination });
    logger.info("x");
    await flushLogger(logger, 50);
  });
});
