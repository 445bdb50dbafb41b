/** One secret that pv-keys keeps, as this process knows it. */
import type { ReadSecretAnswer } from "@nexus/contracts/secrets";
import type { ServiceClient } from "@nexus/http";
import type { Logger } from "@nexus/telemetry";
import { Refresher } from "../refresh/refresher.ts";
import { faultOfSecret } from "./read-secrets.ts";

interface Options {
  name: string;
  /** pv-keys' private listener. */
  pvKeys: ServiceClient;
  logger: Pick<Logger, "info" | "warn">;
}

const pause = { shortestMs: 200, longestMs: 30_000 };

/**
 * Read when asked to, and again until pv-keys has answered. While pv-keys does not answer, the value stays that was known;
 * it goes when pv-keys says that it is no longer there, or no longer for this service.
 */
export class VaultSecret {
  readonly name: string;
  readonly #options: Options;
  readonly #refresher: Refresher;
  readonly #firstAnswer = Promise.withResolvers<void>();
  #known: ReadSecretAnswer | undefined;

  constructor(options: Options) {
    this.name = options.name;
    this.#options = options;
    this.#refresher = new Refresher({
      read: async (signal) => {
        this.#take(await this.#ask(signal));
        this.#firstAnswer.resolve();
      },
      onFailure: (err) => {
        const fields = { event: "provider_secret", secret: this.name, known: this.#known !== undefined, err };
        options.logger.warn(fields, "a secret could not be read from pv-keys; trying again");
      },
      pause,
    });
  }

  get value(): string | undefined {
    return this.#known?.value;
  }

  /** `sec_…`; `undefined` while nothing is known of it. */
  get id(): string | undefined {
    return this.#known?.id;
  }

  /** Resolves at the first answer, whatever it is. */
  get firstAnswer(): Promise<void> {
    return this.#firstAnswer.promise;
  }

  /** What is known may be old. Returns at once; whoever calls must not wait for pv-keys. */
  refresh(): void {
    void this.#refresher.refresh();
  }

  async close(): Promise<void> {
    await this.#refresher.close();
  }

  async #ask(signal: AbortSignal): Promise<ReadSecretAnswer | number> {
    const { pvKeys } = this.#options;
    const body = { name: this.name };
    const answer = await pvKeys.call({ method: "POST", path: "/v1/secrets/read", body, signal });
    if (answer.status === 403 || answer.status === 404) return answer.status;
    const found = answer.body as Partial<ReadSecretAnswer> | undefined;
    if (answer.status !== 200 || typeof found?.value !== "string" || typeof found.id !== "string") {
      throw new Error(`pv-keys answered with status ${answer.status}`);
    }
    return found as ReadSecretAnswer;
  }

  #take(answer: ReadSecretAnswer | number): void {
    const { logger } = this.#options;
    const fields = { event: "provider_secret", secret: this.name };
    if (typeof answer === "number") {
      this.#known = undefined;
      const reason = answer === 404 ? "is not there" : "does not name this service as a reader";
      return logger.warn({ ...fields, status: answer }, `a secret ${reason}; its provider waits for it`);
    }
    const fault = faultOfSecret(answer.value);
    // A value that cannot be sent helps nobody; the one before may still work.
    if (fault) return logger.warn({ ...fields, version: answer.version }, `the new value of a secret ${fault}; it is not used`);
    this.#known = answer;
    return logger.info({ ...fields, version: answer.version }, "a secret was read from pv-keys");
  }
}
